"""A listener that asks for passwords, on a broker that allows nobody but what it is told."""

from collections.abc import Mapping
from typing import Final

from leverframe.devbroker.configuration import Listener

__all__ = ["RIGHTS", "guarded_listener"]

_LOGIN: Final = "org.apache.kafka.common.security.plain.PlainLoginModule required"
RIGHTS: Final[Mapping[str, str]] = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
"""Properties of the broker; whoever comes by the plain listener may do all."""


def guarded_listener(port: int, passwords: Mapping[str, str]) -> Listener:
    users = " ".join(f'user_{name}="{password}"' for name, password in passwords.items())
    return Listener(
        name="GUARDED",
        protocol="SASL_PLAINTEXT",
        port=port,
        properties={
            "sasl.enabled.mechanisms": "PLAIN",
            "plain.sasl.jaas.config": f"{_LOGIN} {users};",
        },
    )
