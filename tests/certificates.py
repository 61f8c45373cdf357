"""Makes authorities, certificates and keys for tests with the command openssl."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A certificate and its key, each in a PEM file."""

    certificate: Path
    key: Path


class Authority:
    """A certificate authority; a program that trusts it needs its `certificate`.

    Args:
        folder: folder of all its files.
        name: name of the authority, with which the names of its files begin.
    """

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._key = folder / f"{name}.key.pem"
        self.certificate = folder / f"{name}.pem"
        _openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={name}",
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def issue(self, name: str, *, host: str | None = None, password: str = "") -> Certificate:
        """Issue a certificate of CN=name, valid for a server at `host` and for a client.

        Args:
            name: common name, and the beginning of the names of the files.
            host: address or name of the server that the certificate is for.
            password: password of the key; empty if the key has none.
        """
        request, key = self._folder / f"{name}.csr", self._folder / f"{name}.key.pem"
        certificate = self._folder / f"{name}.pem"
        extensions = self._folder / f"{name}.ext"
        kind = "IP" if host and host[-1].isdigit() else "DNS"
        extensions.write_text(f"subjectAltName={kind}:{host}\n" if host else "")
        protected = ("-passout", f"pass:{password}") if password else ("-nodes",)
        _openssl(
            "req", "-new", "-newkey", "rsa:2048", "-subj", f"/CN={name}", *protected,
            "-keyout", key, "-out", request,
        )  # fmt: skip
        _openssl(
            "x509", "-req", "-days", "2", "-in", request, "-out", certificate,
            "-CA", self.certificate, "-CAkey", self._key, "-CAcreateserial", "-extfile", extensions,
        )  # fmt: skip
        return Certificate(certificate, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
