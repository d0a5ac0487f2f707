"""What a broker refuses for good, in one line: the setting or right that is wrong, and the cure.

aiokafka tries again what may pass, and hands the rest to whoever polls next; Faust's consumer never
asks. So what is refused for good ends the process here (``group_watch``).
"""

import re
from typing import Final

from aiokafka import errors
from msgspec import Struct

from leverframe.schemas.errors import BrokerError, GroupError, LeverframeError
from leverframe.streams.runtime.tokens import TokenError

__all__ = ["Member", "is_passing", "kind_of", "refusal"]

# aiokafka hides an error that it did not expect in a plain KafkaError, which quotes it.
_QUOTED: Final = re.compile(r"\b([A-Z]\w+)\(")
# The group has moved on; whoever joins again goes on.
_REJOIN: Final = (
    errors.RebalanceInProgressError,
    errors.UnknownMemberIdError,
    errors.IllegalGenerationError,
    errors.CommitFailedError,
)
# The first that fits.
_CURES: Final[tuple[tuple[tuple[type[errors.KafkaError], ...], str], ...]] = (
    (
        (errors.InvalidSessionTimeoutError,),
        (
            "the broker refuses [app] session_timeout_s = {session_timeout_s:g}: it must lie "
            "between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms "
            "(6 s and 30 min where nobody changed them); correct the setting, or those"
        ),
    ),
    (
        (errors.GroupAuthorizationFailedError,),
        (
            "{user} may not read the group {group} ([topics] prefix and [app] id): allow Read on "
            "it (kafka-acls.sh --add)"
        ),
    ),
    (
        (errors.TopicAuthorizationFailedError,),
        (
            "{user} may not read {what}: allow Read and Describe on it (kafka-acls.sh --add); "
            "leverframe doctor names every right that is missing"
        ),
    ),
    (
        (errors.ClusterAuthorizationFailedError, errors.TransactionalIdAuthorizationFailed),
        (
            "{user} may not write in transactions: allow Write on the transactional ids that begin "
            "with {group} (kafka-acls.sh --add); leverframe doctor names every right that is "
            "missing"
        ),
    ),
    (
        (errors.SaslAuthenticationFailed, errors.AuthenticationFailedError),
        "the broker refuses {user} now: {doubt}",
    ),
    (
        (errors.InconsistentGroupProtocolError,),
        (
            "the group {group} has a member that is no worker and shares partitions in another "
            "way (a console consumer, a mirror): end it, or give it a group of its own"
        ),
    ),
    (
        (errors.InvalidGroupIdError,),
        "the broker takes no group named {group}: correct [topics] prefix and [app] id",
    ),
    (
        (errors.UnsupportedVersionError, errors.IncompatibleBrokerVersion),
        (
            "the broker does not speak the group protocol that workers need ({error}): upgrade "
            "it, or allow the classic protocol (group.coordinator.rebalance.protocols)"
        ),
    ),
)


class Member(Struct, frozen=True, kw_only=True):
    """What a worker is to its group.

    Attributes
    ----------
    group : str
        Its name.
    identity : str
        As whom we come to the broker, such as ``user 'alice'``; empty where nobody asks.
    doubt : str
        What is wrong, most likely, where the broker refuses us.
    session_timeout_s, instance
        As the settings say.
    """

    group: str
    identity: str
    doubt: str
    session_timeout_s: float
    instance: str = ""


def kind_of(error: BaseException) -> type[BaseException]:
    """Return the class of an error, or of the one that it only quotes."""
    if type(error) is errors.KafkaError:
        for name in _QUOTED.findall(str(error)):
            kind = getattr(errors, name, None)
            if isinstance(kind, type) and issubclass(kind, errors.KafkaError):
                return kind
    return type(error)


def is_passing(error: BaseException) -> bool:
    """Whether trying again, or joining again, may be enough."""
    kind = kind_of(error)
    return bool(getattr(kind, "retriable", False)) or issubclass(kind, _REJOIN)


def refusal(error: BaseException, member: Member) -> LeverframeError:
    """Return the error that ends the process: with a cure where a person must do something."""
    if isinstance(error, LeverframeError):
        return error
    if isinstance(error, TokenError):
        return BrokerError(str(error.args[0]))
    kind = kind_of(error)
    for kinds, text in _CURES:
        if issubclass(kind, kinds):
            return BrokerError(
                text.format(
                    session_timeout_s=member.session_timeout_s,
                    group=repr(member.group),
                    user=member.identity or "this worker",
                    doubt=member.doubt,
                    what=_names(error),
                    error=" ".join(str(error).split()),
                )
            )
    return GroupError(
        f"the group {member.group!r} cannot go on: {' '.join(repr(error).split()):.300}; "
        "nothing is lost, start the worker again"
    )


def _names(error: BaseException) -> str:
    found = error.args[0] if error.args else "a topic"
    return found if isinstance(found, str) else ", ".join(sorted(map(str, found)))
