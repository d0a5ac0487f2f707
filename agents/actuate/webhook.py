"""A place that is set by a request, and read back by another."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import jmespath
import msgspec

from leverframe.agents.actuate.place import Context, Seen, Trouble, retry_after_s
from leverframe.agents.actuate.settings import ActuatorSettings, WebhookSettings
from leverframe.agents.actuate.shares import apportion
from leverframe.agents.actuate.templates import (
    body_of,
    header_of,
    secrets_in,
    url_of,
    values_of,
)
from leverframe.schemas.errors import SettingsError

__all__ = ["Webhook", "order_of", "weight_in"]

_BUSY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


def order_of(shares: Mapping[str, int], held: Mapping[str, int]) -> list[str]:
    """Return the arms in the order of their requests: who grows first, so that one always answers.

    Examples
    --------
    >>> order_of({"bad": 0, "good": 100}, {"bad": 100, "good": 0})
    ['good', 'bad']
    """
    return sorted(shares, key=lambda arm: (shares[arm] < held.get(arm, 0), arm))


def weight_in(document: Any, path: str, where: str) -> float:
    """Return a weight that was read back: a number, or a text that is one.

    Raises ``Trouble`` where there is none.
    """
    found = jmespath.search(path, document)
    if isinstance(found, int | float | str) and not isinstance(found, bool):
        try:
            weight = float(found)
        except ValueError:
            weight = -1.0
        if 0 <= weight < float("inf"):
            return weight
    raise Trouble(
        "unfit",
        f"{where}: {path} gives {found!r:.100}, which is no weight: correct read or read_url, or "
        "say what holds where nothing is set: PATH || `1`",
    )


class Webhook:
    """Sets weights by requests.

    Parameters
    ----------
    name : str
        Of the section.
    section : ActuatorSettings
        Whose arms.
    settings : WebhookSettings
        Templates.
    environment : mapping
        Has the secrets that headers name.

    Raises
    ------
    SettingsError
        If a secret is missing or cannot stand in a header, or the authority cannot be read.
    """

    def __init__(
        self,
        name: str,
        section: ActuatorSettings,
        settings: WebhookSettings,
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._arms = section.arms
        self._nobody = Context(section.route or name, 0, 0, "")
        self._secrets = _secrets(name, settings, environment)
        self._headers = {
            name: header_of(text, environment) for name, text in settings.headers.items()
        }
        if settings.body and settings.format == "json":
            self._headers.setdefault("Content-Type", "application/json")
        self._ssl = _trust(name, settings.ca_file)
        self._session: aiohttp.ClientSession | None = None
        self.name = f"webhook {_harmless(settings.url)}"
        self.total = settings.total
        self.tolerance = settings.tolerance
        self.is_readable = bool(settings.read_url)

    async def read(self) -> Seen:
        """Read what holds. Raises ``Trouble``."""
        settings = self._settings
        weights = {}
        document = None
        for arm in self._arms:
            if settings.each or document is None:
                values = self._values({}, self._nobody, arm)
                url = url_of(settings.read_url, values)
                document = self._decoded(url, await self._ask("GET", url, b""))
            path = settings.read["*" if settings.each else arm]
            weights[arm] = weight_in(document, path, f"GET {_harmless(url)}")
        shares = apportion(weights, self.total) or dict.fromkeys(self._arms, 0)
        return Seen(shares)

    async def write(self, shares: Mapping[str, int], seen: Seen, context: Context) -> None:
        """Send. Raises ``Trouble``."""
        for url, body in self._requests(shares, seen, context):
            await self._ask(self._settings.method, url, body)

    def preview(self, shares: Mapping[str, int], seen: Seen, context: Context) -> list[str]:
        """Return the requests, without headers: they hold secrets."""
        return [
            f"{self._settings.method} {url} {body.decode(errors='replace')}".rstrip()
            for url, body in self._requests(shares, seen, context)
        ]

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _requests(
        self, shares: Mapping[str, int], seen: Seen, context: Context
    ) -> Iterator[tuple[str, bytes]]:
        settings = self._settings
        arms: list[str | None] = [*order_of(shares, seen.shares)] if settings.each else [None]
        for arm in arms:
            values = self._values(shares, context, arm)
            yield url_of(settings.url, values), body_of(settings.body, settings.format, values)

    def _values(
        self, shares: Mapping[str, int], context: Context, arm: str | None
    ) -> dict[str, Any]:
        given = arm if self._settings.each else None
        return values_of(shares, self._arms, self.total, context, given)

    def _decoded(self, url: str, told: bytes) -> Any:
        try:
            return msgspec.json.decode(told)
        except msgspec.DecodeError as error:
            raise Trouble(
                "unfit", f"GET {_harmless(url)} answers no JSON ({error}): correct read_url"
            ) from error

    async def _ask(self, method: str, url: str, body: bytes) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
                connector=aiohttp.TCPConnector(ssl=self._ssl),
            )
        what = f"{method} {_harmless(url)}"
        try:
            async with self._session.request(
                method,
                _exactly(url),
                data=body or None,
                headers=self._headers,
                allow_redirects=False,
            ) as answer:
                told = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            # The error's own text may hold the whole address.
            raise Trouble(
                "unreachable",
                f"{what}: no answer ({type(error).__name__}): look at it, or correct the address",
            ) from error
        if answer.status < 300:
            return told
        if answer.status in _BUSY:
            raise Trouble(
                "busy", f"{what}: {answer.status}; trying again", retry_after_s(answer.headers)
            )
        kind = "refused" if answer.status in {401, 403} else "unfit"
        said = told[:200].decode(errors="replace")
        for secret in self._secrets:
            said = said.replace(secret, "***")
        raise Trouble(kind, f"{what}: {answer.status} {said}: correct url, headers, or body")


def _exactly(url: str) -> Any:
    """As it was made: aiohttp would decode some of what is encoded."""
    from yarl import URL

    return URL(url, encoded=True)


def _harmless(url: str) -> str:
    """The address without its query and user, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _secrets(name: str, settings: WebhookSettings, environment: Mapping[str, str]) -> list[str]:
    named = secrets_in(settings)
    where = f"actuators.{name}.webhook.headers"
    if missing := [one for one in named if not environment.get(one)]:
        raise SettingsError(
            f"{where}: {', '.join(missing)} is not set in the environment: set it, or take it out "
            "of the headers"
        )
    if odd := [one for one in named if not environment[one].isprintable()]:
        raise SettingsError(
            f"{where}: {', '.join(odd)} holds a line break or another character that no header may "
            "have: set it without"
        )
    return [environment[one] for one in named]


def _trust(section: str, ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(
            f"actuators.{section}.webhook.ca_file: {ca_file!r} holds no certificates that can be "
            f"read: {error}"
        ) from error
