"""A client of MLflow's model registry: its documented REST API 2.0, no package of MLflow's.

Aliases came with MLflow 2.3; everything asked here is the same in MLflow 3.
"""

import ssl
from collections.abc import Mapping
from typing import Any, Final, Self

import aiohttp

from leverframe.agents.mlflow.registered import Model, Version, model_of, version_of
from leverframe.agents.mlflow.settings import MlflowSettings
from leverframe.schemas.errors import RegistryError, SettingsError

__all__ = ["Mlflow"]

_API: Final = "/api/2.0/mlflow/"
_AT_ONCE: Final = "1000"
_ABSENT: Final = "RESOURCE_DOES_NOT_EXIST"


class Mlflow:
    """Asks one tracking server; to be entered."""

    def __init__(self, settings: MlflowSettings) -> None:
        self._settings = settings
        self._base = settings.url.rstrip("/") + _API
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Prepare to ask; the server is not asked yet."""
        settings, headers, login = self._settings, {}, None
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        elif settings.username:
            login = aiohttp.BasicAuth(settings.username, settings.password, "utf-8")
        self._session = aiohttp.ClientSession(
            headers=headers,
            auth=login,
            timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
            connector=aiohttp.TCPConnector(ssl=_context(settings.ca_file)),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()

    async def model(self, name: str) -> Model | None:
        """Return a registered model with all its versions; None where there is none of the name.

        Raises ``RegistryError``.
        """
        told = await self._ask("GET", "registered-models/get", {"name": name})
        if told is None:
            return None
        try:
            return model_of(told, await self._versions(name))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise RegistryError(
                f"MLflow at {self._settings.url} gave an answer that is none of its interface "
                f"({error!r:.200}); is it a tracking server with a model registry?"
            ) from error

    async def _versions(self, name: str) -> list[Version]:
        quote = '"' if "'" in name else "'"
        asked = {"filter": f"name={quote}{name}{quote}", "max_results": _AT_ONCE}
        found: list[Version] = []
        while True:
            told = await self._ask("GET", "model-versions/search", asked) or {}
            found += [version_of(one) for one in told.get("model_versions") or ()]
            asked["page_token"] = told.get("next_page_token") or ""
            if not asked["page_token"]:
                return found

    async def mark_version(self, name: str, version: int, key: str, value: str) -> None:
        """Set a tag of a version."""
        body = {"name": name, "version": str(version), "key": key, "value": value}
        await self._change("model-versions/set-tag", body)

    async def mark_model(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""
        await self._change("registered-models/set-tag", {"name": name, "key": key, "value": value})

    async def set_alias(self, name: str, alias: str, version: int) -> None:
        """Let an alias of a model name a version."""
        body = {"name": name, "alias": alias, "version": str(version)}
        await self._change("registered-models/alias", body)

    async def _change(self, path: str, body: Mapping[str, str]) -> None:
        if await self._ask("POST", path, body) is None:
            told = " ".join(f"{key}={value!r:.80}" for key, value in body.items())
            raise RegistryError(f"MLflow has no such model or version any more: {told}")

    async def _ask(self, method: str, path: str, said: Mapping[str, str]) -> dict[str, Any] | None:
        """Ask; None for what the server says it does not have."""
        if self._session is None:
            raise RuntimeError("the client was not entered")
        how: dict[str, Any] = {"params": said} if method == "GET" else {"json": said}
        try:
            async with self._session.request(method, self._base + path, **how) as answer:
                return await self._read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            late = isinstance(error, TimeoutError)
            told = "gave no answer in time" if late else f"{error!r:.200}"
            raise RegistryError(
                f"MLflow at {self._settings.url}: {told}. Look at it, or correct [mlflow] url"
            ) from error

    async def _read(self, answer: aiohttp.ClientResponse) -> dict[str, Any] | None:
        if answer.status in {401, 403}:
            raise RegistryError(
                f"MLflow at {self._settings.url} refuses us ({answer.status}); correct [mlflow] "
                "username and password, or token, and let that user edit the model"
            )
        if answer.status == 404:
            told = await answer.json(content_type=None)
            if isinstance(told, dict) and told.get("error_code") == _ABSENT:
                return None
            raise ValueError("404: there is no model registry at this address")
        if answer.status >= 400:
            raise ValueError(f"{answer.status}: {(await answer.text())[:200]}")
        found: dict[str, Any] = await answer.json(content_type=None)
        return found


def _context(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise SettingsError(
            f"[mlflow] ca_file {ca_file!r} holds no certificates that can be read: {error}"
        ) from error
