"""What any aiokafka client needs, servers and security; and where a key belongs."""

import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from aiokafka.partitioner import murmur2

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.broker_settings import BrokerSettings
from leverframe.streams.runtime.tokens import token_provider

__all__ = ["BrokerSettings", "client_options", "key_partition", "partition_of"]


def client_options(broker: BrokerSettings) -> Mapping[str, Any]:
    """Return the keyword arguments of any aiokafka client: servers, security and its name.

    Raises ``BrokerError`` if a certificate cannot be read, or a package is missing.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": broker.servers,
        "security_protocol": broker.security.upper(),
    }
    if broker.client_id:
        options["client_id"] = broker.client_id
    if broker.is_tls:
        options["ssl_context"] = _ssl_context(broker)
    if broker.is_sasl:
        options |= _sasl_options(broker)
    return options


def _ssl_context(broker: BrokerSettings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=broker.ca_file or None)
    except OSError as error:  # ssl.SSLError is one
        raise BrokerError(
            f"[broker] ca_file {broker.ca_file!r} holds no certificates that can be read: {error}"
        ) from error
    if not broker.cert_file:
        return context
    try:
        # A function: without one OpenSSL would ask at the terminal, and wait for ever.
        password = broker.key_password
        context.load_cert_chain(broker.cert_file, broker.key_file or None, lambda: password)
    except OSError as error:
        raise BrokerError(
            f"[broker] cert_file {broker.cert_file!r} and its key cannot be used ({error}): both "
            "must be PEM and belong together, and key_password be right if the key is encrypted "
            "(LEVERFRAME_BROKER__KEY_PASSWORD)"
        ) from error
    return context


def _sasl_options(broker: BrokerSettings) -> dict[str, Any]:
    if broker.shows_tokens:
        return {
            "sasl_mechanism": "OAUTHBEARER",
            "sasl_oauth_token_provider": token_provider(broker),
        }
    if broker.sasl_mechanism == "GSSAPI":
        if find_spec("gssapi") is None:
            raise BrokerError(
                "[broker] sasl_mechanism = GSSAPI needs a package: pip install gssapi"
            )
        return {
            "sasl_mechanism": "GSSAPI",
            "sasl_kerberos_service_name": broker.kerberos_service,
            "sasl_kerberos_domain_name": broker.kerberos_domain or None,
        }
    return {
        "sasl_mechanism": broker.sasl_mechanism,
        "sasl_plain_username": broker.username,
        "sasl_plain_password": broker.password,
    }


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Java's and aiokafka's producers choose for a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def key_partition(key: bytes | None, fallback: int, partitions: int) -> int:
    """Return the partition for a record that may have no key.

    Those without are spread by ``fallback``, such as their offset.
    """
    return fallback % partitions if key is None else partition_of(key, partitions)
