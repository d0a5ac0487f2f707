"""What the doctor concludes from facts, without a broker."""

import binascii
import os
import random
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, SaslAuthenticationFailed
from hypothesis import given, settings
from hypothesis import strategies as st

from leverframe.agents.datadir import claim, holder
from leverframe.agents.doctor.clocks import judge_clocks
from leverframe.agents.doctor.examination import judge_alarms, judge_broker
from leverframe.agents.doctor.facts import Facts
from leverframe.agents.doctor.findings import Finding, exit_code, fault, ok, warning
from leverframe.agents.doctor.local import judge_folder, judge_routes
from leverframe.agents.doctor.losses import add_losses, judge_losses
from leverframe.agents.doctor.partitioners import (
    MURMUR2,
    PARTITIONERS,
    fnv1a,
    judge_partitioners,
    place,
)
from leverframe.agents.doctor.permissions import Refusal, judge_rights
from leverframe.agents.doctor.replication import Replicas, judge_replication, replicas_of
from leverframe.agents.doctor.retention import judge_retention
from leverframe.agents.doctor.sample import Sample, Sampled, alarms_of, names_of
from leverframe.agents.doctor.workers import Group, Progress, judge_attendance
from leverframe.agents.settings import Settings, load_settings
from leverframe.schemas.errors import SettingsError
from leverframe.streams.routes.settings import NamedParams, RouteSettings
from leverframe.streams.runtime.connect import explain
from leverframe.streams.runtime.kafka import BrokerSettings, partition_of
from leverframe.streams.runtime.ledger import Loss, Positions
from leverframe.streams.runtime.topic_admin import TopicFinding
from leverframe.streams.topology import TOPICS, Topics

Choose = Callable[[bytes, int], int]
PREDICTIONS, LABELS = "predictions", "ground-truth"
SECRET = "geheim"  # noqa: S105 - what must not be repeated


def keys(count: int, seed: int) -> list[bytes]:
    rng = random.Random(seed)
    return [f"{rng.getrandbits(64):016x}".encode() for _ in range(count)]


def records(ids: Sequence[bytes], choose: Choose, partitions: int) -> list[Sampled]:
    return [
        Sampled(
            partition=choose(key, partitions),
            offset=at,
            key=key,
            timestamp_ms=1_000_000 + at,
            name=key.decode(),
        )
        for at, key in enumerate(ids)
    ]


def judge(predictions: list[Sampled], labels: list[Sampled], partitions: int) -> list[Finding]:
    return judge_partitioners(
        place(PREDICTIONS, predictions, partitions),
        place(LABELS, labels, partitions),
        {PREDICTIONS: predictions, LABELS: labels},
    )


def states(findings: Sequence[Finding]) -> list[str]:
    return [finding.state for finding in findings]


@pytest.mark.parametrize(
    ("key", "murmur2", "crc32", "fnv"),
    [
        (b"23456", 0x058D780F, 0xB1B451D7, 0x27E6F469),
        (b"hejsan", 0x5EC19395, 0xD077037E, 0x17B1E27A),
    ],
)
def test_hashes_are_those_of_the_clients(key: bytes, murmur2: int, crc32: int, fnv: int) -> None:
    """The reference values that librdkafka tests itself with, got from Java and Go."""
    assert binascii.crc32(key) == crc32
    assert fnv1a(key) == fnv
    for partitions in (2, 7, 17):
        assert PARTITIONERS[MURMUR2](key, partitions) == murmur2 % partitions
        assert PARTITIONERS["crc32"](key, partitions) == crc32 % partitions
        assert PARTITIONERS["fnv1a"](key, partitions) == fnv % partitions


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    name=st.sampled_from(["crc32", "fnv1a"]),
    partitions=st.integers(2, 64),
    count=st.integers(100, 300),
)
def test_a_foreign_hash_is_named(seed: int, name: str, partitions: int, count: int) -> None:
    """100 records are enough to name the other hash, whatever the keys; murmur2 is left alone."""
    ids = keys(count, seed)
    placed = place(LABELS, records(ids, PARTITIONERS[name], partitions), partitions)
    assert placed.explained_by == name
    assert placed.follows == name
    right = place(PREDICTIONS, records(ids, partition_of, partitions), partitions)
    assert (right.misplaced, right.follows) == ([], MURMUR2)


