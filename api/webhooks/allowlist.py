"""The allow-list of webhook receivers: the operator lists them, and others are rejected.

Every client that may request a report may name a URL, and must not use this machine to reach
servers that only this machine can reach. So the host of a URL must be on the list, and its
addresses must be public, unless the list says otherwise.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING, Final

from yarl import URL

from stream_app.authority import parse_authority
from stream_app.contracts.fields import shown
from stream_app.errors import RecordError
from stream_app.webhook_hosts import canonical_host

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.webhook_hosts import WebhookHost

MAX_URL_LENGTH: Final = 2000
"""Longest URL of a webhook, in characters."""

_SCHEMES: Final = ("http", "https")
_URL: Final = re.compile(r"https?://[!-\[\]-~]+", re.IGNORECASE)
"""A URL in printable ASCII, without spaces and backslashes: programs read these differently."""

_NO_RECEIVER: Final = "a URL without a host"

_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
_SIX_TO_FOUR: Final = IPv6Network("2002::/16")
_NAT64: Final = IPv6Network("64:ff9b::/96")


class Allowlist:
    """The hosts that webhooks may go to.

    Args:
        hosts: the setting WEBHOOK_HOSTS.
    """

    def __init__(self, hosts: Sequence[WebhookHost]) -> None:
        self._hosts = hosts

    @property
    def any(self) -> bool:
        """Return True if the list has an entry: without one there are no webhooks."""
        return bool(self._hosts)

    def check(self, url: object) -> URL:
        """Return a URL that webhooks may go to, parsed.

        Raises:
            RecordError: webhooks may not go to it, or it is no URL.
        """
        if not self._hosts:
            raise RecordError("webhooks are off here: STORE_UPTIME_WEBHOOK_HOSTS lists no host")
        if not isinstance(url, str) or len(url) > MAX_URL_LENGTH or not _URL.fullmatch(url):
            raise RecordError(
                f"webhook.url is not an https URL of at most {MAX_URL_LENGTH} ASCII characters"
            )
        try:
            parsed = URL(url)
            scheme, host, port = parsed.scheme, parsed.raw_host, parsed.port
        except ValueError:
            # the URL is not in the error line: its path may be a secret
            raise RecordError("webhook.url is not a URL") from None
        if parsed.raw_user is not None or parsed.raw_password is not None or "#" in url:
            raise RecordError("webhook.url must have no user, no password and no fragment")
        if not host or port is None or self._entry_for(scheme, host, port) is None:
            authority = shown(parsed.raw_authority)
            raise RecordError(
                f"webhook.url: STORE_UPTIME_WEBHOOK_HOSTS does not list {authority} for {scheme}"
            )
        if parse_authority(parsed.raw_authority) is None:
            # a wildcard matches any text before its domain
            raise RecordError(
                f"webhook.url: {shown(parsed.raw_authority)} is not the name of a host"
            )
        return parsed

    def may_be_private(self, host: str, port: int) -> bool:
        """Return whether the operator listed a host so that it may have a private address."""
        entries = (self._entry_for(scheme, host, port) for scheme in _SCHEMES)
        return any(entry is not None and entry.own for entry in entries)

    def _entry_for(self, scheme: str, host: str, port: int) -> WebhookHost | None:
        host = canonical_host(host)
        matches = [entry for entry in self._hosts if entry.matches(scheme, host, port)]
        # an entry of the host itself has priority over a wildcard
        return min(matches, key=lambda entry: (entry.wildcard, not entry.own), default=None)


def is_public(address: str) -> bool:
    """Return whether an address, or the IPv4 address that is embedded in it, is a public host's."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        embedded = ip.ipv4_mapped
        if ip in _NAT64:
            embedded = IPv4Address(int(ip) & 0xFFFF_FFFF)
        if embedded is not None:
            return is_public(str(embedded))
        if ip not in _GLOBAL_UNICAST or ip in _SIX_TO_FOUR:
            return False
    return ip.is_global and not ip.is_multicast


def receiver_of(url: str) -> str:
    """Return the scheme, host and port of a URL, without its path, which may be a secret."""
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError:
        return _NO_RECEIVER
    if not parsed.scheme or not host or port is None:
        return _NO_RECEIVER
    return f"{parsed.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
