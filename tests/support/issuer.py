"""An OpenID Connect provider for tests: a token endpoint and its keys, in a thread.

Tokens are signed (RS256) by a key that the ``openssl`` command made; Kafka verifies them by the key
set that it fetches here.
"""

import base64
import json
import shutil
import subprocess
import threading
import time
import urllib.parse
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

AUDIENCE = "kafka-of-the-shop"


def coded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Issuer:
    """Who may have tokens, for how long they hold, and how many were given."""

    folder: Path
    clients: dict[str, str] = field(default_factory=dict)
    lasts_s: int = 300
    given: list[str] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._key = self.folder / "issuer.key"
        self._openssl("genrsa", "-out", str(self._key), "2048")
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.say(200, {"keys": [issuer.public_key()]})

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer.asked.append(dict(urllib.parse.parse_qsl(body)))
                identity = self.headers["Authorization"].removeprefix("Basic ")
                name, _, secret = base64.b64decode(identity).decode().partition(":")
                name, secret = urllib.parse.unquote(name), urllib.parse.unquote(secret)
                if issuer.clients.get(name) != secret:
                    self.say(401, {"error": "invalid_client"})
                    return
                issuer.given.append(issuer.sign(name))
                self.say(200, {"access_token": issuer.given[-1], "expires_in": issuer.lasts_s})

            def say(self, status: int, told: Any) -> None:
                body = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Be silent."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def public_key(self) -> dict[str, str]:
        told = self._openssl("rsa", "-in", str(self._key), "-noout", "-modulus").decode()
        modulus = bytes.fromhex(told.strip().removeprefix("Modulus="))
        exponent = coded((65537).to_bytes(3, "big"))
        return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "k", "n": coded(modulus)} | {
            "e": exponent
        }

    def sign(self, name: str) -> str:
        now_s = int(time.time())
        head = {"alg": "RS256", "kid": "k", "typ": "JWT"}
        claims = {"iss": self.url, "aud": AUDIENCE, "sub": name, "iat": now_s}
        claims |= {"exp": now_s + self.lasts_s, "scope": "kafka", "jti": str(len(self.given))}
        text = f"{coded(json.dumps(head).encode())}.{coded(json.dumps(claims).encode())}"
        signature = self._openssl("dgst", "-sha256", "-sign", str(self._key), given=text.encode())
        return f"{text}.{coded(signature)}"

    def _openssl(self, *words: str, given: bytes = b"") -> bytes:
        return subprocess.run(
            [shutil.which("openssl") or "openssl", *words],
            input=given,
            capture_output=True,
            check=True,
        ).stdout