def test_chance_is_not_taken_for_a_hash() -> None:
    """Records put anywhere are explained by nothing: 2,000 seeded topics, no false name."""
    for seed in range(2000):
        rng = random.Random(seed)
        partitions = rng.choice([2, 3, 4, 8, 16])
        count = rng.randrange(20, 60)
        anywhere = records(keys(count, seed), lambda _, n, rng=rng: rng.randrange(n), partitions)
        assert place(LABELS, anywhere, partitions).explained_by == ""


def test_labels_by_crc32_are_a_fault_with_the_cure() -> None:
    """The main promise: one side by librdkafka's default is found, counted and cured."""
    ids = keys(500, 1)
    found = judge(records(ids, partition_of, 4), records(ids, PARTITIONERS["crc32"], 4), 4)
    assert states(found) == ["ok", "fault"]
    assert found[1].where == LABELS
    assert "partitioner=murmur2_random" in found[1].cure
    assert "crc32 explains them" in found[1].detail
    split = sum(partition_of(key, 4) != binascii.crc32(key) % 4 for key in ids)
    assert f"{split} of the 500 newest records" in found[1].detail
    assert f"{split} recent request ids lie in different partitions" in found[1].detail


def test_one_of_several_producers_is_found() -> None:
    """A tenth of the labels by crc32, the rest right: still a fault, and the hash is named."""
    ids = keys(1000, 2)
    labels = records(ids[:900], partition_of, 8) + records(ids[900:], PARTITIONERS["crc32"], 8)
    found = judge(records(ids, partition_of, 8), labels, 8)
    assert states(found) == ["ok", "fault"]
    assert "crc32 explains them" in found[1].detail


def test_both_sides_by_crc32_is_a_warning() -> None:
    """Pairs meet as long as both sides agree; the contract is broken all the same."""
    ids = keys(300, 3)
    half = records(ids, PARTITIONERS["crc32"], 2)
    found = judge(half, half, 2)
    assert states(found) == ["warning"]
    assert "murmur2_random" in found[0].cure


def test_mixtures_on_both_sides_are_faults() -> None:
    """With two partitions a mixture is not taken for agreement."""
    ids = keys(600, 4)
    mixed = records(ids[::2], partition_of, 2) + records(ids[1::2], PARTITIONERS["crc32"], 2)
    assert states(judge(mixed, mixed, 2)) == ["fault", "fault"]


def test_added_partitions_are_recognised() -> None:
    """Records from before the count was raised lie where murmur2 of the old count puts them."""
    old = records(keys(200, 5), partition_of, 4)
    found = judge(old, old, 6)
    assert states(found) == ["fault", "fault"]
    assert "murmur2 of 4 partitions explains them" in found[0].detail
    assert "Partitions were added" in found[0].cure


def test_unknown_partitioner_is_a_fault_without_a_name() -> None:
    """A producer that picks partitions itself is told to stop."""
    ids = keys(200, 6)
    rng = random.Random(6)
    found = judge(records(ids, partition_of, 4), records(ids, lambda _, n: rng.randrange(n), 4), 4)
    assert states(found) == ["ok", "fault"]
    assert "no known hash" in found[1].detail


@pytest.mark.parametrize(("count", "partitions"), [(0, 4), (19, 4), (500, 1)])
def test_too_little_cannot_be_told(count: int, partitions: int) -> None:
    """One partition, or fewer than 20 records, is said to be no evidence."""
    some = records(keys(count, 7), partition_of, partitions)
    found = judge(some, some, partitions)
    assert states(found) == ["ok", "ok"]
    assert all("cannot be told yet" in finding.detail for finding in found)


def test_keys_are_compared_with_values() -> None:
    """Missing keys and keys that are not the request_id are faults; a stray one is a warning."""
    good = records(keys(300, 8), partition_of, 4)
    keyless = [Sampled(partition=0, offset=i, key=None, timestamp_ms=i) for i in range(30)]
    other = [
        Sampled(partition=partition_of(b"u", 4), offset=1, key=b"u", timestamp_ms=1, name="r-1")
    ]
    found = judge([*good, *other], [*good, *keyless], 4)
    assert states(found) == ["ok", "ok", "warning", "fault"]
    assert "key_mismatch" in found[2].detail
    assert "missing_key" in found[3].detail


