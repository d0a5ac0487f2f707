"""A broker with TLS and passwords: a worker works there, and says what is wrong if it cannot."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Deployment, Script, produce, verify
from patience import PATIENCE_S

from drills.certificates import Authority, has_openssl
from leverframe.devbroker.assets import cache_root
from leverframe.devbroker.broker import start_broker
from leverframe.devbroker.configuration import Listener
from leverframe.devbroker.ports import free_ports

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not has_openssl(), reason="certificates need the openssl command"),
]

_PASSWORD = "right-one"  # noqa: S105 - of a broker that lives for this test
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


def _secure(name: str, port: int, keystore: Path) -> Listener:
    return Listener(
        name=name,
        protocol="SASL_SSL",
        port=port,
        properties={
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(keystore),
            "sasl.enabled.mechanisms": "PLAIN",
            "plain.sasl.jaas.config": f'{_LOGIN} user_alice="right-one";',
        },
    )


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Give a broker with a good way in, one with an expired certificate, and a plain one."""
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    good, expired = free_ports(2)
    running = start_broker(
        data_dir=folder / "broker",
        port=None,
        cache=cache_root(),
        report=print,
        detached=False,
        listeners=[
            _secure("GOOD", good, authority.keystore("good")),
            _secure("EXPIRED", expired, authority.keystore("expired", days=-1)),
        ],
    )
    try:
        yield {
            "plain": running.bootstrap,
            "good": f"127.0.0.1:{good}",
            "expired": f"127.0.0.1:{expired}",
            "ca": str(authority.certificate),
        }
    finally:
        running.stop()


def _environment(secure: dict[str, Any], way: str, password: str) -> dict[str, str]:
    return {
        "LEVERFRAME_BROKER": secure[way],
        "LEVERFRAME_BROKER__SECURITY": "sasl_ssl",
        "LEVERFRAME_BROKER__USERNAME": "alice",
        "LEVERFRAME_BROKER__PASSWORD": password,
        "LEVERFRAME_BROKER__CA_FILE": secure["ca"],
    }


def test_worker_counts_every_label_over_tls_with_a_password(
    secure: dict[str, Any], unique_prefix: str, tmp_path: Path
) -> None:
    """Producers on the plain listener, the worker on TLS: nothing lost, nothing twice."""

    async def drill() -> None:
        deployment = await Deployment.create(secure["plain"], unique_prefix, tmp_path)
        try:
            deployment.start(**_environment(secure, "good", _PASSWORD))
            script = Script(pairs=500, seed=61)
            await produce(deployment, script, 1000)
            await verify(deployment, script)
            assert "right-one" not in deployment.log()
        finally:
            deployment.stop_all()

    asyncio.run(drill())


@pytest.mark.parametrize(
    ("way", "password", "more", "says"),
    [
        ("good", "wrong-one", {}, "username or password is wrong"),
        ("expired", "right-one", {}, "has expired"),
        ("good", "right-one", {"LEVERFRAME_BROKER__CA_FILE": ""}, "is not trusted"),
        ("good", "right-one", {"LEVERFRAME_BROKER__SECURITY": "sasl_plaintext"}, "security"),
    ],
    ids=["wrong password", "expired certificate", "unknown authority", "no TLS"],
)
@pytest.mark.parametrize("command", [["worker"], ["topics", "check"]], ids=["worker", "topics"])
def test_refusal_says_which_setting_is_wrong(
    secure: dict[str, Any],
    way: str,
    password: str,
    more: dict[str, str],
    says: str,
    command: list[str],
) -> None:
    """One clear line with the cure, exit code 2, and never the password."""
    done = subprocess.run(
        [sys.executable, "-m", "leverframe.agents.cli.main", *command],
        env={**_environment(secure, way, password), **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert password not in done.stderr
