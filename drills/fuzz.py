"""Arbitrary bytes at every decoder: coverage-guided with atheris, or by seeded mutations.

``python -m drills.fuzz --seconds 60`` gives each target its time in a process of its own (``make
fuzz``). Where atheris is not installed, and in the tests, seeded mutations of good records do.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final

__all__ = ["TARGETS", "mutations", "seeds"]

_GOLDEN: Final = Path(__file__).parents[1] / "tests" / "golden" / "records.json"


def _record(value: bytes, key: bytes | None, topic: str) -> Any:
    return SimpleNamespace(
        topic=topic, partition=0, offset=1, timestamp=1_700_000_000_000, key=key, value=value
    )


def _stated_key(value: bytes, name: str) -> bytes | None:
    """The key that fits, so that the fuzzer gets beyond the envelope."""
    try:
        return str(json.loads(value)[name]).encode("utf-8", "replace")
    except (ValueError, TypeError, KeyError, RecursionError):
        return b"key"


def _decoding(kind: str) -> Callable[[bytes], None]:
    from leverframe.schemas.codec import RECORDS, decode, encode
    from leverframe.schemas.errors import RecordError

    struct = RECORDS[kind]

    def target(value: bytes) -> None:
        try:
            record = decode(struct, value)
        except RecordError:
            return
        try:
            again = encode(record)
        except TypeError:
            # A free-form field holds a whole number beyond 64 bits: readable, never written by us.
            return
        if decode(struct, again) != record and b"null" not in again:
            raise AssertionError(f"{record} changed on its way")

    return target


def _attributing() -> Callable[[bytes], None]:
    from leverframe.streams.attribution.packed import decode_entry, encode_entry
    from leverframe.streams.attribution.step import attribute
    from leverframe.streams.routes.route import Routes
    from leverframe.streams.routes.settings import RouteSettings

    routes = Routes({}, RouteSettings())

    def target(value: bytes) -> None:
        key = _stated_key(value, "request_id")
        records = [_record(value, key, "any")]
        for order in ((True, False, True), (False, True, False)):
            out = attribute([(each, records) for each in order], {}, routes, max_value_bytes=65536)
            for entry in out.entries.values():
                if decode_entry(encode_entry(entry)) != entry:
                    raise AssertionError(f"{entry} changed in the ledger")
            _ = [letter.headers for letter in out.dead_letters]

    return target


def _learning() -> Callable[[bytes], None]:
    from leverframe.streams.learning.state import decode_route, encode_route
    from leverframe.streams.learning.step import learn
    from leverframe.streams.routes.route import Routes
    from leverframe.streams.routes.settings import RouteSettings

    routes = Routes({}, RouteSettings())

    def target(value: bytes) -> None:
        records = [_record(value, _stated_key(value, "route"), "any")]
        kinds: tuple[Any, ...] = ("rewards", "commands", "control-acks", "traffic", "rewards")
        out = learn([(k, records) for k in kinds], {}, routes, max_value_bytes=65536)
        for state in out.states.values():
            decode_route(encode_route(state))
        _ = [letter.headers for letter in out.dead_letters]

    return target


def _subscribing() -> Callable[[bytes], None]:
    from leverframe.schemas.errors import ControlError
    from leverframe.serving.routing import RoutingTable

    def target(value: bytes) -> None:
        for secrets in ((), (b"the-key",)):
            table = RoutingTable(secrets, lambda: 0.0)
            record = SimpleNamespace(topic="control", key=b"r", value=value, headers=())
            try:
                message = table.offer(record)
            except ControlError:
                continue
            if message is not None:
                table.assign(message.route, "unit")

    return target


def _showing() -> Callable[[bytes], None]:
    from leverframe.agents.cli.printable import printable

    def target(value: bytes) -> None:
        shown = printable(value.decode("utf-8", "surrogateescape"))
        if not shown.replace("\n", "").isprintable():
            raise AssertionError(repr(shown))

    return target


def _ledgering() -> Callable[[bytes], None]:
    import msgspec

    from leverframe.streams.attribution.expiry import decode_ids
    from leverframe.streams.attribution.packed import decode_entry
    from leverframe.streams.learning.state import decode_route

    def target(value: bytes) -> None:
        for decode in (decode_entry, decode_ids, decode_route):
            try:
                decode(value)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
                continue

    return target


def _loading() -> Callable[[bytes], None]:
    from leverframe.agents.settings import load_settings
    from leverframe.schemas.errors import SettingsError

    def target(value: bytes) -> None:
        text = value.decode("utf-8", "replace")
        try:
            load_settings(None, {"LEVERFRAME_APP__ID": text, "LEVERFRAME_TOPICS__PARTITIONS": text})
        except SettingsError:
            return

    return target


_RECORDS: Final = (
    *("predictions", "ground-truth", "commands", "rewards"),
    *("control", "control-acks", "traffic"),
)
TARGETS: Final[dict[str, Callable[[], Callable[[bytes], None]]]] = {
    **{f"decode-{kind}": (lambda k=kind: _decoding(k)) for kind in _RECORDS},
    "attribute": _attributing,
    "learn": _learning,
    "subscribe": _subscribing,
    "show": _showing,
    "ledger": _ledgering,
    "settings": _loading,
}


def seeds() -> list[bytes]:
    """Return good records of every kind."""
    found: list[bytes] = []
    waiting: list[Any] = [json.loads(_GOLDEN.read_text("utf-8"))]
    while waiting:
        each = waiting.pop()
        if isinstance(each, str) and each.startswith("{"):
            found.append(each.encode())
        elif isinstance(each, dict | list):
            waiting += each.values() if isinstance(each, dict) else each
            found.append(json.dumps(each).encode())
    return sorted(set(found))


def mutations(count: int, seed: int) -> Iterator[bytes]:
    """Yield good records, bent in a few places."""
    rng, good = random.Random(seed), seeds()
    odd = (
        b"\xff",
        b"\x00",
        b"null",
        b"NaN",
        b"1e999",
        b"[" * 2000,
        b'"',
        b"-1",
        b"\\ud800",
        b"9" * 40,
    )
    for _ in range(count):
        value = bytearray(rng.choice(good))
        for _ in range(rng.randrange(4)):
            at = rng.randrange(len(value) + 1)
            value[at : at + rng.randrange(6)] = rng.choice((*odd, rng.choice(good)[:60]))
        yield bytes(value)


def _fuzz(name: str, seconds: float) -> None:
    """Run one target; ends the process."""
    try:
        import atheris
    except ImportError:
        target, ends_s, count = TARGETS[name](), time.monotonic() + seconds, 0
        while time.monotonic() < ends_s:
            for value in mutations(1000, count):
                target(value)
            count += 1
        print(f"{name}: {count * 1000:,} mutations (atheris is not installed)")
        return
    with atheris.instrument_imports(include=["schemas", "streams", "policies", "serving"]):
        target = TARGETS[name]()
    with tempfile.TemporaryDirectory() as corpus:
        for at, value in enumerate(seeds()):
            (Path(corpus) / str(at)).write_bytes(value)
        flags = [f"-max_total_time={seconds:.0f}", "-max_len=8192", "-verbosity=0"]
        atheris.Setup([sys.argv[0], *flags, "-print_final_stats=1", corpus], target)
        atheris.Fuzz()


def main() -> int:
    """Give each target its time; 1 if one met an error that nobody expects."""
    parser = argparse.ArgumentParser(prog="drills.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        _fuzz(options.names[0], options.seconds)
        return 0
    failed = []
    for name in options.names or TARGETS:
        words = ["-m", "drills.fuzz", "--alone", "--seconds", str(options.seconds), name]
        done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=False)
        told = done.stdout + done.stderr
        runs = [line for line in told.splitlines() if "number_of_executed_units" in line]
        print(f"{name:24} {'FAILED' if done.returncode else 'held':8}{' '.join(runs)}")
        if done.returncode:
            failed.append(name)
            print(told[-3000:])
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
