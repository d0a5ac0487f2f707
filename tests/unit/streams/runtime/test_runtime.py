"""The pure parts of the runtime, and RocksDB itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from records import routes

from leverframe.agents.worker.attribution import is_caught_up
from leverframe.schemas.errors import LedgerError
from leverframe.streams.attribution.entries import Attributed, EarlyLabel, Entry, Waiting
from leverframe.streams.attribution.expiry import (
    IDS_IN_ONE,
    bucket_of,
    decode_ids,
    index_changes,
    is_due,
    sweep,
)
from leverframe.streams.attribution.placement import MOST_CHECKED, check_placement
from leverframe.streams.attribution.traffic import AgedCounts, traffic_of
from leverframe.streams.runtime.kafka import partition_of
from leverframe.streams.runtime.ledger import Positions
from leverframe.streams.runtime.partition import Idle
from leverframe.streams.runtime.restore import STALE_AFTER_MS, is_only_copy, is_trustworthy
from leverframe.streams.runtime.runs import AHEAD_MS, Run, gaps_before, own_keys, unseen
from leverframe.streams.runtime.slices import slices
from leverframe.streams.runtime.store import CachePosition, Memory, open_store
from leverframe.streams.topology import Topics


@dataclass
class Fetched:
    key: bytes = b"k" * 10
    value: bytes = b"v" * 90
    offset: int = 0
    timestamp: int = 0
    partition: int = 0


@dataclass
class Keyed:
    key: bytes | None


def fetched(*offsets: int) -> list[Fetched]:
    return [Fetched(offset=offset, timestamp=offset * 10) for offset in offsets]


@pytest.mark.parametrize(
    ("count", "max_records", "max_bytes", "expected"),
    [
        (0, 4, 1000, []),
        (10, 4, 10_000, [4, 4, 2]),
        (10, 100, 300, [3, 3, 3, 1]),
        (2, 100, 50, [1, 1]),
    ],
)
def test_slices_keep_order_and_both_caps(
    count: int, max_records: int, max_bytes: int, expected: Sequence[int]
) -> None:
    """Nothing is lost or reordered; a record larger than the cap goes alone."""
    records = fetched(*range(count))
    parts = list(slices(records, max_records, max_bytes))
    assert [len(part) for part in parts] == list(expected)
    assert [record for part in parts for record in part] == records


def test_unseen_skips_what_was_counted_before() -> None:
    """Records below the ledger's offset are left out, per topic; positions move past the rest."""
    positions = Positions({"p": 5}, {"p": 40})
    runs = [Run("p", fetched(3, 4)), Run("g", fetched(0)), Run("p", fetched(4, 5, 7))]
    fresh, after = unseen(positions, runs, 1_000)
    assert [(run.topic, [record.offset for record in run.records]) for run in fresh] == [
        ("g", [0]),
        ("p", [5, 7]),
    ]
    assert after.offsets == {"p": 8, "g": 1}
    assert after.times_ms == {"p": 70, "g": 0}
    assert positions.offsets == {"p": 5}


def test_a_clock_ahead_takes_stream_time_along_no_further_than_the_bound() -> None:
    """A producer whose clock is ahead cannot close everybody's windows; its record is counted."""
    ahead = [Fetched(offset=0, timestamp=900_000_000), Fetched(offset=1, timestamp=5_000)]
    fresh, after = unseen(Positions(), [Run("p", ahead)], 10_000)
    assert fresh == [Run("p", ahead)]
    assert after.times_ms == {"p": 10_000 + AHEAD_MS}


def test_gaps_are_runs_that_do_not_begin_where_counting_stopped() -> None:
    """A gap may be markers of transactions, or records that retention removed."""
    runs = [Run("p", fetched(5, 6)), Run("g", fetched(9))]
    assert gaps_before(Positions({"p": 5, "g": 2}), runs) == [("g", 2, 9)]


def test_own_keys_leave_the_ledgers_keys_alone() -> None:
    """A record whose key looks like one of the ledger's entries never reads it."""
    records = [Keyed(key) for key in (b"x", b"\0positions", None, b"", b"\0e12", b"y", b"x")]
    assert own_keys([Run("p", records)]) == [b"x", b"y", b"x"]


@pytest.mark.parametrize(
    ("idle", "expected"),
    [
        (Idle(9, 100, True, 100), True),
        (Idle(9, 140, True, 100), True),
        (Idle(9, 140, False, 100), False),
        (Idle(9, 140, True, 101), False),
        (Idle(1, 100, True, 100), False),
        (Idle(9, None, False, 0), False),
    ],
)
def test_wall_time_moves_only_topics_that_are_silent_and_read(idle: Idle, expected: bool) -> None:
    """A backlog in Kafka or in the worker, or no answer, never lets windows close by wall time.

    Offsets without records, as aborted transactions leave them, do not count as a backlog.
    """
    assert is_caught_up(idle, 100) is expected


