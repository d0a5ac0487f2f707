"""How a job is told what to do; standard library alone, since peers run it without our packages."""

import sys
from typing import NamedTuple


class Arguments(NamedTuple):
    """The fields of ``bench.peers.contender.Job`` that jobs need."""

    servers: str
    name: str
    predictions: str
    labels: str
    rewards: str
    aggregates: str
    partitions: int
    folder: str


def read_arguments() -> Arguments:
    """Read ``name=value`` arguments of this process."""
    given = dict(argument.split("=", 1) for argument in sys.argv[1:])
    return Arguments(
        servers=given["servers"],
        name=given["name"],
        predictions=given["predictions"],
        labels=given["labels"],
        rewards=given["rewards"],
        aggregates=given["aggregates"],
        partitions=int(given["partitions"]),
        folder=given["folder"],
    )
