"""A stand-in for a gateway of language models: three models behind one address, no weights.

``python -m examples.model_gateway --port 8017`` answers ``POST /v1/chat/completions`` in the form
that such gateways have. ``helper-1`` answers the question, ``helper-2`` answers more of them,
``helper-3`` is quick and mostly says nothing.
"""

import argparse
import json
import random
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final

__all__ = ["HELPFUL", "serve"]

HELPFUL: Final = {"helper-1": 0.6, "helper-2": 0.8, "helper-3": 0.2}
"""How often a model's answer helps."""
_PATH: Final = "/v1/chat/completions"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Answer one completion."""
        asked = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))
        model = asked.get("model")
        if self.path != _PATH or model not in HELPFUL:
            self._send(404, {"error": {"message": f"no model {model!r} at {self.path}"}})
            return
        question = asked["messages"][-1]["content"]
        # The same question to the same model has the same answer.
        chance = random.Random(f"{model} {question}")  # noqa: S311 - a stand-in
        text = f"About {question}: do this." if chance.random() < HELPFUL[model] else "I see."
        self._send(
            200,
            {
                "model": model,
                "choices": [{"index": 0, "message": {"role": "assistant", "content": text}}],
                "usage": {"completion_tokens": len(text.split())},
            },
        )

    def _send(self, status: int, body: object) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, *_: object) -> None:
        """Say nothing of each request."""


def serve(port: int) -> ThreadingHTTPServer:
    """Return a server on loopback, listening; ``serve_forever`` answers."""
    return ThreadingHTTPServer(("127.0.0.1", port), _Handler)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--port", type=int, default=8017)
    server = serve(parser.parse_args().port)
    print(f"answering on http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()
