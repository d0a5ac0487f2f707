"""A client of a schema registry with Confluent's REST interface: schemas by id, ready to read with.

What was read once is kept: an id never changes its meaning. Only an id that the registry does not
have is asked for again, after a while.
"""

import asyncio
import base64
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import aiohttp
from msgspec import Struct

from leverframe.schemas.errors import RegistryError, SettingsError
from leverframe.streams.sources.documents import Reading, Schema
from leverframe.streams.sources.settings import RegistrySettings

__all__ = ["Registered", "Registry", "subject_of"]

# A registry of several servers may need a moment to tell all of a new schema.
_UNKNOWN_TRIES: Final = 3
_UNKNOWN_PAUSE_S: Final = 0.3
_UNKNOWN_S: Final = 10.0
_MOST_UNKNOWN: Final = 10_000
_MOST_AT_ONCE: Final = 8
_MOST_NESTED: Final = 32
_ACCEPT: Final = "application/vnd.schemaregistry.v1+json, application/json"


class Registered(Struct, frozen=True):
    """A schema as the registry gives it.

    Attributes
    ----------
    schema_id : int
        Its id; 0 where that is not told.
    kind : str
        ``AVRO``, ``PROTOBUF`` or ``JSON``.
    text : str
        The schema; a descriptor in base64 for Protobuf.
    references : sequence of (str, str)
        Name and text of every schema that it needs, those first that others need.
    """

    schema_id: int
    kind: str
    text: str
    references: Sequence[tuple[str, str]] = ()


def subject_of(strategy: str, topic: str, record: str = "", part: str = "value") -> str:
    """Return the subject under which a topic's schema is registered.

    Examples
    --------
    >>> subject_of("topic", "shop"), subject_of("topic_record", "shop", "com.Order")
    ('shop-value', 'shop-com.Order')
    """
    if strategy == "topic" or not record:
        return f"{topic}-{part}"
    return record if strategy == "record" else f"{topic}-{record}"


