"""What any aiokafka client needs, servers and security; and where a key belongs."""

import ssl
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from aiokafka.partitioner import murmur2

from leverframe.schemas.errors import BrokerError

__all__ = ["BrokerSettings", "client_options", "key_partition", "partition_of"]


class BrokerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How to reach Kafka.

    Attributes
    ----------
    servers : str
        Bootstrap servers, ``host:port`` separated by commas.
    security : {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"}
        Protocol.
    sasl_mechanism : str
        For the SASL protocols.
    username, password : str
        For the SASL protocols; give the password by the environment, not in the file.
    ca_file : str
        Certificate authority, for the TLS protocols; the system's when empty.
    """

    servers: str = "127.0.0.1:9092"
    security: Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"] = "plaintext"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    username: str = ""
    password: str = ""
    ca_file: str = ""

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"BrokerSettings(servers={self.servers!r}, security={self.security!r})"


def client_options(broker: BrokerSettings) -> Mapping[str, Any]:
    """Return the keyword arguments of any aiokafka client: servers and security.

    Raises ``BrokerError`` if the certificate authority cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": broker.servers,
        "security_protocol": broker.security.upper(),
    }
    if broker.security.endswith("ssl"):
        try:
            options["ssl_context"] = ssl.create_default_context(cafile=broker.ca_file or None)
        except OSError as error:  # ssl.SSLError is one
            raise BrokerError(
                f"[broker] ca_file {broker.ca_file!r} holds no certificates that can be read: "
                f"{error}"
            ) from error
    if broker.security.startswith("sasl"):
        options |= {
            "sasl_mechanism": broker.sasl_mechanism,
            "sasl_plain_username": broker.username,
            "sasl_plain_password": broker.password,
        }
    return options


def partition_of(key: bytes, partitions: int) -> int:
    """Return the partition that Java's and aiokafka's producers choose for a key."""
    return int((murmur2(key) & 0x7FFFFFFF) % partitions)


def key_partition(key: bytes | None, fallback: int, partitions: int) -> int:
    """Return the partition for a record that may have no key.

    Those without are spread by ``fallback``, such as their offset.
    """
    return fallback % partitions if key is None else partition_of(key, partitions)