def test_names_come_from_values_and_never_raise() -> None:
    """Whatever a value holds, the sample goes on."""
    assert names_of(b'{"request_id":"r","x":[1]}') == ("r", 0)
    assert names_of(b'{"request_id":"r","session_id":"s"}') == ("s", 0)
    assert names_of(b'{"route":"c","ttl_ms":9}') == ("c", 9)
    for raw in (None, b"", b"\xff", b"[]", b'{"request_id":7}', b'{"request_id":"\xff"}'):
        assert names_of(raw) == ("", 0)


def topic_configs() -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    wanted = {topic.name: topic.config for topic in Settings().declared_topics()}
    topics = Settings().topic_names
    return wanted, {spec.name: topics.full_name(spec) for spec in TOPICS}


@pytest.mark.parametrize(
    ("name", "change", "state"),
    [
        ("predictions", {}, "ok"),
        ("predictions", {"retention.ms": "-1"}, "ok"),
        ("predictions", {"retention.ms": "3000000"}, "fault"),
        ("predictions", {"retention.ms": "86400000"}, "warning"),
        ("rewards", {"retention.ms": "3000000"}, "fault"),
        ("dead-letters", {"retention.ms": "3000000"}, "warning"),
        ("ground-truth", {"retention.bytes": "1000000"}, "warning"),
        ("ground-truth", {"cleanup.policy": "compact"}, "fault"),
        ("commands", {"cleanup.policy": "compact,delete"}, "fault"),
        ("control", {"cleanup.policy": "delete"}, "fault"),
        ("control", {"cleanup.policy": "compact,delete"}, "fault"),
        ("attribution-changelog", {"cleanup.policy": "compact"}, "ok"),
        ("attribution-changelog", {"cleanup.policy": "delete"}, "fault"),
        ("attribution-changelog", {"retention.ms": "3000000"}, "fault"),
        ("learning-changelog", {"cleanup.policy": "compact,delete"}, "fault"),
        ("learning-changelog", {"max.message.bytes": "1048588"}, "fault"),
        ("rewards", {"max.message.bytes": "100000"}, "fault"),
        ("dead-letters", {"max.message.bytes": "600000"}, "fault"),
        ("predictions", {"message.timestamp.after.max.ms": "9223372036854775807"}, "warning"),
    ],
)
def test_retention_is_judged_by_what_would_be_lost(
    name: str, change: dict[str, str], state: str
) -> None:
    """Each setting that loses something is found, with the command that mends it."""
    wanted, names = topic_configs()
    actual = {topic: dict(config) for topic, config in wanted.items()}
    actual[names[name]] |= change
    (found,) = judge_retention(wanted, names, actual, actual, 3_600_000)
    assert found.state == state
    if state != "ok":
        assert found.where == names[name]
        assert "kafka-configs.sh" in found.cure


def test_hidden_settings_are_said_to_be_hidden() -> None:
    """A topic that exists and whose settings this user may not read is no silent "ok"."""
    wanted, names = topic_configs()
    (found,) = judge_retention(wanted, names, {}, ["predictions"], 1000)
    assert (found.state, found.where) == ("warning", "predictions")


def stamped(*times_ms: int) -> Sample:
    return Sample(
        records=[
            Sampled(partition=0, offset=i, key=b"k", timestamp_ms=t) for i, t in enumerate(times_ms)
        ],
        taken_at_ms=10_000_000,
    )


def test_clocks_ahead_and_behind_are_warnings() -> None:
    """A record from the future and one an hour late are told apart; the text says what is known."""
    early, late = stamped(10_000_000, 10_009_000), stamped(9_000_000, 5_000_000, 9_000_001)
    found = judge_clocks({PREDICTIONS: early, LABELS: late}, "control")
    assert states(found) == ["warning", "warning"]
    assert "9.0 s later than this machine's time: a producer's clock" in found[0].detail
    assert "1 of the 3 newest records" in found[1].detail
    (worker,) = judge_clocks({"control": early}, "control")
    assert "a worker's clock" in worker.detail
    (fine,) = judge_clocks({PREDICTIONS: stamped(9_998_000)}, "control")
    assert (fine.state, "predictions 2.0 s ago" in fine.detail) == ("ok", True)
    (none,) = judge_clocks({PREDICTIONS: Sample()}, "control")
    assert "cannot be told" in none.detail


