"""Connects to the broker, or says in one line which setting keeps us from it.

aiokafka answers every failure to connect with one and the same error and puts the reason into its
log; so after a failure the first step is tried again on its own, and what it raises is translated.
"""

import socket
import ssl
from typing import Final

from aiokafka.client import AIOKafkaClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.kafka import BrokerSettings, client_options
from leverframe.streams.runtime.tokens import TokenAwayError, TokenError

__all__ = ["TIMEOUT_MS", "connect", "explain", "find_error"]

TIMEOUT_MS: Final = 10_000
# OpenSSL's X509_V_ERR_CERT_HAS_EXPIRED.
_EXPIRED: Final = 10
# The first that fits; a subclass stands before its base.
_CURES: Final[tuple[tuple[tuple[type[BaseException], ...], str], ...]] = (
    (
        (SaslAuthenticationFailed, AuthenticationFailedError),
        "the broker refuses {identity}: {doubt}",
    ),
    (
        (UnsupportedSaslMechanismError, AuthenticationMethodNotSupported),
        "the broker does not offer {mechanism}: [broker] sasl_mechanism is wrong",
    ),
    (
        (IllegalSaslStateError,),
        "the broker expects no SASL there: [broker] security is wrong (it is {security})",
    ),
    (
        (ssl.SSLCertVerificationError,),
        (
            "the broker's certificate is not trusted ({error}): [broker] ca_file must name the "
            "authority that signed it, and servers the name it was made for"
        ),
    ),
    (
        (ssl.SSLError,),
        "no TLS there ({error}): [broker] security is wrong (it is {security})",
    ),
    (
        (socket.gaierror,),
        "no such host: [broker] servers is wrong (LEVERFRAME_BROKER)",
    ),
    (
        (ConnectionResetError, KafkaConnectionError),
        (
            "something closes the connection: [broker] security is wrong (it is {security}), it "
            "wants a certificate of ours (cert_file), or that is no Kafka broker"
        ),
    ),
)
_NOBODY: Final = (
    "({kind}). Start one with 'leverframe broker start', or set LEVERFRAME_BROKER to your own"
)


def explain(error: BaseException, broker: BrokerSettings) -> str:
    """Say in one line which setting makes the first connection fail; never the password."""
    if isinstance(error, ssl.SSLError) and getattr(error, "verify_code", None) == _EXPIRED:
        return (
            f"cannot talk to Kafka at {broker.servers}: the broker's certificate, or that of its "
            "authority, has expired; it must be renewed there"
        )
    if isinstance(error, TokenError | TokenAwayError):
        return f"no token to show to Kafka at {broker.servers}: {error.args[0]}"
    for kinds, text in _CURES:
        if isinstance(error, kinds):
            return f"cannot talk to Kafka at {broker.servers}: " + text.format(
                identity=broker.identity or "us",
                doubt=broker.doubt,
                mechanism=broker.sasl_mechanism,
                security=broker.security,
                error=" ".join(str(error).split()),
            )
    return f"no Kafka broker answers at {broker.servers} " + _NOBODY.format(
        kind=type(error).__name__
    )


async def connect(broker: BrokerSettings) -> AIOKafkaClient:
    """Return a client that knows the brokers of the cluster; the caller closes it.

    Raises ``BrokerError``, in one line, with the setting that is wrong.
    """
    options = client_options(broker)
    client = AIOKafkaClient(**options, request_timeout_ms=TIMEOUT_MS)
    try:
        await client.bootstrap()
        nodes = client.cluster.brokers()
        answering = [node for node in nodes if await client.ready(node.nodeId)]
    except (KafkaError, OSError, TimeoutError) as error:
        await client.close()
        raise BrokerError(explain(await find_error(broker), broker)) from error
    if not answering:
        await client.close()
        advertised = ", ".join(f"{node.host}:{node.port}" for node in nodes)
        raise BrokerError(
            f"a broker answers at {broker.servers} and sends its clients to {advertised}, where "
            "none does: correct its advertised.listeners"
        )
    return client


async def find_error(broker: BrokerSettings) -> BaseException:
    """Connect once more, and return for ``explain`` what that alone raises.

    Where the connection stands, the error says that the first request failed.
    """
    own = {n: value for n, value in client_options(broker).items() if n != "bootstrap_servers"}
    for host, port, _ in collect_hosts(broker.servers, randomize=False):
        try:
            connection = await create_conn(host, port, **own, request_timeout_ms=TIMEOUT_MS)
        except (KafkaError, OSError, TimeoutError) as error:
            found: BaseException = error
            return found
        connection.close()
    # It speaks with us and refuses the first real request: it waits for a password.
    closed: BaseException = KafkaConnectionError("closed after the first request")
    return closed
