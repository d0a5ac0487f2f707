"""A client of the Kubernetes API server: reads objects, and applies partial ones.

Plain HTTP, as its reference describes it; what goes wrong is told with the cure.
"""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp
import msgspec

from leverframe.agents.actuate.managers import FIELD_MANAGER
from leverframe.agents.actuate.place import Trouble, retry_after_s
from leverframe.agents.actuate.settings import KubernetesSettings
from leverframe.schemas.errors import SettingsError

__all__ = ["Kubernetes"]

_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_CONFLICT: Final = 409
_BUSY: Final = frozenset({429, 500, 502, 503, 504})


class Kubernetes:
    """Asks one API server; to be closed.

    Parameters
    ----------
    settings : KubernetesSettings
        Where it is, and as whom we come.
    environment : mapping
        Of a pod, which says where the server is.

    Raises
    ------
    SettingsError
        If that is known from neither, or a file cannot be read.
    """

    def __init__(self, settings: KubernetesSettings, environment: Mapping[str, str]) -> None:
        self._server = settings.server.rstrip("/") or _in_cluster(environment)
        self._token_file = Path(settings.token_file or _ACCOUNT / "token")
        self._timeout_s = settings.timeout_s
        self._ssl = _trust(self._server, Path(settings.ca_file or _ACCOUNT / "ca.crt"))
        self._session: aiohttp.ClientSession | None = None
        if not self._token_file.is_file():
            raise SettingsError(
                f"[kubernetes] token_file: {self._token_file} does not exist: mount the "
                "service account's token, or name another file"
            )

    async def read(self, path: str) -> dict[str, Any]:
        """Return an object. Raises ``Trouble``."""
        return await self._ask("GET", path)

    async def apply(self, path: str, partial: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """Apply a partial object as field manager ``leverframe``. Raises ``Trouble``."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true" if force else "false"}
        return await self._ask("PATCH", path, msgspec.json.encode(partial), query)

    async def close(self) -> None:
        """Disconnect."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self._timeout_s),
                connector=aiohttp.TCPConnector(ssl=self._ssl),
            )
        headers = {"Authorization": f"Bearer {self._token()}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/apply-patch+yaml"
        try:
            async with self._session.request(
                method,
                self._server + path,
                data=body,
                params=query,
                headers=headers,
                allow_redirects=False,
            ) as answer:
                told = await answer.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Trouble(
                "unreachable",
                f"the API server at {self._server} gives no answer ({error!r:.200}): look at it, "
                "at network policies, or correct [kubernetes] server and ca_file",
            ) from error
        if answer.status >= 300:
            raise _trouble(method, path, answer.status, told, answer.headers)
        try:
            found: dict[str, Any] = msgspec.json.decode(told, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise Trouble(
                "unfit",
                f"{self._server}{path} answered no object ({error}): is it an API server?",
            ) from error
        return found

    def _token(self) -> str:
        """The token of this moment: Kubernetes replaces it every hour."""
        try:
            return self._token_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Trouble(
                "refused",
                f"the token in {self._token_file} cannot be read ({error.strerror}): mount it, or "
                "correct [kubernetes] token_file",
            ) from error


def _in_cluster(environment: Mapping[str, str]) -> str:
    host, port = (environment.get(f"KUBERNETES_SERVICE_{key}", "") for key in ("HOST", "PORT"))
    if not host:
        raise SettingsError(
            "[kubernetes] server is empty, and this is no pod of Kubernetes: set it, with "
            "token_file and ca_file"
        )
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def _trust(server: str, ca_file: Path) -> ssl.SSLContext | bool:
    if not server.startswith("https:"):
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise SettingsError(
            f"[kubernetes] ca_file: {ca_file} holds no certificates that can be read: {error}"
        ) from error


def _trouble(
    method: str, path: str, status: int, told: bytes, headers: Mapping[str, str]
) -> Trouble:
    try:
        said: dict[str, Any] = msgspec.json.decode(told, type=dict[str, Any])
    except msgspec.DecodeError:
        said = {}
    text = str(said.get("message") or told[:200].decode(errors="replace"))
    what = f"{method} {path}: {status} {text}"
    if status == _CONFLICT:
        return _conflict(what, said)
    wait_s = retry_after_s(headers)
    if status in _BUSY:
        return Trouble("busy", f"{what}: the API server is busy; trying again", wait_s)
    kind, cure = _CURES.get(status, ("unfit", "correct the actuator's section"))
    return Trouble(kind, f"{what}: {cure}", wait_s)


_CURES: Final[Mapping[int, tuple[str, str]]] = {
    401: ("refused", "the token is not known: correct [kubernetes] token_file, or mount the token"),
    403: ("refused", "allow the service account get and patch on it (docs/actuators.md#rights)"),
    404: ("missing", "no such object, or no such kind: create it, or correct namespace and name"),
    422: ("unfit", "the API server finds it invalid: correct the object or the section"),
}


def _conflict(what: str, said: Mapping[str, Any]) -> Trouble:
    causes = (said.get("details") or {}).get("causes") or ()
    fields = [
        f"{cause.get('field', '')} ({cause.get('message', '')})"
        for cause in causes
        if cause.get("reason") == "FieldManagerConflict"
    ]
    if not fields:
        return Trouble("moved", f"{what}: it has changed since it was read; reading again")
    return Trouble(
        "conflict",
        f"{what}: another field manager owns {', '.join(fields)}. Either let that one leave the "
        "field alone and set force = true to take it over, or take this actuator out "
        "(docs/actuators.md#conflicts)",
    )
