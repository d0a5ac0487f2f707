"""What OpenTelemetry costs the job, on and off: ``python -m bench.telemetry``.

Each round drains the same preloaded pairs in each of these states, in turn, each with a worker of
its own; the first round also warms the broker, and is left out of the medians:

- ``off``: no record bears a trace, nothing is sent;
- ``off, traced``: every prediction and label bears a sampled ``traceparent``, nothing is sent;
- ``on``: traces and metrics are sent, no record bears a trace;
- ``on, 1 in 100`` and ``on, all``: so many requests bear one.

What is sent is taken by a process that answers 200 and throws it away.
"""

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

from bench.rig.drain import bench_settings
from bench.rig.filling import drained, labels, predictions
from bench.rig.load import Headers, preload
from bench.rig.servers import bench_broker
from leverframe.schemas.trace_context import TRACE_PARENT
from leverframe.streams.runtime.topic_admin import create_topics

_ON: Final = {"LEVERFRAME_TELEMETRY__TRACES": "true", "LEVERFRAME_TELEMETRY__METRICS": "true"}
# Of so many requests one bears a trace; 0: none.
_STATES: Final[dict[str, tuple[bool, int]]] = {
    "off": (False, 0),
    "off, traced": (False, 1),
    "on": (True, 0),
    "on, 1 in 100": (True, 100),
    "on, all": (True, 1),
}
_SINK: Final = """
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
class Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
server = ThreadingHTTPServer(("127.0.0.1", 0), Sink)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@contextmanager
def _sink() -> Iterator[str]:
    """Give the address of a process that takes whatever is sent."""
    with subprocess.Popen([sys.executable, "-c", _SINK], stdout=subprocess.PIPE, text=True) as sink:
        port = sink.stdout.readline().strip() if sink.stdout else ""
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            sink.terminate()


def _traced(count: int, one_in: int, span: int) -> Iterator[Headers]:
    for at in range(count):
        is_traced = one_in and at % one_in == 0
        parent = f"00-{at + 1:032x}-{span:016x}-01".encode()
        yield [(TRACE_PARENT, parent)] if is_traced else []


async def _measure(servers: str, pairs: int, one_in: int, more: dict[str, str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        settings, environment = bench_settings(servers, Path(folder), **more)
        await create_topics(settings.broker, settings.declared_topics(), 1)
        topics, partitions = settings.topic_names, settings.topics.partitions
        halves = (
            (topics.predictions, predictions(0, pairs)),
            (topics.ground_truth, labels(0, pairs)),
        )
        for span, (topic, records) in enumerate(halves, start=1):
            headers = _traced(pairs, one_in, span)
            await preload(servers, topic, partitions, records, headers=headers)
        return await drained(settings, environment, pairs, Path(folder) / "worker.log")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=150_000)
    parser.add_argument("--rounds", type=int, default=6, help="the first is left out")
    options = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader yet
    found: dict[str, list[dict[str, Any]]] = {state: [] for state in _STATES}
    with bench_broker() as servers, _sink() as address:
        sent_to = {"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_METRIC_EXPORT_INTERVAL": "10000"}
        for number in range(options.rounds):
            for state, (is_on, one_in) in _STATES.items():
                more = {**_ON, **sent_to} if is_on else {}
                told = asyncio.run(_measure(servers, options.pairs, one_in, more))
                print(f"round {number}, {state}: {told}", flush=True)
                if number:
                    found[state].append(told)
    for name in ("events_per_s", "processor_us_per_event"):
        values = {state: [one[name] for one in runs] for state, runs in found.items()}
        for state, own in values.items():
            ratios = [one / base for one, base in zip(own, values["off"], strict=True)]
            spread = f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) of off"
            print(f"{state}: {name} {median(own):,.1f}, {spread}")


if __name__ == "__main__":
    main()
