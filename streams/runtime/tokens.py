"""Tokens in place of passwords: OpenID Connect client credentials, AWS, and those of others.

A client of Kafka asks for one whenever it connects. What was fetched is kept for most of its life,
and fetched anew before it ends, in a thread: whoever waits for it holds nobody up.
"""

import asyncio
import base64
import json
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from functools import lru_cache, partial
from importlib.metadata import entry_points
from typing import Any, Final, NamedTuple, TypeAlias

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import AuthenticationFailedError, KafkaConnectionError

from leverframe.schemas.errors import BrokerError
from leverframe.streams.runtime.broker_settings import BrokerSettings

__all__ = ["Renewed", "Token", "TokenAwayError", "TokenError", "TokenSource", "token_provider"]

# Of a token's life, after which the next one is fetched.
_SHARE: Final = 0.8
_TIMEOUT_S: Final = 10.0
_MOST_BYTES: Final = 1 << 20
_GROUP: Final = "leverframe.tokens"


class Token(NamedTuple):
    """What Kafka is shown, and for how many seconds it holds from now."""

    text: str
    lasts_s: float


TokenSource: TypeAlias = Callable[[], Token]
"""Fetches a token; may block. Raises ``TokenError`` or ``TokenAwayError``."""


class TokenError(AuthenticationFailedError):  # type: ignore[misc]
    """Whoever gives tokens refuses us one; its text says which setting is wrong."""

    retriable = False


class TokenAwayError(KafkaConnectionError):  # type: ignore[misc]
    """Whoever gives tokens does not answer; trying again may be enough."""


class Renewed(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens of a source, each for most of its life; ``now_s`` never jumps."""

    def __init__(self, source: TokenSource, now_s: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._now_s = now_s
        self._text = ""
        self._until_s = 0.0
        # The consumer lives in a thread of its own.
        self._turn = threading.Lock()

    async def token(self) -> str:
        """Return a token that holds for a while; raises as the source does."""
        return await asyncio.to_thread(self.fresh)

    def fresh(self) -> str:
        """The same, waiting."""
        with self._turn:
            now_s = self._now_s()
            if now_s >= self._until_s:
                self._text, lasts_s = self._source()
                self._until_s = now_s + _SHARE * lasts_s
            return self._text


@lru_cache(maxsize=8)
def token_provider(broker: BrokerSettings) -> Renewed:
    """Return what gives tokens by these settings: one for all clients of a process.

    Raises ``BrokerError`` where a package or an entry point is missing.
    """
    if broker.sasl_mechanism == "AWS_MSK_IAM":
        return Renewed(_aws_source(broker))
    if broker.oauth_tokens:
        return Renewed(partial(_foreign, _entry_point(broker.oauth_tokens), broker))
    return Renewed(partial(_fetch, broker, _context(broker)))


def _context(broker: BrokerSettings) -> ssl.SSLContext:
    file = broker.oauth_ca_file or broker.ca_file
    try:
        return ssl.create_default_context(cafile=file or None)
    except OSError as error:
        raise BrokerError(
            f"[broker] oauth_ca_file {file!r} holds no certificates that can be read: {error}"
        ) from error


def _fetch(broker: BrokerSettings, context: ssl.SSLContext) -> Token:
    """Ask a token endpoint (RFC 6749, section 4.4)."""
    url = broker.oauth_token_url
    asked = {"grant_type": "client_credentials"}
    asked |= {"scope": broker.oauth_scope} if broker.oauth_scope else {}
    asked |= {"audience": broker.oauth_audience} if broker.oauth_audience else {}
    quoted = [
        urllib.parse.quote(one, safe="")
        for one in (broker.oauth_client_id, broker.oauth_client_secret)
    ]
    identity = base64.b64encode(":".join(quoted).encode()).decode()
    headers = {
        "Authorization": f"Basic {identity}",
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = urllib.parse.urlencode(asked).encode()
    request = urllib.request.Request(url, body, headers)  # noqa: S310 - its scheme is checked
    try:
        with _opener(context).open(request, timeout=_TIMEOUT_S) as answer:
            return _token_of(answer.read(_MOST_BYTES), url)
    except urllib.error.HTTPError as error:
        raise _http_error(error, broker) from error
    except ssl.SSLCertVerificationError as error:
        raise _untrusted(url, error) from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise _untrusted(url, error.reason) from error
        raise TokenAwayError(
            f"{url} gives no token ({error.reason}): look at it, or correct [broker] "
            "oauth_token_url"
        ) from error
    except OSError as error:
        raise TokenAwayError(
            f"{url} gives no token ({error!r:.200}): look at it, or correct [broker] "
            "oauth_token_url"
        ) from error


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The secret goes nowhere else."""

    def redirect_request(self, *_: Any) -> None:
        return None


def _opener(context: ssl.SSLContext) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), _NoRedirect())


