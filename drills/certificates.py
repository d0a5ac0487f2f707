"""A certificate authority of our own and what it signs, by the ``openssl`` command."""

import shutil
import subprocess
from pathlib import Path

__all__ = ["Authority", "has_openssl"]


def has_openssl() -> bool:
    """Whether certificates can be made here."""
    return shutil.which("openssl") is not None


class Authority:
    """Makes keys and certificates in a folder.

    Parameters
    ----------
    folder : Path
        Exists.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.certificate = folder / "ca.pem"
        self._key = folder / "ca.key"
        self._run(
            *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30"),
            *("-subj", "/CN=drill-authority", "-keyout", self._key, "-out", self.certificate),
            # Python 3.13 verifies strictly.
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )

    def keystore(self, name: str, days: int = 30) -> Path:
        """Make a PEM file with key and certificate for the loopback address.

        Parameters
        ----------
        name : str
            Of the file.
        days : int
            How long it holds; a negative number: it ended so long ago.

        Returns
        -------
        Path
            Of the PEM file.
        """
        key, request, certificate, extensions, store = (
            self._folder / f"{name}.{ending}" for ending in ("key", "csr", "pem", "ext", "store")
        )
        extensions.write_text(
            "subjectAltName=IP:127.0.0.1,DNS:localhost\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n"
        )
        self._run(
            *("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=127.0.0.1"),
            *("-keyout", key, "-out", request),
        )
        self._run(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-days", days, "-extfile", extensions, "-out", certificate),
        )
        store.write_text(key.read_text() + certificate.read_text())
        return store

    def client(self, name: str, password: str = "") -> tuple[Path, Path]:
        """Make a client's certificate and its key, encrypted where there is a password.

        Parameters
        ----------
        name : str
            Of the client.
        password : str
            Of the key.

        Returns
        -------
        tuple of Path and Path
            Of the PEM files: certificate and key.
        """
        key, request, certificate = (
            self._folder / f"{name}.{ending}" for ending in ("key", "csr", "pem")
        )
        hidden = ["-passout", f"pass:{password}"] if password else ["-nodes"]
        self._run(
            *("req", "-newkey", "rsa:2048", *hidden, "-subj", f"/CN={name}"),
            *("-keyout", key, "-out", request),
        )
        self._run(
            *("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self._key),
            *("-CAcreateserial", "-days", 30, "-out", certificate),
        )
        return certificate, key

    def _run(self, *words: object) -> None:
        command = [shutil.which("openssl") or "openssl", *map(str, words)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"openssl: {done.stderr}")
