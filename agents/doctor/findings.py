"""What a check found: one line for people, one object for programs."""

from collections.abc import Iterable
from typing import Literal

from msgspec import Struct

__all__ = ["Finding", "State", "exit_code", "fault", "ok", "warning"]

State = Literal["ok", "warning", "fault"]


class Finding(Struct, frozen=True, kw_only=True):
    """One line of the answer.

    Attributes
    ----------
    check : str
        Which check: settings, broker, topics, retention, replication, partitioner, clock,
        permissions, worker, losses, policy, units, alarm.
    state : {"ok", "warning", "fault"}
        A fault loses records, labels or decisions; a warning may, or is seen from one side only.
    where : str
        The setting, topic, group or route.
    detail : str
        What is so, or what is wrong.
    cure : str
        What to do; empty when nothing is wrong.
    """

    check: str
    state: State
    where: str
    detail: str
    cure: str = ""

    def line(self) -> str:
        """Return the finding in one line.

        Returns
        -------
        str
            State, check, place, detail, and the cure if there is one.
        """
        text = f"{self.state:8} {self.check:12} {self.where}: {self.detail}"
        return f"{text}. {self.cure}" if self.cure else text


def ok(check: str, where: str, detail: str) -> Finding:
    """Return a finding with which nothing is wrong.

    Parameters
    ----------
    check : str
        As in ``Finding``.
    where : str
        As in ``Finding``.
    detail : str
        As in ``Finding``.

    Returns
    -------
    Finding
        Without a cure.
    """
    return Finding(check=check, state="ok", where=where, detail=detail)


def warning(check: str, where: str, detail: str, cure: str) -> Finding:
    """Return something to look at.

    Parameters
    ----------
    check : str
        As in ``Finding``.
    where : str
        As in ``Finding``.
    detail : str
        As in ``Finding``.
    cure : str
        As in ``Finding``.

    Returns
    -------
    Finding
        It does not change the exit code.
    """
    return Finding(check=check, state="warning", where=where, detail=detail, cure=cure)


def fault(check: str, where: str, detail: str, cure: str) -> Finding:
    """Return something that must be mended.

    Parameters
    ----------
    check : str
        As in ``Finding``.
    where : str
        As in ``Finding``.
    detail : str
        As in ``Finding``.
    cure : str
        As in ``Finding``.

    Returns
    -------
    Finding
        It makes the exit code 1.
    """
    return Finding(check=check, state="fault", where=where, detail=detail, cure=cure)


def exit_code(findings: Iterable[Finding]) -> int:
    """Return what the process answers.

    Parameters
    ----------
    findings : iterable of Finding
        Of all checks.

    Returns
    -------
    int
        1 with a fault, else 0.
    """
    return int(any(finding.state == "fault" for finding in findings))