def _http_error(error: urllib.error.HTTPError, broker: BrokerSettings) -> Any:
    with error:
        said = " ".join(error.read(_MOST_BYTES).decode(errors="replace").split())[:200]
    url = broker.oauth_token_url
    if error.code >= 500 or error.code in {408, 429}:
        return TokenAwayError(f"{url} gives no token ({error.code}: {said})")
    return TokenError(
        f"{url} refuses client {broker.oauth_client_id!r} a token ({error.code}: {said}): [broker] "
        "oauth_client_id or oauth_client_secret is wrong, or it may not ask for that oauth_scope "
        "or oauth_audience"
    )


def _untrusted(url: str, error: ssl.SSLCertVerificationError) -> TokenError:
    return TokenError(
        f"the certificate of {url} is not trusted ({error.verify_message}): [broker] oauth_ca_file "
        "must name the authority that signed it"
    )


def _token_of(body: bytes, url: str) -> Token:
    try:
        told = json.loads(body)
        text, lasts_s = told["access_token"], float(told.get("expires_in", 300))
    except (ValueError, KeyError, TypeError) as error:
        raise TokenError(
            f"{url} answers without an access_token ({error!r:.100}): [broker] oauth_token_url "
            "must be the token endpoint of an OpenID Connect provider"
        ) from error
    if not isinstance(text, str) or not text.isascii() or not text:
        raise TokenError(f"{url} answers with an access_token that is no text")
    return Token(text, lasts_s)


def _aws_source(broker: BrokerSettings) -> TokenSource:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider
    except ImportError as error:
        raise BrokerError(
            "[broker] sasl_mechanism = AWS_MSK_IAM needs the extra: pip install 'leverframe[msk]'"
        ) from error

    def source() -> Token:
        try:
            text, expires_ms = MSKAuthTokenProvider.generate_auth_token(broker.aws_region)
        except Exception as error:
            raise TokenError(
                f"AWS gives no credentials ({error!r:.200}): set AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, a profile, or a role for this machine"
            ) from error
        return Token(text, expires_ms / 1000 - time.time())

    return source


def _entry_point(name: str) -> Callable[[BrokerSettings], tuple[str, float]]:
    found = [one for one in entry_points(group=_GROUP) if one.name == name]
    if not found:
        known = ", ".join(sorted(one.name for one in entry_points(group=_GROUP))) or "none"
        raise BrokerError(
            f"[broker] oauth_tokens = {name!r} is no entry point of the group {_GROUP} (installed: "
            f"{known}): install the package that has it, or correct the name"
        )
    loaded: Callable[[BrokerSettings], tuple[str, float]] = found[0].load()
    return loaded


def _foreign(call: Callable[[BrokerSettings], tuple[str, float]], broker: BrokerSettings) -> Token:
    """Ask a function of others; whatever it raises is a refusal, with its words."""
    try:
        return Token(*call(broker))
    except Exception as error:
        raise TokenError(
            f"[broker] oauth_tokens = {broker.oauth_tokens!r} gives no token: {error!r:.200}"
        ) from error
