"""Documents agree with the code: links, file names, tables, settings, examples."""

import ast
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import msgspec
import pytest
from doc_blocks import PAGES, ROOT

from leverframe.agents.cli.main import _COMMANDS
from leverframe.agents.settings import load_settings
from leverframe.schemas import causes, errors, evidence
from leverframe.schemas.codec import RECORDS
from leverframe.schemas.dead_letter import REASONS
from leverframe.streams.routes.route import compile_routes
from leverframe.streams.topology import TOPICS

DOCS = ROOT / "docs"
ADRS = sorted((DOCS / "adr").glob("*.md"))
# Run by hand, not imported.
PRIVATE = {"__init__.py", "make_vectors.py"}
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
IGNORED = re.compile(r"`[^`\n]*`")


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def generator(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_links_resolve(page: Path) -> None:
    """Every relative link leads to a file of the repository, and to a heading if it names one."""
    text = IGNORED.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))
    for target, anchor in LINK.findall(text):
        if "://" in target or target.startswith("mailto:"):
            continue
        path = page.parent / target
        assert path.exists(), f"{relative(page)} -> {target}"
        if anchor and path.suffix == ".md":
            assert anchor in anchors(path), f"{relative(page)} -> {target}#{anchor}"


@pytest.mark.parametrize("page", ADRS, ids=relative)
def test_decisions_have_their_form(page: Path) -> None:
    """An ADR has at most 30 lines, its number in the title, and four headings in order."""
    lines = page.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 30
    assert re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", page.name)
    assert lines[0].startswith(f"# {page.name[:4]}: ")
    headings = [line for line in lines if line.startswith("## ")]
    assert headings == ["## Context", "## Choice", "## Rejected", "## Consequence"]


def test_decisions_are_listed() -> None:
    """The map names every ADR, and their numbers have no gaps."""
    assert [int(page.name[:4]) for page in ADRS] == list(range(1, len(ADRS) + 1))
    index = read("index.md")
    assert [page.name for page in ADRS if f"adr/{page.name}" not in index] == []


def test_map_lists_every_page() -> None:
    """docs/index.md leads to each page, and so does the side bar of the site."""
    index = read("index.md")
    pages = [*DOCS.glob("*.md"), *DOCS.rglob("*.rst")]
    names = {str(page.relative_to(DOCS)) for page in pages} - {"index.md"}
    assert {name for name in names if f"]({name}" not in index} == set()


@pytest.mark.parametrize("package", ["schemas", "policies", "serving"])
def test_reference_has_every_module(package: str) -> None:
    """docs/api/PACKAGE.rst takes in each module that others may import."""
    text = read(f"api/{package}.rst")
    told = re.findall(r"^\.\. automodule:: (\S+)$", text, re.MULTILINE)
    folder = ROOT / package
    files = {file for file in folder.rglob("*.py") if file.name not in PRIVATE}
    names = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    assert told == sorted(f"leverframe.{name}" for name in names)


def test_links_of_the_site_are_followed(tmp_path: Path) -> None:
    """A link to a page, a file or a heading that is not there is found; others are not."""
    (tmp_path / "page.html").write_text('<h1 id="here"></h1><img src="gone.png">')
    (tmp_path / "index.html").write_text(
        '<a href="page.html#here"></a><a href="page.html#away"></a><a href="#nowhere"></a>'
        '<a href="gone.html"></a><a href="https://example.org/"></a><a href="mailto:a@b.c"></a>'
    )
    assert generator("check_site").dead_links(tmp_path) == [
        "index.html: page.html#away",
        "index.html: #nowhere",
        "index.html: gone.html",
        "page.html: gone.png",
    ]
    assert generator("check_site").dead_links(tmp_path / "empty") != []


