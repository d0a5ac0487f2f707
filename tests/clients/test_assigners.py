"""The assigners in Go, Java and TypeScript choose as ours: the pinned vectors, one by one."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from leverframe.devbroker.assets import cache_root
from leverframe.serving import assigner

HERE = Path(__file__).parent
CLIENTS = HERE.parent.parent / "clients"
VECTORS: dict[str, Any] = json.loads(
    (Path(assigner.__file__).parent / "vectors.json").read_text("utf-8")
)
TYPESCRIPT = ("typescript@5.9.3", "@types/node@20")
LONG_S = 300


def tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found


def run(*words: str, folder: Path, text: str = "", **more: str) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=LONG_S,
        env={**os.environ, **more},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def asked() -> str:
    """The vectors as lines; texts in hex, so that no language needs a JSON reader."""
    lines = []
    for one in VECTORS["cases"]:
        weights = ",".join(
            f"{arm.encode().hex()}={share!r}" for arm, share in one["weights"].items()
        )
        lines.append(
            f"assign\t{one['salt'].encode().hex()}\t{one['unit'].encode().hex()}\t{weights}"
        )
    for one in VECTORS["shadows"]["cases"]:
        salt, request = one["salt"].encode().hex(), one["request_id"].encode().hex()
        lines.append(f"shadow\t{salt}\t{request}\t{one['shadow_share']!r}")
    return "\n".join(lines) + "\n"


def check(answers: str) -> None:
    lines = answers.splitlines()
    cases, shadows = VECTORS["cases"], VECTORS["shadows"]["cases"]
    assert len(lines) == len(cases) + len(shadows) > 1000
    for one, line in zip(cases, lines, strict=False):
        arm, propensity = line.split("\t")
        assert (bytes.fromhex(arm).decode(), float(propensity)) == (one["arm"], one["propensity"])
    drawn = [line == "true" for line in lines[len(cases) :]]
    assert drawn == [one["is_drawn"] for one in shadows]


def test_go_agrees_with_the_vectors() -> None:
    """Its own test reads them; no module is fetched."""
    go, cache = tool("go"), cache_root() / "go"
    run(
        *(go, "test", "./..."),
        folder=CLIENTS / "go",
        GOCACHE=str(cache.absolute()),
        GOFLAGS="-count=1",
        GOTOOLCHAIN="local",
        GOPROXY="off",
    )


def test_java_agrees_with_the_vectors(tmp_path: Path) -> None:
    javac, java = tool("javac"), tool("java")
    sources = str(CLIENTS / "java" / "Assigner.java"), str(HERE / "Vectors.java")
    run(javac, "-Xlint:all", "-Werror", "-d", str(tmp_path), *sources, folder=tmp_path)
    check(run(java, "-cp", str(tmp_path), "Vectors", folder=tmp_path, text=asked()))


def test_typescript_agrees_with_the_vectors(tmp_path: Path) -> None:
    """By its own compiler, strict, fetched once; skipped where it cannot be had."""
    node, npm = tool("node"), tool("npm")
    tools = cache_root() / "typescript"
    tsc = tools / "node_modules" / "typescript" / "bin" / "tsc"
    if not tsc.exists():
        tools.mkdir(parents=True, exist_ok=True)
        words = (npm, "install", "--no-audit", "--no-fund", "--prefix", str(tools), *TYPESCRIPT)
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=LONG_S, cwd=tools
        )
        if done.returncode:
            pytest.skip(f"no TypeScript compiler: {done.stderr[-200:]}")
    run(
        node,
        str(tsc),
        *("--strict", "--target", "es2020", "--module", "es2020", "--moduleResolution", "node"),
        *("--types", "node", "--typeRoots", str(tools / "node_modules" / "@types")),
        *("--outDir", str(tmp_path), str(CLIENTS / "typescript" / "assigner.ts")),
        folder=tmp_path,
    )
    (tmp_path / "package.json").write_text('{"type": "module"}')
    shutil.copy(HERE / "vectors.mjs", tmp_path)
    check(run(node, "vectors.mjs", folder=tmp_path, text=asked()))