def test_missing_rights_are_named() -> None:
    """Each refusal is a line with the right to give; steering is not a worker's need."""
    topics = Topics("app", "p-")
    refused = [
        Refusal(operation="Read", kind="group", name="p-app"),
        Refusal(operation="Write", kind="topic", name=topics.commands),
    ]
    found = judge_rights(refused, topics, "w", 19)
    assert states(found) == ["fault", "warning"]
    assert "w may not read this group" in found[0].detail
    assert "Allow Read" in found[0].cure
    assert judge_rights([], topics, "", 19)[0].state == "ok"


def control(age_ms: int, ttl_ms: int = 15_000) -> Sample:
    heard = Sampled(
        partition=0,
        offset=0,
        key=b"c",
        timestamp_ms=1_000_000 - age_ms,
        name="c",
        ttl_ms=ttl_ms,
    )
    return Sample(records=[heard], taken_at_ms=1_000_000)


UNREAD = [TopicPartition(PREDICTIONS, 2), TopicPartition(PREDICTIONS, 3)]


def test_partitions_that_nobody_reads_are_named() -> None:
    """A group may have members, and a partition none of them."""
    seen = Group(name="g", state="Stable", members=["h"], unread=UNREAD)
    told, _ = judge_attendance(seen, control(1_000))
    assert f"no member reads partitions 2, 3 of {PREDICTIONS}" in told.detail
    assert "end any program in the group that is no worker" in told.cure


def test_records_that_are_gone_unread_are_a_fault() -> None:
    """Retention was faster than the workers."""
    seen = Group(name="g", state="Stable", members=["h"], removed={PREDICTIONS: 30})
    told, *_ = judge_attendance(seen, control(1_000))
    assert told.state == "fault"
    assert "30 records were lost to retention" in told.detail


def group(waiting: int, moved: int, watched_s: float, *members: str) -> Group:
    progress = {PREDICTIONS: Progress(waiting=waiting, moved=moved)}
    return Group(name="g", members=list(members), progress=progress, watched_s=watched_s)


@pytest.mark.parametrize(
    ("seen", "age_ms", "expected"),
    [
        (group(0, 0, 0, "h"), 1_000, ["ok", "ok"]),
        (group(5_000, 800, 3.0, "h"), 1_000, ["ok", "ok"]),
        (group(5_000, 0, 3.0, "h"), 1_000, ["warning", "ok"]),
        (group(50, 0, 3.0, "h"), 1_000, ["ok", "ok"]),
        (group(5_000, 0, 0), 1_000, ["warning", "ok"]),
        (group(0, 0, 0, "h"), 20_000, ["ok", "warning"]),
        (Group(name="g", failure="x"), 1_000, ["warning"]),
        (Group(name="g", state="Stable", members=["h"], unread=UNREAD), 1_000, ["fault", "ok"]),
        (Group(name="g", state="Dead", members=["h"], unread=UNREAD), 1_000, ["warning", "ok"]),
        (Group(name="g", unread=UNREAD), 1_000, ["warning", "ok"]),
    ],
)
def test_workers_are_judged_by_group_lag_and_voice(
    seen: Group, age_ms: int, expected: list[str]
) -> None:
    """No member, a lag that stands still, and silence beyond ttl_s are warnings."""
    assert states(judge_attendance(seen, control(age_ms))) == expected


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (SaslAuthenticationFailed("x"), "username or password"),
        (ssl.SSLCertVerificationError("bad"), "ca_file"),
        (ssl.SSLError("wrong version number"), "[broker] security"),
        (socket.gaierror(-2, "x"), "[broker] servers"),
        (KafkaConnectionError("closed"), "[broker] security"),
        (ConnectionRefusedError(), "leverframe broker start"),
        (TimeoutError(), "leverframe broker start"),
    ],
)
def test_failures_to_connect_name_the_setting(error: Exception, told: str) -> None:
    """One line, the setting that is wrong, and no password."""
    broker = BrokerSettings(
        servers="k:9092", security="sasl_ssl", username="worker", password=SECRET
    )
    text = explain(error, broker)
    assert told in text
    assert SECRET not in text
    assert "\n" not in text