@pytest.mark.parametrize(
    ("cached", "end", "topic_id", "expected"),
    [
        (None, 0, "a", False),
        (CachePosition(50, 0, "a"), 50, "a", False),
        (CachePosition(50, 0, "a"), 90, "b", True),
        (CachePosition(50, 0, "a"), 49, "a", True),
        (CachePosition(50, 0), 50, "a", False),
        (CachePosition(50, 0, "a"), 50, "", False),
    ],
)
def test_a_cache_that_holds_what_its_changelog_lost_is_the_only_copy(
    cached: CachePosition | None, end: int, topic_id: str, expected: bool
) -> None:
    """It is never deleted, however old: the changelog was made anew, or cut."""
    assert is_only_copy(cached, end, topic_id) is expected


@pytest.mark.parametrize(
    ("cached", "expected"),
    [
        (None, False),
        (CachePosition(50, 0), True),
        (CachePosition(100, 0), True),
        (CachePosition(101, 0), False),
        (CachePosition(9, 0), False),
        (CachePosition(50, -STALE_AFTER_MS - 1), False),
    ],
)
def test_caches_are_trusted_only_within_the_log(
    cached: CachePosition | None, expected: bool
) -> None:
    """Beyond the end (a topic made anew), before the start, or too old: rebuilt."""
    assert is_trustworthy(cached, 10, 100, 0) is expected


def test_store_writes_changes_and_position_together(tmp_path: Path) -> None:
    """What was written is there after a reopen, deletions too, in key order."""
    memory = Memory(1 << 20, 8 << 20)
    store = open_store(tmp_path / "a" / "0", memory)
    assert store.position is None
    store.write([(b"x", b"1"), (b"y", b"2"), (b"\x00e1", b"3")], CachePosition(3, 9))
    store.write([(b"x", None)], CachePosition(4, 10))
    store.close()
    store = open_store(tmp_path / "a" / "0", memory)
    assert store.position == CachePosition(4, 10)
    assert store.get_many([b"x", b"y", b"z", b"y"]) == [None, b"2", None, b"2"]
    assert list(store.scan(b"\x01")) == [(b"y", b"2")]
    assert list(store.scan(b"\x00e", b"\x00f")) == [(b"\x00e1", b"3")]
    assert list(store.scan(b"\x00e", None, 1)) == [(b"\x00e1", b"3")]
    store.close()


def test_many_stores_share_the_memory_without_writing_tables(tmp_path: Path) -> None:
    """A store that holds next to nothing takes next to nothing, or all would flush always."""
    memory = Memory(1 << 20, 64 << 20)
    stores = [open_store(tmp_path / str(at), memory) for at in range(60)]
    for _ in range(3):
        for store in stores:
            store.write([(b"k", b"v")], CachePosition(1, 2))
    assert not list(tmp_path.glob("*/*.sst"))
    for store in stores:
        store.close()


def test_store_refuses_a_folder_that_another_worker_holds(tmp_path: Path) -> None:
    """Two workers on one datadir: a clear error with the cure."""
    memory = Memory(1 << 20, 8 << 20)
    store = open_store(tmp_path / "0", memory)
    with pytest.raises(LedgerError, match="datadir"):
        open_store(tmp_path / "0", memory)
    store.close()


def test_store_starts_empty_where_it_cannot_be_read(tmp_path: Path) -> None:
    """A corrupt cache is thrown away, since the log is the truth."""
    memory = Memory(1 << 20, 8 << 20)
    store = open_store(tmp_path / "0", memory)
    store.write([(b"x", b"1")], CachePosition(1, 1))
    store.close()
    for file in (tmp_path / "0").glob("MANIFEST*"):
        file.write_bytes(b"garbage")
    store = open_store(tmp_path / "0", memory)
    assert store.position is None
    store.close()


WAITING = Waiting(0, 500, "r", "a", 1, None, None, None, None, 0, True)


def test_sweep_forgets_what_expired_and_keeps_what_grew() -> None:
    """Expired entries are deleted and told apart; entries with a later end are indexed anew."""
    found = sweep(
        {
            "orphan": WAITING,
            "closed": Attributed(WAITING, 1, 0, 1.0, 0, 0),
            "stranger": EarlyLabel(0, 500, 1, 0),
            "gone": None,
            "grown": EarlyLabel(0, 2500, 1, 0),
        },
        1000,
        routes(),
    )
    assert found.expired == ["orphan", "closed", "stranger"]
    assert found.expiring == {2000: ["grown"]}
    assert dict(found.counts) == {
        ("orphan_prediction", "r", "a"): 1,
        ("closed", "r", "a"): 1,
        ("orphan_label", "", ""): 1,
    }
    assert found.aged == {("r", "a", 0): AgedCounts(0, 1)}