def test_architecture_names_files_that_exist() -> None:
    """Boxes of the diagram and rows of the file map are files of the repository."""
    text = read("architecture.md")
    diagram = re.findall(r"[\w/]+/[\w.]+\.py", text.partition("```mermaid")[2].partition("```")[0])
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    files = diagram + [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert len(files) > 40
    assert [name for name in files if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(
    ("path", "most"),
    [
        ("Label to reward", 7),
        ("Statistics to weights", 9),
        ("Evidence to rollback", 8),
        ("Command to control message", 6),
    ],
)
def test_few_files_tell_a_path_through_the_code(path: str, most: int) -> None:
    """Each list of files to open is short, numbered, says what each does, and names real ones."""
    section = read("architecture.md").partition(f"\n### {path}\n")[2].partition("\n### ")[0]
    items = re.findall(r"^(\d+)\. `([^`]+)`: \S.+$", section, re.MULTILINE)
    numbered = re.findall(r"^\d+\. ", section, re.MULTILINE)
    assert [int(number) for number, _ in items] == list(range(1, len(numbered) + 1))
    files = [file for _, file in items]
    assert 3 <= len(set(files)) == len(files) <= most
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_architecture_names_nothing_that_is_gone() -> None:
    """Every path between backticks, also in sentences, is a file or a folder."""
    names = re.findall(r"`([a-z_]+/[\w./]+)`", FENCE.sub("", read("architecture.md")))
    assert len(names) > 100
    assert [name for name in names if not (ROOT / name).exists()] == []


def test_settings_page_is_up_to_date() -> None:
    """docs/settings.md is what docs/generate_settings.py writes."""
    assert read("settings.md") == generator("generate_settings").settings_page()


@pytest.mark.parametrize("name", ["reward-functions.md", "policies.md", "detectors.md"])
def test_catalogue_is_up_to_date(name: str) -> None:
    """Lists of what settings can name are what docs/generate_catalogue.py writes, and complete."""
    catalogue = generator("generate_catalogue")
    assert read(name) == catalogue.catalogue_page(name)
    family = catalogue.PAGES[name][0]
    assert family.page == f"docs/{name}"
    sections = read(name).split("\n## ")[1:]
    assert [section.partition("\n")[0] for section in sections] == [f"`{k}`" for k in family.kinds]
    stated = re.compile(r"in [(\[]|positive|negative|at least|\d to \d|below|\"beta\" or")
    for section in sections:
        assert "```toml" in section
        for row in re.findall(r"^\| `.*$", section, re.MULTILINE):
            assert stated.search(row.rpartition("` |")[2] or row), f"no range: {row}"


def test_rollout_page_is_up_to_date() -> None:
    """docs/rollout.md is what docs/generate_rollout.py writes."""
    assert read("rollout.md") == generator("generate_rollout").rollout_page()


def test_wire_page_lists_what_the_structs_have() -> None:
    """Every topic, record, field and dead letter reason has its place in docs/wire.md."""
    text = read("wire.md")
    for spec in TOPICS:
        name = f"<app>-{spec.name}" if spec.name.endswith("changelog") else spec.name
        count = {"request": "N", "route": "M"}[spec.partitioned_by]
        assert re.search(rf"^\| `{name}` \|.*\| {count} \| {spec.cleanup} \|", text, re.MULTILINE)
    for kind in RECORDS.values():
        begin = text.index(f"\n| {kind.__name__} |")
        rows = text[begin + 1 :].split("\n\n")[0].splitlines()
        own = [rows[0], *_until_next(rows[1:])]
        cells = " ".join(row.split("|")[2] for row in own)
        known = re.findall(r"`(\w+)`(\??)", cells)
        fields = msgspec.structs.fields(kind)
        assert sorted(name for name, _ in known) == sorted(field.name for field in fields)
        defaults = {field.name for field in fields if not field.required}
        marked = {name for name, mark in known if mark}
        # A default that the row states needs no question mark.
        stated = {name for row in own if "default" in row for name in re.findall(r"`(\w+)`", row)}
        assert marked <= defaults <= marked | stated, kind.__name__
    reasons = re.findall(r"^\| `(\w+)` \|", text.partition("| reason |")[2], re.MULTILINE)
    assert reasons == list(REASONS)


def test_wire_page_lists_every_cause() -> None:
    """Each kind of cause has its row in docs/wire.md, with its fields, those left out marked."""
    section = read("wire.md").partition("\n## Causes\n")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([^|]+) \|", section, re.MULTILINE))
    inner = {
        "arms": evidence.ArmEvidence,
        "recent": evidence.RecentEvidence,
        "in_shadow": evidence.ShadowEvidence,
        "metrics": evidence.MetricEvidence,
        "record": causes.Coordinates,
        "since": causes.Version,
    }
    kinds = {str(msgspec.inspect.type_info(kind).tag): kind for kind in get_args(causes.Known)}
    del rows["why"]
    assert list(rows) == [*kinds, *inner]
    for name, kind in (kinds | inner).items():
        known = dict(re.findall(r"`(\w+)`(\??)", rows[name]))
        fields = msgspec.structs.fields(kind)
        assert sorted(known) == sorted(field.name for field in fields), name
        optional = {field.name for field in fields if not field.required}
        marked = {field for field, mark in known.items() if mark}
        # These two are added before any message is published.
        assert optional - {"arms", "record"} == marked, name


def _said() -> Iterator[str]:
    """Every string of the code, with ``...`` for what is filled in."""
    for package in ("agents", "serving", "schemas", "streams", "policies", "experiments", "tests"):
        for file in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    yield "".join(
                        str(part.value) if isinstance(part, ast.Constant) else "..."
                        for part in node.values
                    )
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    yield re.sub(r"\{\w*(:[^}]*)?\}|%[sgd]", "...", node.value)


def test_troubles_quotes_what_is_said() -> None:
    """What stands in quotes in docs/troubles.md is in the code, word for word."""
    said = list(_said())
    cells = [row.split("|")[2] for row in read("troubles.md").splitlines() if row.startswith("| ")]
    quoted = [words for cell in cells for words in re.findall(r'"([^"`]+)"(?!`)', cell)]
    assert len(quoted) > 20
    for words in quoted:
        parts = [re.escape(part) for part in re.split(r" ?\.\.\. ?", words) if part]
        pattern = re.compile(".*".join(parts))
        assert any(pattern.search(text) for text in said), words


def _until_next(rows: list[str]) -> Iterator[str]:
    for row in rows:
        if not row.startswith("| |"):
            return
        yield row


def test_operators_page_covers_errors_and_commands() -> None:
    """Each class of error has a row in the runbook, each command is named."""
    text = read("operate.md")
    assert [name for name in errors.__all__ if f"| `{name}` |" not in text] == []
    missing = [
        name
        for name in _COMMANDS
        if f"`leverframe {name}" not in text and f"`{name} ROUTE" not in text
    ]
    assert missing == []


def test_example_settings_load() -> None:
    """docker/leverframe.toml is accepted as it is, and its policies and rewards exist."""
    settings = load_settings(ROOT / "docker" / "leverframe.toml", {})
    assert set(settings.routes) == {"checkout", "*"}
    compile_routes(settings.routes)
