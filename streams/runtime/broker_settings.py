"""How to reach Kafka, and as whom: ``[broker]``."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

__all__ = ["BrokerSettings", "broker_faults"]

_LOOPBACK: Final = ("http://127.0.0.1", "http://localhost", "http://[::1]")


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to reach Kafka (docs/identities.md).

    Attributes
    ----------
    servers : str
        Bootstrap servers, ``host:port`` separated by commas.
    security : {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}
        Protocol.
    sasl_mechanism : str
        For the SASL protocols. ``AWS_MSK_IAM`` needs the extra ``msk``, ``GSSAPI`` the package
        ``gssapi``.
    username, password : str
        For ``PLAIN`` and ``SCRAM``; give the password by the environment, not in the file.
    ca_file : str
        Certificate authority, for the TLS protocols; the system's when empty.
    cert_file, key_file : str
        Certificate and key of this client, PEM, where the broker asks for one; the key may be in
        the file of the certificate.
    key_password : str
        Of a key that is encrypted. Give it by the environment.
    oauth_token_url : str
        For ``OAUTHBEARER``: the token endpoint, asked for client credentials.
    oauth_client_id, oauth_client_secret : str
        As whom. Give the secret by the environment.
    oauth_scope, oauth_audience : str
        Asked for, where the provider wants them.
    oauth_ca_file : str
        Authority of the token endpoint's certificate; ``ca_file`` when empty.
    oauth_tokens : str
        In place of a token endpoint: name of an entry point of the group ``leverframe.tokens``, a
        function of these settings that returns a token and for how many seconds it holds.
    aws_region : str
        For ``AWS_MSK_IAM``; credentials come from where AWS's tools look for them.
    kerberos_service, kerberos_domain : str
        For ``GSSAPI``: the broker's service and domain; the ticket is that of the process.
    client_id : str
        Tells these clients apart in the broker's logs and quotas.
    rack : str
        Where this process stands, so that records come from a copy nearby (client.rack).
    """

    servers: str = "127.0.0.1:9092"
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal[
        "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "AWS_MSK_IAM", "GSSAPI"
    ] = "PLAIN"
    username: str = ""
    password: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    key_password: str = ""
    oauth_token_url: Annotated[str, Meta(pattern=r"^(|https?://[^\s]+)$")] = ""
    oauth_client_id: str = ""
    oauth_client_secret: str = ""
    oauth_scope: str = ""
    oauth_audience: str = ""
    oauth_ca_file: str = ""
    oauth_tokens: str = ""
    aws_region: Annotated[str, Meta(pattern=r"^[a-z0-9-]*$")] = ""
    kerberos_service: str = "kafka"
    kerberos_domain: str = ""
    client_id: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{0,80}$")] = ""
    rack: str = ""

    def __repr__(self) -> str:
        """Leave passwords and secrets out."""
        return f"BrokerSettings(servers={self.servers!r}, security={self.security!r})"

    @property
    def is_sasl(self) -> bool:
        """Whether the broker asks who we are by SASL."""
        return self.security.startswith("sasl")

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted."""
        return self.security.endswith("ssl")

    @property
    def shows_tokens(self) -> bool:
        """Whether we are known by tokens."""
        return self.is_sasl and self.sasl_mechanism in {"OAUTHBEARER", "AWS_MSK_IAM"}

    @property
    def identity(self) -> str:
        """As whom we come, for messages; empty where nobody asks."""
        if not self.is_sasl:
            return f"the certificate {self.cert_file}" if self.cert_file else ""
        match self.sasl_mechanism:
            case "OAUTHBEARER":
                return f"client {self.oauth_client_id!r}" if self.oauth_client_id else "the token"
            case "AWS_MSK_IAM":
                return "the AWS identity"
            case "GSSAPI":
                return "the Kerberos ticket"
            case _:
                return f"user {self.username!r}"

    @property
    def doubt(self) -> str:
        """What is wrong, most likely, where the broker refuses us."""
        match self.sasl_mechanism if self.is_sasl else "":
            case "OAUTHBEARER":
                return (
                    "its token is not what the broker expects (issuer, audience, scope, or a right "
                    "that was taken away): correct [broker] oauth_scope and oauth_audience, or "
                    "that client at its provider"
                )
            case "AWS_MSK_IAM":
                return "[broker] aws_region is wrong, or its policy lacks kafka-cluster:Connect"
            case "GSSAPI":
                return "no ticket holds: kinit; [broker] kerberos_service and kerberos_domain"
            case _:
                return "[broker] username or password is wrong"


def broker_faults(broker: BrokerSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    """Find what is wrong between the settings of ``[broker]``."""
    if broker.key_file and not broker.cert_file:
        yield ("broker.key_file", "broker", "cert_file"), "a key needs its certificate: cert_file"
    if broker.cert_file and not broker.is_tls:
        yield (
            ("broker.cert_file", "broker", "security"),
            f"a certificate is shown over TLS alone, and security is {broker.security}",
        )
    if not broker.is_sasl:
        return
    if broker.sasl_mechanism == "AWS_MSK_IAM":
        if broker.security != "sasl_ssl":
            yield ("broker.security", "broker", "security"), "AWS_MSK_IAM needs sasl_ssl"
        if not broker.aws_region:
            yield ("broker.aws_region", "broker", "aws_region"), "AWS_MSK_IAM needs the region"
    if broker.sasl_mechanism == "OAUTHBEARER":
        yield from _oauth_faults(broker)


def _oauth_faults(broker: BrokerSettings) -> Iterator[tuple[tuple[str, ...], str]]:
    if bool(broker.oauth_token_url) == bool(broker.oauth_tokens):
        yield (
            ("broker.oauth_token_url", "broker", "oauth_tokens"),
            "OAUTHBEARER needs oauth_token_url or oauth_tokens, and not both",
        )
    if not broker.oauth_token_url:
        return
    if not broker.oauth_client_id:
        yield (
            ("broker.oauth_client_id", "broker", "oauth_client_id"),
            "a token endpoint asks for oauth_client_id and oauth_client_secret",
        )
    if not broker.oauth_token_url.startswith(("https://", *_LOOPBACK)):
        yield (
            ("broker.oauth_token_url", "broker", "oauth_token_url"),
            "the secret would go unencrypted: https, or a loopback address",
        )
