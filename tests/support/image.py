"""Executes a Dockerfile without an engine: each stage is a folder, each RUN a chroot.

What it cannot show: layers, the real base image (Debian's own Python stands in for it), other
architectures. ``TARGETARCH`` may be set to another: then what is compiled there is compiled here.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from leverframe.devbroker.assets import cache_root

__all__ = ["Stage", "build", "copied", "instructions", "missing_tools", "run", "sealed"]

_NEEDED: Final = ("debootstrap", "chroot", "unshare")
_BASE_PACKAGES: Final = "python3,python3-dev,python3-venv,ca-certificates"
# How this machine reaches its package indexes, which a chroot has to know as well.
_OF_THE_MACHINE: Final = (
    "/etc/resolv.conf",
    "/etc/pip.conf",
    "/etc/apt/apt.conf.d",
    "/etc/ssl/certs/ca-certificates.crt",
)


@dataclass
class Stage:
    """A stage: its folder, environment and what a container of it would start."""

    root: Path
    env: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"
    told: dict[str, str] = field(default_factory=dict)


def missing_tools() -> list[str]:
    """Return what this machine lacks: programs, or the rights of root."""
    lacking = [name for name in _NEEDED if shutil.which(name) is None]
    return lacking if os.geteuid() == 0 else [*lacking, "root"]


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Yield the instructions of a Dockerfile, and what follows each."""
    lines = (line for line in text.splitlines() if not re.match(r"\s*(#|$)", line))
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word.upper(), rest.strip()


def copied(text: str) -> list[str]:
    """Return what a Dockerfile copies from its context."""
    found = []
    for word, rest in instructions(text):
        if word == "COPY" and not rest.startswith("--from="):
            found += shlex.split(rest)[:-1]
    return found


def build(
    dockerfile: Path, context: Path, place: Path, given: Mapping[str, str]
) -> dict[str, Stage]:
    """Execute all stages below a folder; return them by name.

    Raises ``AssertionError``, with what was said, where a RUN fails.
    """
    stages: dict[str, Stage] = {}
    stage = Stage(place)
    for word, rest in instructions(dockerfile.read_text(encoding="utf-8")):
        if word == "FROM":
            source, name = re.split(r"\s+AS\s+", rest, flags=re.IGNORECASE)
            stage = stages[name] = _begin(stages.get(source), place / name)
        elif word == "ARG":
            name, _, value = rest.partition("=")
            stage.env[name] = given.get(name, value)
        elif word == "ENV":
            stage.env |= {
                name: value.replace("$PATH", stage.env["PATH"])
                for name, _, value in (one.partition("=") for one in shlex.split(rest))
            }
        elif word == "COPY":
            _copy(stage, rest, context, stages)
        elif word == "RUN":
            run(stage, ["/bin/sh", "-c", rest])
        elif word == "WORKDIR":
            stage.folder = rest
            (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "USER":
            stage.user = rest
        else:
            stage.told[word] = rest
    return stages


def run(stage: Stage, command: list[str]) -> str:
    """Run a command in a stage's folder, as its user, and return what it says."""
    entered = ["chroot", f"--userspec={stage.user}", str(stage.root), "/usr/bin/env", "-C"]
    done = subprocess.run(
        [*entered, stage.folder, *command],
        env=_of_this_machine() | stage.env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise AssertionError(f"{command}\n{done.stdout[-3000:]}{done.stderr[-3000:]}")
    return done.stdout


def sealed(stage: Stage, *command: str) -> list[str]:
    """Return the command line that runs a command as the chart's pods do.

    As the stage's user, on a root file system that is read-only but for ``/tmp`` and the state.
    """
    root = stage.root
    mounts = [
        f"mount --bind {root} {root}",
        f"mount -o remount,bind,ro {root}",
        f"mount -t tmpfs tmpfs {root}/tmp",  # noqa: S108 - within the stage
        f"mount -t tmpfs -o uid=10001,gid=10001 tmpfs {root}/var/lib/leverframe",
        f"mount -t proc proc {root}/proc",
        f'exec chroot --userspec={stage.user} {root} /usr/bin/env -C {stage.folder} "$@"',
    ]
    return ["unshare", "--mount", "sh", "-ec", "; ".join(mounts), "sh", *command]


def _of_this_machine() -> dict[str, str]:
    names = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_INDEX_URL")
    return {name: os.environ[name] for name in names if name in os.environ}


def _begin(before: Stage | None, root: Path) -> Stage:
    source = before.root if before else _base(cache_root() / "chroot-bookworm")
    _copy_as_it_is(source, root)
    path = "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin"
    if before is None:
        return Stage(root, {"PATH": path})
    return Stage(root, dict(before.env), before.folder, before.user, dict(before.told))


def _base(base: Path) -> Path:
    """Debian with its own Python, called ``python``, in place of the base image; made once."""
    if not base.exists():
        bootstrap = ["debootstrap", "--variant=minbase", f"--include={_BASE_PACKAGES}"]
        half = base.with_suffix(".half")
        shutil.rmtree(half, ignore_errors=True)
        subprocess.run([*bootstrap, "bookworm", str(half)], check=True, capture_output=True)
        (half / "usr/local/bin/python").symlink_to("/usr/bin/python3")
        for name in _OF_THE_MACHINE:
            if Path(name).exists():
                _copy_as_it_is(Path(name).resolve(), half / name.lstrip("/"))
        half.rename(base)
    return base


def _copy(stage: Stage, rest: str, context: Path, stages: Mapping[str, Stage]) -> None:
    *sources, target = shlex.split(rest)
    if sources[0].startswith("--from="):
        context = stages[sources.pop(0).removeprefix("--from=")].root
    goal = stage.root / target.lstrip("/") if target.startswith("/") else _within(stage, target)
    for source in sources:
        whole = context / source.lstrip("/")
        into = goal / whole.name if target.endswith("/") and whole.is_file() else goal
        into.parent.mkdir(parents=True, exist_ok=True)
        _copy_as_it_is(whole, into)


def _copy_as_it_is(source: Path, target: Path) -> None:
    """With links, owners and modes; a folder's content into a folder that is there."""
    subprocess.run(["/bin/cp", "-aT", str(source), str(target)], check=True)


def _within(stage: Stage, target: str) -> Path:
    return stage.root / stage.folder.lstrip("/") / target.removeprefix("./")
