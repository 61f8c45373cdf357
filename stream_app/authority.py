"""`HOST` or `HOST:PORT`, as a URL and the `Host` header write it, in one form to compare."""

from __future__ import annotations

import re
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    IpAddress = IPv4Address | IPv6Address

LOOPBACK: Final = "127.0.0.1"
"""The address at which only programs on the same machine reach a server."""

_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]+)(?::([0-9]{0,5}))?")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_MAX_NAME: Final = 253
_MAX_PORT: Final = 65_535


class Authority(NamedTuple):
    """A host and perhaps a port.

    Attributes:
        host: an IP address, or a name in lower case without a dot at its end.
        port: None where none is named.
    """

    host: str | IpAddress
    port: int | None = None

    def __str__(self) -> str:
        host = f"[{self.host}]" if isinstance(self.host, IPv6Address) else str(self.host)
        return host if self.port is None else f"{host}:{self.port}"


def parse_authority(text: str) -> Authority | None:
    """Read the host and the port in a text; None if it is neither `HOST` nor `HOST:PORT`."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    host, port = match[1].lower(), int(match[2]) if match[2] else None
    if port is not None and port > _MAX_PORT:
        return None
    if host.startswith("["):
        address = ip_of(host[1:-1])
        return Authority(address, port) if address is not None and ":" in host else None
    address = ip_of(host)
    if address is not None:
        return Authority(address, port)
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > _MAX_NAME or not all(map(_LABEL.fullmatch, labels)):
        return None
    # as in URLs, a host that ends in a number must be an address
    return None if labels[-1].isdigit() else Authority(name, port)


def ip_of(text: str) -> IpAddress | None:
    """Read an IP address without its scope, and IPv4 within IPv6 as IPv4; None for other texts."""
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        return address.ipv4_mapped or IPv6Address(address.packed)
    return address
