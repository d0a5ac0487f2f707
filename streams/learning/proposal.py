"""A promotion that waits for a person: what is kept of it."""

from msgspec import Struct

__all__ = ["Proposal"]


class Proposal(Struct, array_like=True, frozen=True):
    """A promotion that is proved and not yet approved.

    Attributes
    ----------
    arm : str
        Who would be champion.
    since_ms, until_ms : int
        Stream time at which it was proposed, and at which it lapses.
    log_evidence : float
        Nats, when it was proposed.
    """

    arm: str
    since_ms: int
    until_ms: int
    log_evidence: float
