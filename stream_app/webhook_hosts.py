"""The hosts to which webhooks may go, as the operator lists them: the setting WEBHOOK_HOSTS."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final

from stream_app.authority import parse_authority

_ENTRY: Final = re.compile(
    r"(?:(?P<scheme>https?)://)?(?P<wildcard>\*\.)?"
    r"(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
)
_HTTPS_PORT: Final = 443
_MAX_PORT: Final = 65_535


@dataclass(frozen=True, slots=True)
class WebhookHost:
    """One entry of the operator's list.

    Attributes:
        text: the entry as it is written, in lower case.
        scheme: http or https.
        host: a name, an address without brackets, or the domain behind `*.`.
        port: the only port that is allowed.
        wildcard: whether every subdomain is allowed, and not the domain itself.
        own: whether the host may have a private address: it is listed as an address, or with its
            scheme.
    """

    text: str
    scheme: str
    host: str
    port: int
    wildcard: bool
    own: bool

    def __str__(self) -> str:
        return self.text

    def matches(self, scheme: str, host: str, port: int) -> bool:
        """Check whether this entry allows a scheme, a host in its canonical form, and a port."""
        if (self.scheme, self.port) != (scheme, port):
            return False
        return host.endswith(f".{self.host}") if self.wildcard else host == self.host


def parse_webhook_hosts(text: str) -> tuple[WebhookHost, ...]:
    """Read `HOST,HOST:PORT,*.DOMAIN,http://HOST:PORT,...`.

    Raises:
        ValueError: an entry has another form, or names no host.
    """
    entries = (part.strip().lower() for part in text.split(","))
    return tuple(_parse_entry(entry) for entry in entries if entry)


def canonical_host(host: str) -> str:
    """Write a host as `WebhookHost` compares it: lower case, and addresses in their short form."""
    host = host.lower()
    return str(ip_address(host)) if _is_address(host) else host


def _parse_entry(text: str) -> WebhookHost:
    match = _ENTRY.fullmatch(text)
    if match is None or (match["port"] and not 0 < int(match["port"]) <= _MAX_PORT):
        raise ValueError(
            f"{text!r} is not HOST, HOST:PORT, *.DOMAIN, https://HOST:PORT or http://HOST:PORT"
        )
    scheme, wildcard, host, port = match.group("scheme", "wildcard", "host", "port")
    if wildcard and (scheme or "." not in host):
        raise ValueError(f"{text!r}: * stands for subdomains of a domain, without a scheme")
    if scheme == "http" and not port:
        raise ValueError(f"{text!r} does not say its port")
    if parse_authority(host) is None:
        raise ValueError(f"{text[:60]!r} is neither the name of a host nor an address")
    host = canonical_host(host.strip("[]"))
    return WebhookHost(
        text,
        scheme or "https",
        host,
        int(port) if port else _HTTPS_PORT,
        wildcard=wildcard is not None,
        own=scheme is not None or _is_address(host),
    )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
