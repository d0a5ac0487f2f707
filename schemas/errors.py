"""The one tree of errors.

::

    LeverframeError
    |-- RecordError                 a record that cannot be used: always a dead letter
    |-- SettingsError               the configuration is wrong: exit code 2
    |-- PolicyError                 a policy was configured or called wrongly
    |-- BrokerError                 Kafka is missing, wrong or refuses us: exit code 2
    |-- GroupError                  the consumer group cannot go on: the process ends
    |-- LedgerError                 the exactly-once state cannot go on: the process ends
    |-- RegistryError               a registry of schemas or models gives no answer, or refuses us
    `-- ControlError                a control message was refused by a subscriber
"""

from typing import ClassVar

__all__ = [
    "BrokerError",
    "ControlError",
    "GroupError",
    "LedgerError",
    "LeverframeError",
    "PolicyError",
    "RecordError",
    "RegistryError",
    "SettingsError",
]


class LeverframeError(Exception):
    """Root of all errors raised by Leverframe; never raised itself.

    What the job does and what the operator does is said by each subclass.
    """

    exit_code: ClassVar[int] = 1


class RecordError(LeverframeError):
    """A record cannot be read or makes no sense.

    The job sets the raw bytes aside in ``dead-letters`` with the reason and goes on. The operator
    mends the producer, named by the coordinates in the dead letter's headers.

    Parameters
    ----------
    reason : str
        A stable word such as ``unreadable`` or ``key_mismatch``; see ``schemas.dead_letter``.
    detail : str
        What exactly is wrong and where, for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class SettingsError(LeverframeError):
    """The settings are wrong.

    Nothing was started. The operator mends the named keys; all faults are listed at once.
    """

    exit_code: ClassVar[int] = 2


class PolicyError(LeverframeError):
    """A policy, reward function or guard has parameters outside their range, or an unknown name.

    The job refuses to start, or answers the ``set_policy`` command with a dead letter. The operator
    corrects the parameter that the message names.
    """

    exit_code: ClassVar[int] = 2


class BrokerError(LeverframeError):
    """Kafka cannot be reached, a topic has the wrong shape, or the broker refuses us.

    Nothing was started, or a running worker ends. The operator follows the cure that the message
    names.
    """

    exit_code: ClassVar[int] = 2


class GroupError(LeverframeError):
    """The worker's place in its consumer group cannot be kept, or what keeps it has ended.

    The process ends and acknowledges nothing more; the platform restarts it, nothing is lost.
    """


class LedgerError(LeverframeError):
    """The exactly-once state of a partition cannot go on.

    Another worker owns the partition now (this one was fenced), or its state cannot be read. The
    process ends and acknowledges nothing more; the platform restarts it, nothing is lost.
    """


class RegistryError(LeverframeError):
    """A registry of schemas, or of models, gives no answer, or refuses us.

    A worker asks again until it has one; the partitions that need a schema wait, the others go on.
    So does who follows models. A command ends. The operator looks at the registry, or at address
    and password in the settings.
    """

    exit_code: ClassVar[int] = 2


class ControlError(LeverframeError):
    """A control message was refused by a subscriber.

    The subscriber keeps the state it has. The operator compares signing keys and writers of the
    ``control`` topic.
    """
