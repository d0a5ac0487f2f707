"""Assigner and routing table: what runs inside a serving system."""

import asyncio
import hmac
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.schemas.codec import encode
from leverframe.schemas.control import ControlMessage
from leverframe.schemas.errors import ControlError
from leverframe.schemas.signing import SIGNATURE_HEADER, read_control, signature_of
from leverframe.serving import routing
from leverframe.serving.assigner import Assigner, assign
from leverframe.serving.routing import RoutingTable
from leverframe.serving.tasks import end_task

VECTORS = Path(routing.__file__).parent / "vectors.json"


def message(epoch: int = 0, seq: int = 1, **fields: Any) -> ControlMessage:
    fields = {
        "kind": "routing",
        "weights": {"a": 0.5, "b": 0.5},
        "champion": "a",
        "safe_weights": {"a": 1.0},
        "ttl_ms": 1000,
        "issued_at_ms": 0,
        "salt": "00",
        "cause": {},
        "state_digest": "",
        **fields,
    }
    return ControlMessage(route="r", epoch=epoch, seq=seq, **fields)


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


# -- assigner ------------------------------------------------------------------------------------


def test_assigner_agrees_with_the_vectors() -> None:
    """The pinned vectors, for implementations in other languages, hold here."""
    cases = json.loads(VECTORS.read_text(encoding="utf-8"))["cases"]
    assert len(cases) >= 1000
    for case in cases:
        arm, propensity = assign(case["weights"], case["salt"], case["unit"])
        assert (arm, propensity) == (case["arm"], pytest.approx(case["propensity"], abs=1e-12))


def test_assigner_follows_the_weights() -> None:
    """Over 100,000 units each share lies within 5 standard errors, the 0.1 % one included."""
    weights = {"a": 0.599, "b": 0.4, "c": 0.001}
    assigner = Assigner(weights, "ab")
    count = 100_000
    seen = [assigner.assign(f"unit-{i}")[0] for i in range(count)]
    for arm, share in weights.items():
        error = (share * (1 - share) / count) ** 0.5
        assert abs(seen.count(arm) / count - share) < 5 * error


def test_assigner_moves_few_units() -> None:
    """From 30 to 31 %, the rest in proportion: about 1 % of the units change arm."""
    before = Assigner({"a": 0.30, "b": 0.42, "c": 0.28}, "ab")
    after = Assigner({"a": 0.31, "b": 0.42 * 69 / 70, "c": 0.28 * 69 / 70}, "ab")
    count = 40_000
    units = [f"unit-{i}" for i in range(count)]
    moved = sum(before.assign(unit)[0] != after.assign(unit)[0] for unit in units)
    assert 0.008 < moved / count < 0.012


@given(
    st.dictionaries(st.text(min_size=1, max_size=5), st.floats(0, 1), min_size=1, max_size=6),
    st.text(max_size=20),
)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_assigner_never_chooses_an_arm_without_weight(weights: dict[str, float], unit: str) -> None:
    """Zero weight means never; the propensity is the arm's share; any text is a unit."""
    if not any(share > 0 for share in weights.values()):
        with pytest.raises(ValueError, match="no arm"):
            Assigner(weights, "s")
        return
    arm, propensity = Assigner(weights, "s").assign(unit)
    assert weights[arm] > 0
    assert propensity == pytest.approx(weights[arm] / sum(weights.values()))


