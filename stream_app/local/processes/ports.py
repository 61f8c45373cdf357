"""Free TCP ports."""

from __future__ import annotations

import random
import socket
from typing import Final

from stream_app.authority import LOOPBACK
from stream_app.errors import PrerequisiteError

_LOWEST: Final = 20_000
_HIGHEST: Final = 29_999
"""The highest port to choose. It is below the ports that the system gives to outgoing connections.
Otherwise a client that connects to a stopped broker could get the broker's own port and keep it."""


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Check whether a server could listen on the port now."""
    return _listen_problem(host, port) is None


def require_free(host: str, port: int, remedy: str) -> None:
    """Check that a server could listen there.

    Raises:
        PrerequisiteError: the port is in use, or the address is not this machine's.
    """
    problem = _listen_problem(host, port)
    if problem is not None:
        raise PrerequisiteError(f"cannot listen on {host}:{port} ({problem}): {remedy}")


def free_ports(count: int, excluded: set[int] | None = None) -> list[int]:
    """Choose different free ports of the loopback address, none of them in `excluded`.

    Raises:
        PrerequisiteError: there are not enough.
    """
    chosen: list[int] = []
    candidates = list(range(_LOWEST, _HIGHEST + 1))
    # so that two programs that start at the same time try different ports
    random.shuffle(candidates)
    for port in candidates:
        if len(chosen) == count:
            break
        if port not in (excluded or ()) and is_free(port):
            chosen.append(port)
    if len(chosen) < count:
        raise PrerequisiteError(f"no free port of {LOOPBACK} in {_LOWEST} to {_HIGHEST}")
    return chosen


def _listen_problem(host: str, port: int) -> str | None:
    try:
        addresses = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except OSError as error:
        return str(error.strerror).lower()
    for family, kind, protocol, _, address in addresses:
        with socket.socket(family, kind, protocol) as probe:
            # as servers do, so that old connections of an earlier server do not block the port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            try:
                probe.bind(address)
            except OSError as error:
                return str(error.strerror).lower()
    return None
