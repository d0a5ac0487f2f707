"""What a contender is: how it is made ready, how it is started, how its output is read."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import msgspec
from msgspec import Struct

__all__ = [
    "Contender",
    "Job",
    "Launcher",
    "LeftOutError",
    "Program",
    "Report",
    "Totals",
    "read_json_totals",
]

Totals: TypeAlias = dict[str, tuple[int, float]]
"""``route/arm`` to count and sum of its rewards."""

Report: TypeAlias = Callable[[str], None]
"""Told, in words, what is going on and takes long."""


class LeftOutError(Exception):
    """A contender cannot take part on this machine; the text says why and the cure."""


class Job(Struct, frozen=True, kw_only=True):
    """What one contender does in one round.

    Attributes
    ----------
    servers : str
        Bootstrap servers.
    name : str
        Unique: names consumer group, transactional ids and internal topics.
    predictions, labels : str
        Topics to drain.
    rewards, aggregates : str
        Topics to write: a record for each pair; count and sum for each arm of each route.
    partitions : int
        Of the topics to drain.
    pairs : int
        Predictions, and as many labels.
    folder : Path
        For local state; exists.
    """

    servers: str
    name: str
    predictions: str
    labels: str
    rewards: str
    aggregates: str
    partitions: int
    pairs: int
    folder: Path


class Program(Struct, frozen=True, kw_only=True):
    """A process to be started.

    Attributes
    ----------
    argv : list of str
        Absolute path of the executable, and arguments.
    environment : mapping of str to str
        Beside that of this process.
    """

    argv: list[str]
    environment: Mapping[str, str] = {}


Launcher: TypeAlias = Callable[[Job], Program]


def read_json_totals(key: bytes, value: bytes) -> Iterator[tuple[str, tuple[int, float]]]:
    """Read a record of an aggregates topic as all peers write it.

    Examples
    --------
    >>> list(read_json_totals(b"a/b", b'{"count": 2, "sum": 1.0}'))
    [('a/b', (2, 1.0))]
    """
    totals = msgspec.json.decode(value)
    yield key.decode(), (totals["count"], float(totals["sum"]))


class Contender(Struct, frozen=True, kw_only=True):
    """One that is measured.

    Attributes
    ----------
    name : str
        In the table and for ``--only``.
    what : str
        One line: what it is and what was tuned.
    prepare : callable
        Makes it ready (jars, environments) and returns its launcher; raises ``LeftOutError``.
    read_totals : callable
        From key and value of an aggregates record to totals of arms.
    share : float
        Of the pairs: a slow contender gets fewer, since its rate is what counts.
    writes_beside_input : bool
        Whether the names of its output topics follow from those of its input.
    scene : str
        Those with the same word drain the very same topics; two that write beside their input
        cannot, and get equal ones.
    """

    name: str
    what: str
    prepare: Callable[[Report], Launcher]
    read_totals: Callable[[bytes, bytes], Iterator[tuple[str, tuple[int, float]]]] = (
        read_json_totals
    )
    share: float = 1.0
    writes_beside_input: bool = False
    scene: str = "shared"


def python_job(path: Path, job: Job, python: str = sys.executable) -> Program:
    """Return the program of a contender that is one Python file, the job's fields its arguments."""
    fields = msgspec.structs.asdict(job)
    arguments = [f"{name}={value}" for name, value in fields.items()]
    return Program(argv=[python, str(path), *arguments])