@dataclass(frozen=True)
class Record:
    """As a Kafka client gives it."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...] = ()


def signed(record: Record, secret: bytes) -> Record:
    signature = signature_of(record.topic, record.key or b"", record.value or b"", secret)
    return replace(record, headers=((SIGNATURE_HEADER, signature),))


def record(of: ControlMessage, secret: bytes | None = None) -> Record:
    bare = Record("control", of.route.encode(), encode(of))
    return bare if secret is None else signed(bare, secret)


# -- routing table ---------------------------------------------------------------------------------


def test_routing_ignores_what_is_not_higher() -> None:
    """Replayed, older and equal messages change nothing; a higher epoch beats a higher seq."""
    table = RoutingTable((), Clock())
    assert table.offer(record(message(1, 5))) is not None
    for epoch, seq in ((1, 5), (1, 4), (0, 99)):
        assert table.offer(record(message(epoch, seq, weights={"b": 1.0}))) is None
    assert table.offer(record(message(2, 1, weights={"b": 1.0}))) is not None
    now = table.in_force("r")
    assert now is not None
    assert now.message.weights == {"b": 1.0}


def test_routing_falls_back_on_silence_and_recovers() -> None:
    """After ttl_ms without a word the safe weights hold; a heartbeat ends that."""
    clock = Clock()
    table = RoutingTable((), clock)
    table.offer(record(message(weights={"b": 1.0})))
    assert table.assign("r", "u")[0] == "b"  # type: ignore[index] # it is known
    clock.now_s = 1.5
    assert table.assign("r", "u")[0] == "a"  # type: ignore[index]
    table.offer(record(message(0, 2, kind="heartbeat", weights={"b": 1.0})))
    assert table.assign("r", "u")[0] == "b"  # type: ignore[index]


def test_routing_with_a_key_refuses_what_is_not_signed_with_it() -> None:
    """Unsigned, wrongly signed, altered and moved records are refused and counted."""
    table = RoutingTable([b"key"], Clock())
    good = record(message(), b"key")
    other = record(message(weights={"b": 1.0}))
    for bad in (
        record(message()),
        record(message(), b"other"),
        replace(good, value=other.value),
        replace(good, topic="elsewhere"),
        replace(good, key=b"another"),
        replace(good, headers=((SIGNATURE_HEADER, b"v1=\xff"),)),
        replace(good, headers=((SIGNATURE_HEADER, b""),)),
    ):
        with pytest.raises(ControlError, match="sign"):
            table.offer(bad)
    assert table.refused == 7
    assert table.offer(good) is not None


def test_a_job_one_field_ahead_keeps_its_signature() -> None:
    """A subscriber of the version before follows a message with a field that it does not know."""
    value = encode(message()).replace(b'"epoch"', b'"comes_next":{"a":[1,2]},"epoch"')
    newer = signed(Record("control", b"r", value), b"key")
    followed = RoutingTable([b"key"], Clock()).offer(newer)
    assert followed is not None
    assert followed.weights == message().weights


def test_two_keys_are_believed_while_one_replaces_the_other() -> None:
    """Subscribers get both, then the job changes, then the old one goes."""
    during = RoutingTable([b"new", b"old"], Clock())
    assert during.offer(record(message(0, 1), b"old")) is not None
    assert during.offer(record(message(0, 2), b"new")) is not None
    after = RoutingTable([b"new"], Clock())
    with pytest.raises(ControlError):
        after.offer(record(message(0, 1), b"old"))


def test_signatures_are_what_docs_say() -> None:
    """docs/wire.md has an example for other languages; it is computed here from its description."""
    page = (Path(__file__).parents[3] / "docs" / "wire.md").read_text(encoding="utf-8")
    topic, key, value, secret = b"control", b"checkout", b'{"route":"checkout"}', b"a shared secret"
    said = b"v1" + b"\0\0\0\x07" + topic + b"\0\0\0\x08" + key + value
    expected = "v1=" + hmac.new(secret, said, "sha256").hexdigest()
    assert signature_of("control", key, value, secret).decode() == expected
    assert expected in page


def test_routing_refuses_a_message_under_another_key() -> None:
    """A record whose key is not its route would never be compacted away."""
    with pytest.raises(ControlError, match="key"):
        RoutingTable((), Clock()).offer(replace(record(message()), key=b"another"))


def test_routing_binds_assignments_to_the_message_in_force() -> None:
    """New safe weights and a new salt count at once, though the weights are the same."""
    clock = Clock()
    table = RoutingTable((), clock)
    table.offer(record(message(weights={"b": 1.0})))
    clock.now_s = 2.0
    assert table.assign("r", "u")[0] == "a"  # type: ignore[index] # it is known
    table.offer(record(message(0, 2, weights={"b": 1.0}, safe_weights={"c": 1.0})))
    clock.now_s = 4.0
    assert table.assign("r", "u")[0] == "c"  # type: ignore[index]


def test_routing_refuses_nonsense() -> None:
    """A record that is no control message raises, and what is in force stays."""
    table = RoutingTable((), Clock())
    table.offer(record(message()))
    with pytest.raises(ControlError):
        table.offer(Record("control", b"r", b"{}"))
    assert table.in_force("r") is not None
    assert table.assign("elsewhere", "u") is None


def test_a_task_that_loses_a_cancellation_is_ended_all_the_same() -> None:
    """As asyncio.wait_for of Python 3.11 may lose one."""

    async def deaf() -> None:
        for _ in range(2):
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                continue
        raise RuntimeError("its own end is its own matter")

    async def scenario() -> None:
        task = asyncio.create_task(deaf())
        await asyncio.sleep(0)
        await asyncio.wait_for(end_task(task), 10)
        assert task.done()

    asyncio.run(scenario())


def test_only_what_a_subscriber_follows_is_read() -> None:
    """Signed where a key is set; never a tombstone or what cannot be read."""
    bare = message()
    assert read_control(record(bare, b"key"), [b"key"]) == bare
    assert read_control(record(bare), []) == bare
    assert read_control(record(bare), [b"key"]) is None
    assert read_control(record(bare, b"key"), [b"other"]) is None
    assert read_control(signed(Record("control", b"r", b"{"), b"key"), [b"key"]) is None
    assert read_control(Record("control", b"r", None), []) is None