class Registry:
    """Asks a registry; ``now_s`` never jumps. To be closed."""

    def __init__(
        self, settings: RegistrySettings, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.schemas: dict[int, Schema] = {}
        self._settings = settings
        self._urls = [url.strip().rstrip("/") for url in settings.url.split(",") if url.strip()]
        self._now_s = now_s
        self._unknown_s: dict[int, float] = {}
        self._session: aiohttp.ClientSession | None = None
        self._turns = asyncio.Semaphore(_MOST_AT_ONCE)

    async def load(self, ids: Iterable[int]) -> None:
        """Have ``schemas`` hold each of these ids, with its problem where it cannot be read.

        Raises ``RegistryError`` where the registry gives no answer, or refuses us.
        """
        wanted = [one for one in set(ids) if not self._is_known(one)]
        if wanted:
            await asyncio.gather(*(self._load(one) for one in wanted))

    def _is_known(self, schema_id: int) -> bool:
        asked_s = self._unknown_s.get(schema_id)
        if asked_s is not None and self._now_s() - asked_s >= _UNKNOWN_S:
            return False
        return schema_id in self.schemas

    async def _load(self, schema_id: int) -> None:
        try:
            found = await self.by_id(schema_id)
        except (KeyError, TypeError, AttributeError) as error:
            raise RegistryError(
                f"the schema registry at {self._settings.url} gave an answer for schema "
                f"{schema_id} that is none of its interface ({error!r:.200}); is it a registry?"
            ) from error
        if found is None:
            if len(self._unknown_s) >= _MOST_UNKNOWN:
                for one in self._unknown_s:
                    self.schemas.pop(one, None)
                self._unknown_s.clear()
            self._unknown_s[schema_id] = self._now_s()
            self.schemas[schema_id] = Schema("", _unread, "the registry does not have it")
            return
        self._unknown_s.pop(schema_id, None)
        self.schemas[schema_id] = _readable(found)

    async def by_id(self, schema_id: int) -> Registered | None:
        """Return a schema; None where the registry does not have it.

        Raises ``RegistryError``.
        """
        for attempt in range(_UNKNOWN_TRIES):
            if attempt:
                await asyncio.sleep(_UNKNOWN_PAUSE_S)
            answer = await self._get(f"/schemas/ids/{schema_id}")
            if answer is not None:
                return await self._whole(f"/schemas/ids/{schema_id}", answer, schema_id)
        return None

    async def latest(self, subject: str) -> Registered | None:
        """Return the newest version of a subject; None where there is none."""
        path = f"/subjects/{quote(subject, safe='')}/versions/latest"
        answer = await self._get(path)
        return None if answer is None else await self._whole(path, answer, answer.get("id", 0))

    async def register(self, subject: str, kind: str, text: str) -> int:
        """Register a schema under a subject, if it is not yet, and return its id."""
        path = f"/subjects/{quote(subject, safe='')}/versions"
        answer = await self._ask("POST", path, {"schemaType": kind, "schema": text})
        if answer is None:
            raise RegistryError(f"the registry does not take schemas for {subject}")
        return int(answer["id"])

    async def _whole(self, path: str, answer: Mapping[str, Any], schema_id: int) -> Registered:
        kind = answer.get("schemaType") or "AVRO"
        if kind == "PROTOBUF":
            answer = await self._get(path, serialized=True) or answer
        references: dict[str, str] = {}
        await self._collect(answer.get("references") or (), kind, references, _MOST_NESTED)
        return Registered(schema_id, kind, answer["schema"], [*references.items()])

    async def _collect(
        self, wanted: Iterable[Mapping[str, Any]], kind: str, into: dict[str, str], most: int
    ) -> None:
        for one in wanted:
            if one["name"] in into:
                continue
            if not most:
                raise RegistryError(f"references of schemas are nested too deep at {one['name']}")
            subject = quote(one["subject"], safe="")
            path = f"/subjects/{subject}/versions/{one['version']}"
            answer = await self._get(path, serialized=kind == "PROTOBUF")
            if answer is not None:
                await self._collect(answer.get("references") or (), kind, into, most - 1)
                into[one["name"]] = answer["schema"]

    async def _get(self, path: str, *, serialized: bool = False) -> dict[str, Any] | None:
        return await self._ask("GET", path + ("?format=serialized" if serialized else ""))

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """Ask the servers in turn; None for what they do not have. Raises ``RegistryError``."""
        error: Exception | None = None
        async with self._turns:
            for url in [*self._urls]:
                try:
                    return await self._ask_one(method, url + path, body)
                except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as failed:
                    error = failed
                    self._urls.append(self._urls.pop(0))  # the others first, next time
        told = "gave no answer in time" if isinstance(error, TimeoutError) else f"{error!r:.200}"
        raise RegistryError(
            f"the schema registry at {self._settings.url}: {told}. Look at it, or correct "
            "[registry] url"
        ) from error

    async def _ask_one(self, method: str, url: str, body: Any) -> dict[str, Any] | None:
        session = self._session = self._session or self._open()
        async with session.request(method, url, json=body) as answer:
            if answer.status == 404:
                return None
            if answer.status in {401, 403}:
                raise RegistryError(
                    f"the schema registry at {self._settings.url} refuses us ({answer.status}); "
                    "correct [registry] username and password, or token"
                )
            if answer.status >= 400:
                told = (await answer.text())[:200]
                raise aiohttp.ClientError(f"{answer.status}: {told}")
            found: dict[str, Any] = await answer.json(content_type=None)
            return found

    def _open(self) -> aiohttp.ClientSession:
        settings = self._settings
        headers = {"Accept": _ACCEPT}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        elif settings.username:
            pair = f"{settings.username}:{settings.password}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        return aiohttp.ClientSession(
            headers=headers,
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            connector=aiohttp.TCPConnector(ssl=_context(settings.ca_file)),
        )

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _context(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(
            f"[registry] ca_file {ca_file!r} holds no certificates that can be read: {error}"
        ) from error


def _readable(found: Registered) -> Schema:
    try:
        return Schema(found.kind, _reading(found))
    except Exception as error:  # noqa: BLE001 - parsers of three libraries, and any text
        return Schema(found.kind, _unread, str(error) or repr(error))


def _reading(found: Registered) -> Reading:
    if found.kind == "AVRO":
        from leverframe.streams.sources.formats.avro import avro_reading

        return avro_reading(found.text, [text for _, text in found.references])
    if found.kind == "PROTOBUF":
        from leverframe.streams.sources.formats.protobuf import protobuf_reading

        return protobuf_reading(found.text, found.references)
    from leverframe.streams.sources.formats.plain import read_json

    return read_json


def _unread(raw: bytes) -> Any:
    del raw
    raise ValueError("a schema with a problem reads nothing")
