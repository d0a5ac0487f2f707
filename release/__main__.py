"""``make release``: all files of a release, from one commit, each built so that it can be again.

Wheel and source distribution (the wheel from the source distribution, and once more from the
commit: both must be the same bytes), the site, what the image is built from, its parts list, the
chart, the notes, and the sums of all. Nothing is uploaded or tagged: the last lines say how.
"""

import argparse
import gzip
import hashlib
import io
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Final

from leverframe import __version__ as VERSION  # noqa: N812 - a constant here
from release.changelog import entry_of, read_fragments
from release.readiness import faults_of

_ROOT: Final = Path(__file__).parents[1]
_STEPS: Final = 5


def main() -> int:
    """Build into ``build/release-VERSION``; 1 with all faults if it cannot be released."""
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--sbom", type=Path, help="parts list of the image (make sbom)")
    parser.add_argument("--rehearse", action="store_true", help="build in spite of faults")
    options = parser.parse_args()
    changelog = (_ROOT / "CHANGELOG.md").read_text("utf-8")
    head = _git("rev-parse", "HEAD")
    faults = faults_of(
        VERSION,
        changelog,
        read_fragments(_ROOT / "changelog.d"),
        _git("status", "--porcelain").splitlines(),
        _git("rev-list", "-n", "1", f"v{VERSION}", may_fail=True),
        head,
    )
    for fault in faults:
        print(f"not ready: {fault}", file=sys.stderr)
    if faults and not options.rehearse:
        return 1
    out = _ROOT / "build" / f"release-{VERSION}"
    with tempfile.TemporaryDirectory(prefix="release-") as scratch:
        build(out, Path(scratch), changelog, options.sbom)
    where = out.relative_to(_ROOT)
    print(f"\n{where}/ holds version {VERSION} of {head[:9]}. To release it:")
    print(f"  git tag -a v{VERSION} --cleanup=whitespace -F {where}/NOTES.md {head[:9]}")
    print(f"  git push origin v{VERSION}, and upload the files")
    return 0


def build(out: Path, scratch: Path, changelog: str, sbom: Path | None) -> None:
    """Write all files of the release into an empty folder."""
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        old.unlink()
    commit = scratch / "commit"
    _say(1, "the commit's files")
    _unpack(_git_bytes("archive", "HEAD"), commit)
    _say(2, "source distribution, the wheel from it, and the wheel again from the commit")
    _python("-m", "build", "--no-isolation", "--outdir", str(out), str(commit))
    again = scratch / "again"
    _python("-m", "build", "--no-isolation", "--wheel", "--outdir", str(again), str(commit))
    (wheel,) = out.glob("*.whl")
    if _sum(wheel) != _sum(again / wheel.name):
        raise SystemExit(f"{wheel.name} differs when it is built again: it is not reproducible")
    _say(3, "the site, its links checked")
    site = scratch / "site"
    sphinx = ("-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-n", "-d", str(scratch / "trees"))
    _python(*sphinx, "-c", str(commit / "docs"), str(commit), str(site), cwd=commit)
    _python(str(commit / "docs" / "check_site.py"), str(site), cwd=commit)
    _pack(site, sorted(path for path in site.rglob("*")), out / f"leverframe-{VERSION}-site.tar.gz")
    _say(4, "what the image is built from, and the chart")
    listed = (commit / "docker" / "Dockerfile.dockerignore").read_text("utf-8").splitlines()
    kept = [commit / line.removeprefix("!") for line in listed if line.startswith("!")]
    inside = [commit / "docker" / name for name in ("Dockerfile", "Dockerfile.dockerignore")]
    for each in kept:
        inside += [each, *(sorted(each.rglob("*")) if each.is_dir() else [])]
    _pack(commit, inside, out / f"leverframe-{VERSION}-image-context.tar.gz")
    chart = commit / "docker" / "helm" / "leverframe"
    files = sorted(path for path in chart.rglob("*") if path.is_file())
    _pack(chart.parent, files, out / f"leverframe-chart-{VERSION}.tgz")
    _say(5, "notes, parts list, sums")
    (out / "NOTES.md").write_text(f"leverframe {VERSION}\n\n{entry_of(changelog, VERSION)[1]}\n")
    if sbom is not None:
        (out / f"leverframe-{VERSION}-sbom.cdx.json").write_bytes(sbom.read_bytes())
    sums = [f"{_sum(path)}  {path.name}\n" for path in sorted(out.iterdir())]
    (out / "SHA256SUMS").write_text("".join(sums))
    print("".join(sums), end="")


def _say(step: int, what: str) -> None:
    print(f"==> {step} of {_STEPS}: {what}", flush=True)


def _git_bytes(*words: str) -> bytes:
    return subprocess.run(["git", *words], cwd=_ROOT, check=True, capture_output=True).stdout  # noqa: S607


def _git(*words: str, may_fail: bool = False) -> str:
    done = subprocess.run(
        ["git", *words],  # noqa: S607
        cwd=_ROOT,
        check=not may_fail,
        capture_output=True,
    )
    return done.stdout.decode().strip() if done.returncode == 0 else ""


def _unpack(archive: bytes, folder: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        files.extractall(folder, filter="data")


def _python(*words: str, cwd: Path | None = None) -> None:
    """Run Python with the commit's own time as the time of what is built."""
    environment = {
        **os.environ,
        "SOURCE_DATE_EPOCH": _git("log", "-1", "--format=%ct"),
        "PYTHONPATH": str(cwd or ""),
    }
    done = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=environment,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"python {' '.join(words[:3])} failed:\n{done.stdout}")


def _pack(base: Path, paths: list[Path], target: Path) -> None:
    """Write a tar of files and links: same names, times and owners whoever packs it."""
    seconds = int(_git("log", "-1", "--format=%ct"))

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.mtime, info.uid, info.gid, info.uname, info.gname = seconds, 0, 0, "", ""
        info.mode = 0o755 if info.isdir() or info.mode & 0o100 else 0o644
        return info

    with (
        target.open("wb") as raw,
        gzip.GzipFile("", "wb", mtime=seconds, fileobj=raw) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as files,
    ):
        for path in paths:
            files.add(path, path.relative_to(base), recursive=False, filter=plain)


def _sum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    began_s = time.monotonic()
    code = main()
    print(f"{time.monotonic() - began_s:.0f} s", file=sys.stderr)
    sys.exit(code)
