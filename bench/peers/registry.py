"""All contenders, in the order of the table."""

from typing import Final

from bench.peers.bytewax import BYTEWAX
from bench.peers.contender import Contender
from bench.peers.faust_idiom import FAUST
from bench.peers.kafka_streams.contender import STREAMS
from bench.peers.ours import OURS
from bench.peers.quix import QUIX

__all__ = ["CONTENDERS"]

CONTENDERS: Final[tuple[Contender, ...]] = (*OURS, *STREAMS, QUIX, FAUST, BYTEWAX)
