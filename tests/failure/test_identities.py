"""Who we are to a broker, beside passwords: certificates of ours, and tokens that end."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Deployment, Script, produce, verify
from issuer import AUDIENCE, Issuer
from patience import PATIENCE_S, eventually

from drills.certificates import Authority, has_openssl
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.configuration import Listener
from leverframe.devbroker.ports import free_ports

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not has_openssl(), reason="certificates need the openssl command"),
]

_KEY_PASSWORD = "of-the-key"  # noqa: S105 - of a broker that lives for this test
_SECRET = "of-the/client+1"  # noqa: S105
_PACKAGE = "org.apache.kafka.common.security.oauthbearer"
_SHORT_S = 6
"""How long a token holds: a worker of this test outlives several."""


def _listeners(authority: Authority, issuer: Issuer) -> list[Listener]:
    certified, tokens = free_ports(2)
    store = authority.keystore("broker")
    tls = {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(store)}
    mutual = {
        "ssl.client.auth": "required",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.certificate),
    }
    oauth = {
        "sasl.enabled.mechanisms": "OAUTHBEARER",
        "oauthbearer.sasl.jaas.config": f"{_PACKAGE}.OAuthBearerLoginModule required;",
        "oauthbearer.sasl.server.callback.handler.class": (
            f"{_PACKAGE}.OAuthBearerValidatorCallbackHandler"
        ),
        "oauthbearer.sasl.oauthbearer.jwks.endpoint.url": f"{issuer.url}/keys",
        "oauthbearer.sasl.oauthbearer.expected.audience": AUDIENCE,
        "oauthbearer.sasl.oauthbearer.expected.issuer": issuer.url,
        # Whoever does not show a new token in time is cut off.
        "oauthbearer.connections.max.reauth.ms": str(_SHORT_S * 1000),
    }
    return [
        Listener(name="CERTIFIED", protocol="SSL", port=certified, properties=tls | mutual),
        Listener(name="TOKENS", protocol="SASL_SSL", port=tokens, properties=tls | oauth),
    ]


@pytest.fixture(scope="module")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Give a broker that wants certificates on one listener, and tokens on another."""
    folder = tmp_path_factory.mktemp("identities")
    authority, issuer = Authority(folder), Issuer(folder, {"shop": _SECRET})
    certificate, key = authority.client("worker", _KEY_PASSWORD)
    listeners = _listeners(authority, issuer)
    with pytest.MonkeyPatch.context() as patch:
        allowed = f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={issuer.url}/keys"
        patch.setenv("JAVA_TOOL_OPTIONS", allowed)
        running = start_broker(
            data_dir=folder / "broker",
            port=None,
            cache=cache_root(),
            report=print,
            detached=False,
            listeners=listeners,
        )
    common = {"LEVERFRAME_BROKER__CA_FILE": str(authority.certificate)}
    try:
        yield {
            "plain": running.bootstrap,
            "issuer": issuer,
            "certificate": common
            | {
                "LEVERFRAME_BROKER": f"127.0.0.1:{listeners[0].port}",
                "LEVERFRAME_BROKER__SECURITY": "ssl",
                "LEVERFRAME_BROKER__CERT_FILE": str(certificate),
                "LEVERFRAME_BROKER__KEY_FILE": str(key),
                "LEVERFRAME_BROKER__KEY_PASSWORD": _KEY_PASSWORD,
            },
            "token": common
            | {
                "LEVERFRAME_BROKER": f"127.0.0.1:{listeners[1].port}",
                "LEVERFRAME_BROKER__SECURITY": "sasl_ssl",
                "LEVERFRAME_BROKER__SASL_MECHANISM": "OAUTHBEARER",
                "LEVERFRAME_BROKER__OAUTH_TOKEN_URL": f"{issuer.url}/token",
                "LEVERFRAME_BROKER__OAUTH_CLIENT_ID": "shop",
                "LEVERFRAME_BROKER__OAUTH_CLIENT_SECRET": _SECRET,
                "LEVERFRAME_BROKER__OAUTH_SCOPE": "kafka",
                "LEVERFRAME_BROKER__OAUTH_AUDIENCE": AUDIENCE,
            },
        }
    finally:
        running.stop()
        issuer.close()


@pytest.mark.drill
def test_a_worker_shows_its_certificate(
    ways: dict[str, Any], unique_prefix: str, tmp_path: Path
) -> None:
    """Its key is encrypted; nothing lost, nothing twice, and no password in the log."""

    async def drill() -> None:
        deployment = await Deployment.create(ways["plain"], unique_prefix, tmp_path)
        try:
            deployment.start(**ways["certificate"])
            script = Script(pairs=300, seed=62)
            await produce(deployment, script, 1000)
            await verify(deployment, script)
            assert _KEY_PASSWORD not in deployment.log()
        finally:
            deployment.stop_all()

    asyncio.run(drill())


def test_tokens_are_renewed_while_labels_flow_and_one_that_is_refused_ends_the_worker(
    ways: dict[str, Any], unique_prefix: str, tmp_path: Path
) -> None:
    """The broker cuts connections off whose token has ended; the worker comes back with a new one.

    Once its client gets none any more, the worker ends and says which setting is wrong.
    """
    issuer: Issuer = ways["issuer"]
    issuer.lasts_s = _SHORT_S

    async def drill() -> None:
        deployment = await Deployment.create(ways["plain"], unique_prefix, tmp_path)
        try:
            worker = deployment.start(**ways["token"], LEVERFRAME_APP__SESSION_TIMEOUT_S="6")
            script = Script(pairs=1_500, seed=63)
            await produce(deployment, script, 150)
            await verify(deployment, script)
            assert len(issuer.given) >= 3
            assert issuer.asked[0] == {
                "grant_type": "client_credentials",
                "scope": "kafka",
                "audience": AUDIENCE,
            }
            issuer.clients["shop"] = "another"

            async def has_ended() -> bool:
                return worker.poll() is not None

            await eventually(has_ended, deployment.log)
            assert worker.poll() == 2, deployment.log()
            log = deployment.log()
            assert "oauth_client_secret is wrong" in log
            assert _SECRET not in log
            assert not any(token in log for token in issuer.given)
        finally:
            issuer.clients["shop"] = _SECRET
            issuer.lasts_s = 300
            deployment.stop_all()

    asyncio.run(drill())


@pytest.mark.parametrize(
    ("way", "more", "says"),
    [
        ("certificate", {"KEY_PASSWORD": "wrong"}, "key_password"),
        ("certificate", {"CERT_FILE": "", "KEY_FILE": ""}, "cert_file"),
        ("token", {"OAUTH_CLIENT_SECRET": "wrong-one"}, "oauth_client_secret is wrong"),
        ("token", {"OAUTH_TOKEN_URL": "http://127.0.0.1:1/token"}, "gives no token"),
        ("token", {"SASL_MECHANISM": "PLAIN"}, "sasl_mechanism is wrong"),
        ("token", {"OAUTH_TOKEN_URL": "http://example.org/token"}, "unencrypted"),
    ],
    ids=["key password", "no certificate", "secret", "no endpoint", "mechanism", "no TLS"],
)
def test_what_is_wrong_is_one_line(
    ways: dict[str, Any], way: str, more: dict[str, str], says: str
) -> None:
    """The setting's name, exit code 2, and no secret."""
    wrong = {f"LEVERFRAME_BROKER__{name}": value for name, value in more.items()}
    done = subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", "topics", "check"],
        env={**ways[way], **wrong},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert _SECRET not in done.stderr
    assert "wrong-one" not in done.stderr