def test_routes_that_cannot_be_built_are_all_named() -> None:
    """Every wrong route is a line; the check goes on after the first."""
    given_ = Settings(
        routes={
            "a": RouteSettings(policy=NamedParams(name="nonsense")),
            "b": RouteSettings(reward=NamedParams(name="nonsense")),
            "c": RouteSettings(window_s=5),
        }
    )
    found = judge_routes(given_, None)
    assert states(found) == ["fault", "fault"]
    assert all(f"routes.{name}." in one.detail for name, one in zip("ab", found, strict=True))
    assert judge_routes(Settings(), Path("x.toml"))[0].where == "x.toml"


def folder_of(path: Path) -> Settings:
    return load_settings(None, {"LEVERFRAME_APP__DATADIR": str(path)})


def test_folder_is_looked_at_and_not_made(tmp_path: Path) -> None:
    """A new folder can be made, a file in its place cannot, and nothing is created."""
    new = tmp_path / "a" / "b"
    assert judge_folder(folder_of(new)).detail == "can be made"
    assert not new.exists()
    (tmp_path / "f").write_text("x", encoding="utf-8")
    found = judge_folder(folder_of(tmp_path / "f" / "data"))
    assert (found.state, "is a file" in found.detail) == ("fault", True)
    assert judge_folder(folder_of(tmp_path)).detail == "writable"


