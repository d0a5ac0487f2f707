"""Where a replay puts the job's own decisions: where they were made, whatever their times say."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs
from records import T0, Record, command_record, reward_record

from leverframe.agents.operator.replay import _after_reward, _place, decided_at, is_later
from leverframe.schemas.control import ControlMessage


def decide(after: int, at: int) -> Record:
    params: dict[str, Any] = {"due_ms": T0, "after_reward": after}
    return command_record("decide", None, at, params=params)


def test_a_decision_lies_before_the_first_reward_that_was_not_counted() -> None:
    """Also where that was written long before: a worker under load decides late."""
    rewards = [reward_record("a", 1.0, at) for at in (0, 10, 20, 30)]
    pin = command_record("pin", "a", 15)
    merged: list[Any] = [rewards[0], rewards[1], pin, rewards[2], rewards[3]]
    own = decide(rewards[3].offset, 2_000)
    _place(merged, own, rewards[3].offset, "rewards")
    assert merged == [rewards[0], rewards[1], pin, rewards[2], own, rewards[3]]
    early = decide(rewards[2].offset, 12)
    _place(merged, early, rewards[2].offset, "rewards")
    assert merged[2:5] == [early, pin, rewards[2]]
    last = decide(rewards[3].offset + 1, 5)
    _place(merged, last, rewards[3].offset + 1, "rewards")
    assert merged[-1] == last


def test_only_the_job_s_own_decisions_have_a_place() -> None:
    """Commands of people lie where their times say; traffic is no command."""
    assert _after_reward(decide(7, 0)) == 7
    assert _after_reward(command_record("pin", "a", params={"after_reward": 7})) is None
    assert _after_reward(Record(b"r", b'{"route":"r"}', topic="traffic")) is None


@pytest.mark.parametrize("why", ["policy", "guard", "better", "drift", "probation"])
def test_what_a_reward_decided_is_placed_by_its_offset(why: str) -> None:
    """``explain`` and ``replay`` agree on which causes those are; a burst ends after its offset."""
    record = {"partition": 0, "offset": 41}
    message = ControlMessage(
        route="r", epoch=1, seq=2, kind="routing", weights={"a": 1.0}, champion="a",
        safe_weights={"a": 1.0}, ttl_ms=1, issued_at_ms=T0, salt="0", state_digest="0",
        cause={"why": why, "record": record},
    )  # fmt: skip
    before, after = (replace(reward_record("a", 1.0), offset=offset) for offset in (41, 42))
    assert decided_at(message) == 41
    assert [is_later(one, message, "rewards") for one in (before, after)] == [False, True]
    burst = structs.replace(message, cause={"why": why, "record": {**record, "burst": True}})
    assert decided_at(burst) is None
    assert [is_later(one, burst, "rewards") for one in (before, after)] == [False, True]
