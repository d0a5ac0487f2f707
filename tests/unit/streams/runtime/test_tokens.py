"""Tokens are kept for most of their life; those of others come by their own way."""

import base64
import urllib.parse
from collections.abc import Mapping
from importlib.metadata import EntryPoint
from types import MappingProxyType
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime import tokens
from leverframe.streams.runtime.broker_settings import BrokerSettings, broker_faults
from leverframe.streams.runtime.kafka import client_options
from leverframe.streams.runtime.tokens import Renewed, Token, TokenError, token_provider


def test_a_token_is_fetched_anew_before_it_ends() -> None:
    """After four fifths of its life; a failure leaves the next try to whoever asks next."""
    now_s, fetched = [0.0], list[float]()

    def source() -> Token:
        fetched.append(now_s[0])
        if now_s[0] > 150:
            raise KafkaConnectionError("away")
        return Token(f"t{len(fetched)}", 100.0)

    renewed = Renewed(source, lambda: now_s[0])
    told = []
    for at in (0.0, 79.0, 80.0, 159.0):
        now_s[0] = at
        told.append(renewed.fresh())
    assert told == ["t1", "t1", "t2", "t2"]
    now_s[0] = 161.0
    with pytest.raises(KafkaConnectionError):
        renewed.fresh()
    assert fetched == [0.0, 80.0, 161.0]


def test_aws_signs_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """With fixed keys: a request to the cluster's region, signed, as text that Kafka is shown."""
    pytest.importorskip("aws_msk_iam_sasl_signer")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-told")
    broker = BrokerSettings(
        security="sasl_ssl", sasl_mechanism="AWS_MSK_IAM", aws_region="eu-central-1"
    )
    assert [*broker_faults(broker)] == []
    options = client_options(broker)
    assert options["sasl_mechanism"] == "OAUTHBEARER"
    text = token_provider(broker).fresh()
    url = urllib.parse.urlsplit(base64.urlsafe_b64decode(text + "==").decode())
    asked = urllib.parse.parse_qs(url.query)
    assert url.hostname == "kafka.eu-central-1.amazonaws.com"
    assert asked["Action"] == ["kafka-cluster:Connect"]
    assert asked["X-Amz-Credential"][0].startswith("AKIDEXAMPLE/")
    assert "not-told" not in url.query


def _entry_points(monkeypatch: pytest.MonkeyPatch, load: Any) -> None:
    class Own(EntryPoint):
        def load(self) -> Any:
            return load

    own = [Own("vault", "somewhere:token", "leverframe.tokens")]
    monkeypatch.setattr(tokens, "entry_points", lambda **_: own)


def test_tokens_of_an_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of the settings; what it raises is told as a refusal with the setting's name."""
    broker = BrokerSettings(servers="a:1", **_oauth({"tokens": "vault"}))
    _entry_points(monkeypatch, lambda settings: (f"for {settings.servers}", 60.0))
    assert token_provider(broker).fresh() == "for a:1"

    def fail(_: BrokerSettings) -> tuple[str, float]:
        raise ValueError("sealed")

    other = BrokerSettings(servers="b:1", **_oauth({"tokens": "vault"}))
    _entry_points(monkeypatch, fail)
    with pytest.raises(TokenError, match=r"oauth_tokens = 'vault' gives no token.*sealed"):
        token_provider(other).fresh()
    with pytest.raises(BrokerError, match="installed: vault"):
        token_provider(BrokerSettings(**_oauth({"tokens": "valut"})))


def _oauth(asked: Mapping[str, str] = MappingProxyType({})) -> Any:
    named = {f"oauth_{name}": value for name, value in asked.items()}
    return {"security": "sasl_ssl", "sasl_mechanism": "OAUTHBEARER", **named}


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (_oauth(), "not both"),
        (_oauth({"tokens": "a", "token_url": "https://a/token"}), "not both"),
        (_oauth({"token_url": "https://a/token"}), "oauth_client_secret"),
        (_oauth({"token_url": "http://a/token"}), "unencrypted"),
        ({"security": "sasl_plaintext", "sasl_mechanism": "AWS_MSK_IAM"}, "sasl_ssl"),
        ({"security": "sasl_ssl", "sasl_mechanism": "AWS_MSK_IAM"}, "region"),
        ({"security": "ssl", "key_file": "k"}, "cert_file"),
        ({"cert_file": "c"}, "TLS"),
    ],
)
def test_settings_that_do_not_go_together_are_faults(settings: Any, says: str) -> None:
    """Each names the setting that is missing or too many."""
    assert any(says in fault for _, fault in broker_faults(BrokerSettings(**settings)))