def test_worker_that_has_the_folder_is_named(tmp_path: Path) -> None:
    """By its process id, for as long as it lives; looking does not take the folder."""
    assert holder(tmp_path) == 0
    code = (
        "import pathlib, sys; from leverframe.agents.datadir import claim; "
        "claim(pathlib.Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as worker:
        assert worker.stdout is not None
        worker.stdout.readline()
        found = judge_folder(folder_of(tmp_path))
        assert found.detail == f"a worker runs here (process {worker.pid})"
        with pytest.raises(SettingsError, match=rf"another worker \(process {worker.pid}\)"):
            claim(tmp_path)
        worker.communicate(b"")
    assert holder(tmp_path) == 0
    os.close(claim(tmp_path))


def facts(**changes: Any) -> Facts:
    declared = Settings().declared_topics()
    known: dict[str, Any] = {
        "cluster_id": "c",
        "brokers": {"k:9092": True},
        "topics": [TopicFinding(topic=topic.name, state="ok") for topic in declared],
        "partitions": {topic.name: topic.partitions for topic in declared},
        "replicas": {topic.name: Replicas(1, 1) for topic in declared},
        "configs": {topic.name: topic.config for topic in declared},
        "refused": [],
        "asked": 19,
        "samples": {name: Sample() for name in (PREDICTIONS, LABELS, "control")},
        "group": group(0, 0, 0, "h"),
    }
    return Facts(**(known | changes))


def test_examination_keeps_its_order_and_counts_faults() -> None:
    """A healthy cluster has no fault; different partition counts are one, whatever is declared."""
    found = judge_broker(Settings(), facts())
    checks = list(dict.fromkeys(finding.check for finding in found))
    assert checks == [
        "broker",
        "topics",
        "retention",
        "replication",
        "partitioner",
        "clock",
        "permissions",
        "worker",
    ]
    assert exit_code(found) == 0
    uneven = facts().partitions | {LABELS: 8}
    wrong = [one for one in judge_broker(Settings(), facts(partitions=uneven)) if one.state != "ok"]
    assert [one.where for one in wrong] == ["predictions, ground-truth"]
    assert "4 and 8 partitions" in wrong[0].detail


def test_missing_topics_are_one_line() -> None:
    """What is missing is listed once; where rights are missing too, it may only be hidden."""
    gone = [
        TopicFinding(topic=one.topic, state="missing") if i < 3 else one
        for i, one in enumerate(facts().topics)
    ]
    left = dict(list(facts().partitions.items())[3:])
    changes: dict[str, Any] = {"topics": gone, "partitions": left}
    for refused in ([], [Refusal(operation="Read", kind="topic", name=LABELS)]):
        found = judge_broker(Settings(), facts(**changes, refused=refused))
        (line,) = [one for one in found if one.check == "topics"]
        assert line.where == "commands, ground-truth, predictions"
        assert ("hidden" in line.detail) == bool(refused)
        assert "leverframe topics create" in line.cure


def test_findings_are_one_line_and_only_faults_count() -> None:
    """State, check, place, detail, cure; warnings leave the exit code alone."""
    found = [ok("a", "x", "y"), warning("b", "x", "y", "do"), fault("c", "x", "y", "do")]
    assert found[2].line() == "fault    c            x: y. do"
    assert exit_code(found) == 1
    assert exit_code(found[:2]) == 0


@pytest.mark.parametrize(
    ("copies", "brokers", "declared", "states"),
    [
        (Replicas(3, 3), 3, 3, ["ok"]),
        (Replicas(1, 1), 1, 1, ["ok"]),
        (Replicas(3, 2), 3, 3, ["warning"]),
        (Replicas(3, 1), 3, 3, ["fault"]),
        (Replicas(1, 1), 3, 1, ["warning"]),
        (Replicas(2, 2), 3, 3, ["warning"]),
        (Replicas(1, 0), 1, 1, ["fault"]),
    ],
)
def test_replication_says_what_a_lost_broker_would_cost(
    copies: Replicas, brokers: int, declared: int, states: list[str]
) -> None:
    """Copies that are missing, behind, or never wanted; each with a cure."""
    configs = {"rewards": {"min.insync.replicas": "2" if copies.wanted > 2 else "1"}}
    found = judge_replication({"rewards": copies}, configs, brokers, declared)
    assert [finding.state for finding in found] == states
    assert all(finding.cure for finding in found if finding.state != "ok")


def test_replication_looks_at_the_worst_partition() -> None:
    """One partition with a copy behind makes the topic's figure."""
    described = {
        "partitions": [{"replicas": [1, 2], "isr": [1, 2]}, {"replicas": [1, 2], "isr": [2]}]
    }
    assert replicas_of(described) == Replicas(2, 1)


def test_losses_are_told_long_after() -> None:
    """A fault for a day, a warning for a month; partitions are added up."""
    day_ms = 24 * 3600 * 1000
    raw = [
        msgspec.msgpack.encode(Positions(lost={LABELS: Loss(count, at_ms)}))
        for count, at_ms in ((30, day_ms), (12, 5))
    ]
    losses = add_losses([*raw, msgspec.msgpack.encode(Positions())])
    assert losses == {LABELS: Loss(42, day_ms)}
    for age_days, states in ((1, ["fault"]), (2, ["warning"]), (31, [])):
        found = [*judge_losses(losses, day_ms * (1 + age_days))]
        assert [one.state for one in found] == states
        assert all("42 records were lost" in one.detail for one in found)
        assert all("1970-01-02T00:00:00Z" in one.detail for one in found)


def test_alarms_of_the_newest_heartbeat_are_told() -> None:
    """``no_good_arm`` is a fault, other alarms are warnings; what is over is not told."""
    beats = [
        ("r", {"no_good_arm": {}, "label_outage": {}}),
        ("s", {"label_outage": {}}),
        ("s", {}),
    ]
    records = [
        Sampled(
            partition=0,
            offset=at,
            key=name.encode(),
            timestamp_ms=0,
            name=name,
            ttl_ms=1,
            alarms=alarms_of(
                orjson.dumps({"cause": {"why": "heartbeat", "following": {"alarms": alarms}}})
            ),
        )
        for at, (name, alarms) in enumerate(beats)
    ]
    found = list(judge_alarms(Sample(records=records)))
    assert [(one.state, one.where, one.detail.partition(":")[0]) for one in found] == [
        ("warning", "route r", "label_outage"),
        ("fault", "route r", "no_good_arm"),
    ]
    assert alarms_of(b"{}") is None
    assert alarms_of(b"no json") is None


def test_a_quota_that_is_too_small_is_a_warning() -> None:
    """As long as requests were left out in the last ten minutes before the heartbeat."""

    def alarms(newest_ms: int) -> tuple[str, ...] | None:
        cause = {"why": "heartbeat", "joins": {"over_quota_ms": newest_ms}}
        return alarms_of(orjson.dumps({"cause": cause, "issued_at_ms": 10**12}))

    assert alarms(10**12 - 600_000) == ()
    told = alarms(10**12 - 1_000)
    assert told == ("over_quota",)
    record = Sampled(
        partition=0, offset=0, key=b"r", timestamp_ms=0, name="r", ttl_ms=1, alarms=told
    )
    (found,) = judge_alarms(Sample(records=[record]))
    assert found.state == "warning"
    assert "max_requests_per_s" in found.detail
