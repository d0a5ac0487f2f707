"""What a serving process knows of its routes: pure, with time as an argument."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from msgspec import Struct

from leverframe.schemas.codec import decode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import ControlError, RecordError
from leverframe.schemas.signing import KafkaRecord, check_signature
from leverframe.serving.assigner import Assigner
from leverframe.serving.shadows import Budget, is_drawn

__all__ = ["Assignment", "InForce", "RoutingTable"]


class Assignment(NamedTuple):
    """Which arm answers a unit.

    Attributes
    ----------
    arm : str
        To be asked.
    propensity : float
        Its share among all arms, to be logged with the prediction.
    message : ControlMessage
        In force; its epoch and seq belong into the prediction too.
    """

    arm: str
    propensity: float
    message: ControlMessage


class InForce(Struct, frozen=True):
    """What holds for a route now.

    Attributes
    ----------
    message : ControlMessage
        The newest one.
    is_fallback : bool
        Whether the safe weights hold, since nothing was heard for ``ttl_ms``.
    """

    message: ControlMessage
    is_fallback: bool

    @property
    def weights(self) -> dict[str, float]:
        """Weights to use now, the message's or its safe ones."""
        return self.message.safe_weights if self.is_fallback else self.message.weights


class RoutingTable:
    """Keeps the newest control message of each route and ignores anything not higher.

    Parameters
    ----------
    secrets : sequence of bytes
        If there is one, records that none of them has signed are refused.
    clock_s : callable
        Monotonic seconds.
    budget : Budget, optional
        Of answers in shadow; without one there is no limit.
    """

    def __init__(
        self,
        secrets: Sequence[bytes],
        clock_s: Callable[[], float],
        budget: Budget | None = None,
    ) -> None:
        self._secrets = secrets
        self._clock_s = clock_s
        self._messages: dict[str, ControlMessage] = {}
        self._heard_s: dict[str, float] = {}
        # Bound to the message it was made from, so that a thread that was slow cannot bring
        # weights back that are no longer in force.
        self._assigners: dict[str, tuple[ControlMessage, bool, Assigner | None]] = {}
        self._budget = budget
        self.refused = 0
        self.skipped = 0

    def offer(self, record: KafkaRecord) -> ControlMessage | None:
        """Take a record of the ``control`` topic.

        Parameters
        ----------
        record : KafkaRecord
            As read. Its key must be the route: else compaction would keep the record.

        Returns
        -------
        ControlMessage or None
            The message if it is in force now; None if it was ignored.

        Raises
        ------
        ControlError
            If the record cannot be read or is not signed as it must be; ``refused`` counts them.
        """
        try:
            message = self._read(record)
        except ControlError:
            self.refused += 1
            raise
        known = self._messages.get(message.route)
        if known is not None and (message.epoch, message.seq) <= (known.epoch, known.seq):
            return None
        # Other threads read meanwhile: a message in force has always been heard.
        self._heard_s[message.route] = self._clock_s()
        self._messages[message.route] = message
        return message

    def _read(self, record: KafkaRecord) -> ControlMessage:
        check_signature(record, self._secrets)
        try:
            message = decode(ControlMessage, record.value or b"")
        except RecordError as error:
            raise ControlError(str(error)) from error
        if record.key != message.route.encode():
            raise ControlError(
                f"a control message of {message.route!r} has the key {record.key!r:.80}"
            )
        return message

    @property
    def routes(self) -> list[str]:
        """Names of the routes heard of."""
        return list(self._messages)

    def silent_from_s(self, route: str) -> float:
        """Return when a route's safe weights hold, unless it is heard again.

        Parameters
        ----------
        route : str
            One that was heard of.

        Returns
        -------
        float
            Seconds of the table's clock.
        """
        return self._heard_s[route] + self._messages[route].ttl_ms / 1000

    def in_force(self, route: str) -> InForce | None:
        """Return what holds for a route.

        Parameters
        ----------
        route : str
            Its name.

        Returns
        -------
        InForce or None
            None if nothing was ever heard of it.
        """
        message = self._messages.get(route)
        if message is None:
            return None
        silent_ms = (self._clock_s() - self._heard_s[route]) * 1000
        return InForce(message, silent_ms > message.ttl_ms)

    def assign(self, route: str, unit_id: str) -> Assignment | None:
        """Choose the arm for a unit.

        Parameters
        ----------
        route : str
            Its name.
        unit_id : str
            Request or user id.

        Returns
        -------
        Assignment or None
            None if the route has no weights yet.
        """
        now = self.in_force(route)
        if now is None:
            return None
        cached = self._assigners.get(route)
        if cached is None or cached[0] is not now.message or cached[1] != now.is_fallback:
            usable = any(share > 0 for share in now.weights.values())
            assigner = Assigner(now.weights, now.message.salt) if usable else None
            cached = self._assigners[route] = (now.message, now.is_fallback, assigner)
        if cached[2] is None:
            return None
        arm, propensity = cached[2].assign(unit_id)
        return Assignment(arm, propensity, now.message)

    def shadows(self, route: str, request_id: str, served: str | None = None) -> list[str]:
        """Return the arms that are to answer a request too, in shadow.

        Parameters
        ----------
        route : str
            Its name.
        request_id : str
            Of the request.
        served : str, optional
            The arm that answers; when left out the one that ``request_id`` itself draws.

        Returns
        -------
        list of str
            Empty for a request that is not drawn, beyond the budget (``skipped`` counts those), and
            while safe weights hold.
        """
        now = self.in_force(route)
        if now is None or now.is_fallback:
            return []
        message = now.message
        if not is_drawn(message.shadow_share, message.salt, request_id):
            return []
        if served is None:
            assigned = self.assign(route, request_id)
            served = None if assigned is None else assigned.arm
        arms = [arm for arm in message.shadow_arms if arm != served]
        if arms and self._budget is not None and not self._budget.take(len(arms), self._clock_s()):
            self.skipped += 1
            return []
        return arms
