"""What the code base promises about itself."""

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from leverframe.agents.cli.main import _COMMANDS, _HELP
from leverframe.schemas import errors
from leverframe.schemas.errors import LeverframeError

ROOT = Path(__file__).parents[2]
LONGEST = 300
OURS = ("schemas", "policies", "streams", "agents", "serving", "devbroker", "experiments")


def modules() -> list[str]:
    return [
        info.name
        for name in OURS
        for info in pkgutil.walk_packages([str(ROOT / name)], f"leverframe.{name}.")
        if not info.ispkg
    ]


def test_every_error_says_what_happens_and_what_to_do() -> None:
    """Each error class names what happened, what the job does and what the operator does."""
    for name in errors.__all__:
        kind = getattr(errors, name)
        assert issubclass(kind, LeverframeError)
        text = inspect.getdoc(kind) or ""
        if kind is not LeverframeError:
            assert len(text.split("\n\n")) >= 2, f"{name}: no second paragraph"
            assert "operator" in text or "worker" in text or "process" in text, name


def test_packages_hold_a_docstring_only() -> None:
    """``__init__`` files run nothing; ``leverframe.serving`` alone exports what others use."""
    for name in OURS:
        for path in (ROOT / name).rglob("__init__.py"):
            if path.parent.name == "serving":
                continue
            lines = path.read_text(encoding="utf-8").strip().splitlines()
            assert lines, path
            assert lines[0].startswith('"""'), path
            assert lines[-1].endswith('"""'), path


def code_lines(text: str) -> int:
    """Lines that hold code: no blank ones, no comments, no docstrings."""
    docs: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else ():
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                docs |= set(range(each.lineno, (each.end_lineno or each.lineno) + 1))
    lines = text.splitlines()
    return sum(
        bool(line.strip()) and not line.lstrip().startswith("#") and number not in docs
        for number, line in enumerate(lines, 1)
    )


def test_files_stay_short() -> None:
    """No module over 300 lines of code; docstrings do not count."""
    long = {
        str(path.relative_to(ROOT)): count
        for name in (*OURS, "bench", "drills", "examples")
        for path in (ROOT / name).rglob("*.py")
        if (count := code_lines(path.read_text(encoding="utf-8"))) > LONGEST
    }
    assert not long


def test_the_job_makes_consumers_in_one_way() -> None:
    """Read committed, no commits of their own: ``streams.runtime.consumers`` sees to it."""
    made = {
        path.relative_to(ROOT).as_posix()
        for name in ("streams", "agents")
        for path in (ROOT / name).rglob("*.py")
        if "AIOKafkaConsumer(" in path.read_text(encoding="utf-8")
    }
    assert made == {"streams/runtime/consumers.py"}


@pytest.mark.parametrize("name", modules())
def test_modules_export_what_they_say(name: str) -> None:
    """Every module imports without side effects, and ``__all__`` names what it has."""
    module = importlib.import_module(name)
    for exported in getattr(module, "__all__", ()):
        assert hasattr(module, exported), f"{name}.{exported}"


def test_pins_satisfy_what_pyproject_asks_for() -> None:
    """requirements/*.txt hold a hashed pin for each dependency, within its bounds."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = {
        "client.txt": project["dependencies"],
        "worker.txt": [*project["dependencies"], *extras["worker"]],
        "dev.txt": [
            text for group in (project["dependencies"], *extras.values()) for text in group
        ],
    }
    for file, texts in wanted.items():
        text = (ROOT / "requirements" / file).read_text("utf-8")
        pins = {
            canonicalize_name(line.split("==")[0].strip()): line.split("==")[1].split()[0]
            for line in text.splitlines()
            if "==" in line and not line.startswith((" ", "#"))
        }
        assert "--index-url" not in text
        assert text.count("--hash=sha256:") >= len(pins)
        for requirement in map(Requirement, texts):
            if requirement.name != "leverframe":  # another extra of ours
                version = pins[canonicalize_name(requirement.name)]
                assert requirement.specifier.contains(version), requirement


def test_commands_have_help() -> None:
    """Every command is in the table of contents."""
    assert _COMMANDS.keys() == _HELP.keys()


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    """``leverframe --help`` answers without Faust, numpy or aiokafka."""
    code = (
        "import sys\n"
        "from leverframe.agents.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'faust', 'numpy', 'aiokafka', 'scipy', 'rich', 'river'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)\n"
    )
    best = min(_timed([sys.executable, "-c", code]) for _ in range(3))
    # 300 ms is the promise on a quiet machine; the imports above are what is enforced.
    assert best < 2.0


def _timed(command: list[str]) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return time.perf_counter() - began
