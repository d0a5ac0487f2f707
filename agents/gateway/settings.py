"""Settings of ``leverframe gateway``."""

import ipaddress
from collections.abc import Iterator
from typing import Annotated, Final

from msgspec import Meta, Struct, field

__all__ = ["GatewaySettings", "exposure_faults"]

_LOOPBACK: Final = "localhost"

Token = Annotated[str, Meta(pattern=r"^(|[!-~]{16,})$")]


class GatewaySettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gateway, which answers over HTTP (docs/gateway.md).

    Attributes
    ----------
    bind, port
        Where it listens; port 0 takes a free one, which the log names.
    hosts : list of str
        Names under which it may be asked, beside loopback's own; any when empty and not on
        loopback.
    token : str
        What callers must show (``Authorization: Bearer``, or ``X-API-Key``); nobody has to when
        empty. Give it by the environment.
    token_before : str
        The token before it, while one is replaced by another.
    without_token : bool
        Listen beyond loopback without a token, since something in front of it asks for one.
    cert_file, key_file : str
        PEM files for TLS; plain HTTP when empty.
    replica : str
        Its name in ``control-acks``; ``gateway-HOST-PID`` when empty.
    max_body_bytes : int
        Largest request.
    max_records : int
        Most predictions or labels in one request.
    max_waiting_bytes : int
        Of predictions and labels that Kafka has not confirmed yet; more are answered 429.
    max_streams : int
        Clients that may follow the event stream at once.
    write_timeout_s : float
        A prediction or label that Kafka does not confirm in this time is answered 503.
    stop_timeout_s : float
        After SIGTERM requests under way may take this long.
    """

    bind: str = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8016
    hosts: list[str] = field(default_factory=list)
    token: Token = ""
    token_before: Token = ""
    without_token: bool = False
    cert_file: str = ""
    key_file: str = ""
    replica: Annotated[str, Meta(max_length=128)] = ""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=64 << 20)] = 4 << 20
    max_records: Annotated[int, Meta(ge=1, le=100_000)] = 10_000
    max_waiting_bytes: Annotated[int, Meta(ge=1 << 20, le=1 << 30)] = 32 << 20
    max_streams: Annotated[int, Meta(ge=0, le=100_000)] = 1000
    write_timeout_s: Annotated[float, Meta(ge=0.1, le=300)] = 10.0
    stop_timeout_s: Annotated[float, Meta(ge=0, le=300)] = 10.0

    def __repr__(self) -> str:
        """Leave the tokens out."""
        return f"GatewaySettings(bind={self.bind!r}, port={self.port!r})"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        try:
            return ipaddress.ip_address(self.bind).is_loopback
        except ValueError:
            return self.bind == _LOOPBACK

    @property
    def tokens(self) -> tuple[bytes, ...]:
        """Tokens that are believed; none when nobody has to show one."""
        if not self.token:
            return ()
        return tuple(token.encode() for token in (self.token, self.token_before) if token)


def exposure_faults(settings: GatewaySettings) -> Iterator[str]:
    """Find what a gateway must not start with.

    Examples
    --------
    >>> list(exposure_faults(GatewaySettings()))
    []
    >>> next(exposure_faults(GatewaySettings(bind="0.0.0.0")))  # doctest: +ELLIPSIS
    "gateway.bind: '0.0.0.0' can be reached from elsewhere, and gateway.token is empty: ..."
    """
    if not (settings.is_loopback or settings.token or settings.without_token):
        yield (
            f"gateway.bind: {settings.bind!r} can be reached from elsewhere, and gateway.token is "
            "empty: set it (LEVERFRAME_GATEWAY__TOKEN), or without_token = true where what stands "
            "in front asks for one"
        )
    if bool(settings.cert_file) != bool(settings.key_file):
        given, other = ("cert_file", "key_file")[:: 1 if settings.cert_file else -1]
        yield f"gateway.{given}: TLS needs gateway.{other} too"
    if settings.token_before and not settings.token:
        yield "gateway.token_before: it stands beside gateway.token, which is empty"