def test_sweep_counts_the_default_reward_and_keeps_the_account_open() -> None:
    """Without a label the default counts once its time has come; the window ends later."""
    rule = routes(window_s=2.0, default_reward=0.0, default_after_s=0.5)
    waiting = Waiting(0, 2000, "r", "a", 1, 0.5, None, None, None, 0, True)
    unseen = Waiting(0, 2000, "r", "a", 1, 0.5, None, None, None, 0, False)
    early = sweep({"x": waiting, "unseen": unseen}, 400, rule)
    assert (early.rewards, early.expiring) == ([], {0: ["x"], 2000: ["unseen"]})
    due = sweep({"x": waiting}, 501, rule)
    (reward,) = due.rewards
    assert (reward.reward, reward.cause, reward.revision) == (0.0, "expiry", 0)
    assert (reward.attributed_at_ms, reward.previous_reward) == (500, None)
    assert (due.expired, due.expiring) == ([], {2000: ["x"]})
    assert sweep(dict(due.changed), 1900, rule).rewards == []
    late = sweep({"x": waiting}, 2001, rule)
    assert (late.expired, late.changed, len(late.rewards)) == (["x"], {}, 1)


def test_of_what_stayed_alone_a_sample_is_checked_for_its_place() -> None:
    """Predictions without a label, whether a default stands for it or not, and stray labels."""
    rule = routes(window_s=2.0, default_reward=0.0, default_after_s=0.5)
    open_ = Waiting(0, 2000, "r", "a", 1, 0.5, None, None, None, 0, True)
    entries: dict[str, Entry | None] = {f"x{i}": open_ for i in range(MOST_CHECKED + 9)}
    entries |= {"closed": Attributed(WAITING, 1, 0, 1.0, 0, 0, matured=True), "gone": None}
    entries |= {"here": EarlyLabel(0, 500, 1, 0), "there": EarlyLabel(0, 500, 1, 0)}
    entries |= {"waits": EarlyLabel(0, 5000, 1, 0)}
    found = sweep(entries, 1000, rule)
    check_placement(entries, found, {"x3", "x4", "there", "closed", "waits"}.__contains__)
    traffic = traffic_of({}, found.counts, {}, 1000)
    joins = {what: count for what, count in traffic[0].joins.items() if "_" in what}
    assert joins == {
        "checked_prediction": MOST_CHECKED,
        "misplaced_prediction": 2,
        "nearby_orphan_label": 2,
        "nearby_checked_label": 2,
        "nearby_misplaced_label": 1,
    }
    assert "checked_prediction" not in traffic[0].arms["a"]


def test_expiry_index_sorts_by_time() -> None:
    """Index keys come in the order of their buckets and give back what they hold."""
    changes = index_changes({300_000: ["b"], 2_000: ["a", "c"]}, b"u")
    keys = sorted(changes)
    assert [bucket_of(key) for key in keys] == [2_000, 300_000]
    value = changes[keys[0]]
    assert value is not None
    assert decode_ids(value) == ["a", "c"]


def test_partitions_are_those_of_kafkas_default() -> None:
    """Pinned against the Java client's murmur2, so halves of a pair meet."""
    keys = {b"21": 0x7FFFFFFF & -973932308, b"foobar": 0x7FFFFFFF & -790332482}
    for key, positive in keys.items():
        assert partition_of(key, 1000) == positive % 1000


def test_topics_are_declared_once_with_prefix_and_application() -> None:
    """Twelve topics, changelogs named after the application, all behind the prefix."""
    topics = Topics("app", "p-")
    declared = [
        *topics.declared(
            partitions=4, route_partitions=2, longest_window_ms=0, audit_retention_days=30
        )
    ]
    names = {topic.name: topic.partitions for topic in declared}
    kept = {topic.name: topic.config.get("retention.ms") for topic in declared}
    assert kept["p-audit"] == str(30 * 86_400_000)
    assert names["p-predictions"] == names["p-ground-truth"] == 4
    assert names["p-app-attribution-changelog"] == 4
    assert names["p-rewards"] == names["p-control"] == names["p-app-learning-changelog"] == 2
    assert names["p-route-settings"] == names["p-audit"] == 2
    assert len(names) == 12


def test_expiry_index_is_read_in_portions() -> None:
    """A bucket of many requests has several entries, in order; it is due when it is over."""
    ids = [f"q{at}" for at in range(2 * IDS_IN_ONE + 1)]
    changes = index_changes({5_000: ids}, b"p")
    keys = sorted(changes)
    assert [name for key in keys for name in decode_ids(changes[key] or b"")] == ids
    assert len(keys) == 3
    assert [is_due(keys[0], now_ms) for now_ms in (5_000, 5_999, 6_000)] == [False, False, True]
