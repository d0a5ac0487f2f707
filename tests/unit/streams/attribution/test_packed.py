"""Several answers to one request are stored by what differs, and come back as they were."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from records import MAX_VALUE_BYTES, T0, prediction_record, routes

from leverframe.streams.attribution.entries import (
    ArrivedLabel,
    Attributed,
    ShadowWaiting,
    Shared,
    UnitWaiting,
    Waiting,
)
from leverframe.streams.attribution.expiry import sweep
from leverframe.streams.attribution.packed import Packed, decode_entry, encode_entry, pack
from leverframe.streams.attribution.step import attribute

few = st.sampled_from
numbers = few([None, 1, 2])
contexts = few([None, [0.5], [0.5, 1.0]])
units = few([None, "u", "v"])
labels = few([None, 0, 1, True, "cat"])


@st.composite
def accounts(draw: st.DrawFn, arm: str) -> Waiting | Attributed:
    """Alike mostly, and now and then unlike in anything."""
    arrived_ms = T0 + draw(few([0, 0, 5, -700]))
    said = (
        arrived_ms,
        arrived_ms + draw(few([1000, 1000, 1000, 2000])),
        draw(few(["r", "r", "r", "q"])),
        arm,
        draw(few([0, True, "cat", {"a": 0.5}])),
        draw(few([None, None, None, 0.5])),
        draw(numbers),
        draw(numbers),
        draw(contexts),
        arrived_ms - draw(few([0, 30])),
        draw(few([True, True, True, False])),
    )
    unit = draw(units)
    kind = draw(few(["served", "shadow", "shadow", "shadow"]))
    if kind == "shadow":
        waiting: Waiting = ShadowWaiting(*said, unit)
    else:
        waiting = Waiting(*said) if unit is None else UnitWaiting(*said, unit)
    if draw(st.booleans()):
        return waiting
    return Attributed(
        waiting,
        draw(labels),
        T0 + draw(few([9, 9, 10])),
        draw(few([None, 0.0, 1.0])),
        draw(few([0, 0, 1])),
        T0 + draw(few([9, 9, 10])),
        draw(few([False, False, True])),
        draw(few([{}, {}, {"click": 1}])),
    )


@st.composite
def entries(draw: st.DrawFn) -> Shared:
    names = draw(st.lists(few("abcde"), min_size=1, max_size=5, unique=True))
    told = [ArrivedLabel(T0 + 9, 1, T0 + 9)] if draw(st.booleans()) else []
    return Shared([draw(accounts(name)) for name in names], told)


@given(entries())
@settings(max_examples=400, deadline=None, derandomize=True, database=None)
def test_an_entry_comes_back_as_it_was(entry: Shared) -> None:
    """Whatever the answers are: stored by what differs, or whole where that is not enough."""
    back = decode_entry(encode_entry(entry))
    # Through bytes, so that 1 and true are told apart.
    assert msgspec.json.encode(back) == msgspec.json.encode(entry)
    assert back == entry


def answered(count: int) -> Shared:
    """A served answer, and others in shadow of the same request, some milliseconds later."""
    records = [
        prediction_record("x", 7 * at, arm=f"model-{at}", served=not at, epoch=3, seq=9)
        for at in range(count)
    ]
    [entry] = attribute(
        [(True, records)], {}, routes(), max_value_bytes=MAX_VALUE_BYTES
    ).entries.values()
    assert isinstance(entry, Shared)
    return entry


def test_each_answer_in_shadow_adds_a_few_bytes() -> None:
    """Three of them together cost less than the served one."""
    assert isinstance(pack(answered(4)), Packed)
    one, four = (len(encode_entry(Shared(answered(4).accounts[:n]))) for n in (1, 4))
    assert four - one < one


@pytest.mark.parametrize("is_default", [False, True])
def test_a_request_is_indexed_once_and_looked_at_until_its_last_answer_ends(
    is_default: bool,
) -> None:
    """The sweep finds by itself when to look again; where defaults fall due each is indexed."""
    extra = {"default_reward": 0.0, "default_after_s": 5} if is_default else {}
    known = routes(window_s=10, **extra)
    records = [
        prediction_record("x", at, arm=arm, served=arm == "a")
        for arm, at in (("a", 0), ("b", 3), ("c", 4_000))
    ]
    out = attribute([(True, records)], {}, known, max_value_bytes=MAX_VALUE_BYTES)
    indexed = [name for names in out.expiring.values() for name in names]
    assert len(indexed) == (3 if is_default else 1)
    if is_default:
        return
    [bucket] = out.expiring
    assert bucket == T0 + 10_000
    first = sweep(out.entries, T0 + 11_000, known)
    assert first.expired == []
    [again] = first.expiring
    assert again == T0 + 14_000
    assert sweep(out.entries, T0 + 15_000, known).expired == ["x"]
