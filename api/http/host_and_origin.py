"""Refuses requests that name another server, and changes that pages of other sites ask for.

The owner of any name can make it resolve to an address of this machine (DNS rebinding). To a
browser, pages under this name and this API would be of one origin, and the pages could read all of
it. So every request must name this server by one of its addresses, or by a name that the settings
list.

And any page may make the browser send some requests without a permission of the receiver, such as
a form. So a request that changes something is refused if the browser says that a page of another
site sent it. Programs send neither `Origin` nor `Sec-Fetch-Site`, and no page can leave them out.
"""

from __future__ import annotations

import re
import socket
from functools import lru_cache
from http import HTTPStatus
from ipaddress import IPv6Address
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

from api.http.problems import problem
from stream_app.authority import Authority, ip_of, parse_authority
from stream_app.contracts.fields import shown
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_app.authority import IpAddress
    from stream_app.settings import Settings

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing here."""

_OWN_SITES: Final = frozenset({"same-origin", "none"})
"""Values of `Sec-Fetch-Site` for a page of this server, and for an address that a person typed."""

_LOCALHOST: Final = "localhost"
_SETTING: Final = f"{PREFIX}API_NAMES"
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_END_OF_AUTHORITY: Final = re.compile(r"[/?#]")

_REMEMBERED: Final = 128
"""Texts of hosts, and of addresses, whose parsed form is stored: clients repeat a few of them."""

_parse_authority: Final = lru_cache(_REMEMBERED)(parse_authority)
_ip_of: Final = lru_cache(_REMEMBERED)(ip_of)


class OwnHosts:
    """The addresses and names that this server goes by.

    Args:
        listens_on: the address that it listens on, or a name of it.
        names: the value of the setting API_NAMES.
    """

    def __init__(self, listens_on: str, names: tuple[Authority, ...]) -> None:
        self._listens_on = ip_of(listens_on.strip("[]"))
        self._names = frozenset(names)
        own = parse_authority(listens_on) if self._listens_on is None else None
        # what it listens on may be a name, and `localhost` is one that nobody else owns
        self._names_with_any_port = {_LOCALHOST} | ({own.host} if own is not None else set())

    def include(self, host: Authority, reached_at: IpAddress | None) -> bool:
        """Return whether a request may name this server by this host.

        Args:
            host: the host that it names.
            reached_at: the address of this machine that it came to.
        """
        name = host.host
        if (
            host in self._names
            or Authority(name) in self._names
            or name in self._names_with_any_port
        ):
            return True
        if isinstance(name, str):
            return False
        if name.is_loopback or name in (reached_at, self._listens_on):
            return True
        everywhere = self._listens_on is not None and self._listens_on.is_unspecified
        return everywhere and is_of_this_machine(name)


def is_of_this_machine(address: IpAddress) -> bool:
    """Return whether an address is one of this machine: nobody can bind to another one."""
    family = socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return not address.is_unspecified


def own_hosts_only(listens_on: str, settings: Settings) -> Any:
    """Make the middleware that refuses other hosts, and changes that other sites ask for.

    Args:
        listens_on: the address of the server.
        settings: list its names.
    """
    own = OwnHosts(listens_on, settings.api_names)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _named_host(request)
        if host is None or not own.include(host, _reached_at(request)):
            return _misdirected(request, host)
        reason = None if request.method in SAFE_METHODS else _why_foreign(request, host)
        if reason is not None:
            return problem(HTTPStatus.FORBIDDEN, reason)
        return await handler(request)

    return middleware


def _named_host(request: web.Request) -> Authority | None:
    """Return the host that a request names; None if it names none, or not clearly."""
    texts = request.headers.getall(hdrs.HOST, [])
    if len(texts) != 1:
        return None
    host = _parse_authority(texts[0])
    target = request.raw_path
    if host is None or target.startswith("/") or target == "*":
        return host
    # the target is a whole URL, which goes before the header: both must say the same
    scheme, _, rest = target.partition("://")
    within = parse_authority(_END_OF_AUTHORITY.split(rest, maxsplit=1)[0])
    return host if within is not None and _same(within, host, scheme.lower()) else None


def _reached_at(request: web.Request) -> IpAddress | None:
    transport = request.transport
    name = None if transport is None else transport.get_extra_info("sockname")
    # a Unix socket has a path
    return _ip_of(name[0]) if isinstance(name, tuple) else None


def _misdirected(request: web.Request, host: Authority | None) -> web.Response:
    texts = ", ".join(request.headers.getall(hdrs.HOST, []))
    if host is None:
        detail = (
            f"the request must name this server once, in Host: {shown(texts)}; {_SETTING} lists "
            "the names that it goes by besides its addresses"
        )
    else:
        detail = (
            f"this server does not go by {shown(texts)}: a name other than localhost and its "
            f"addresses must be listed in {_SETTING}"
        )
    return problem(HTTPStatus.MISDIRECTED_REQUEST, detail)


def _why_foreign(request: web.Request, host: Authority) -> str | None:
    """Return the reason to refuse a change that another site's page asks for; None if it is not."""
    for site in request.headers.getall("Sec-Fetch-Site", []):
        if site not in _OWN_SITES:
            return (
                f"a page of another site may change nothing here (Sec-Fetch-Site: {shown(site)}); "
                "a program sends no such header"
            )
    for origin in request.headers.getall(hdrs.ORIGIN, []):
        if not _is_own(origin, host):
            return (
                f"a page of another origin may change nothing here: Origin is {shown(origin)}, "
                f"Host {shown(request.headers[hdrs.HOST])}; a proxy must pass Host on as it came, "
                "a program sends no Origin"
            )
    return None


def _is_own(origin: str, host: Authority) -> bool:
    scheme, separator, rest = origin.partition("://")
    named = parse_authority(rest) if separator else None
    return (
        named is not None
        and scheme in _DEFAULT_PORTS
        # before a proxy that speaks TLS the scheme is another one than here
        and _same(named, host, scheme)
    )


def _same(one: Authority, other: Authority, scheme: str) -> bool:
    default = _DEFAULT_PORTS.get(scheme)
    return one.host == other.host and (one.port or default) == (other.port or default)
