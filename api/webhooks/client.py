"""Makes one attempt to deliver a webhook: to a checked address, with limits of time and bytes."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Literal

import aiohttp
from aiohttp.abc import AbstractResolver
from aiohttp.resolver import ThreadedResolver

from api.webhooks.allowlist import is_public
from api.webhooks.signature import signed_headers
from stream_app.errors import RecordError

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

    from aiohttp.abc import ResolveResult

    from api.webhooks.allowlist import Allowlist

ATTEMPT_SECONDS: Final = 10.0
"""Seconds that one attempt may take, up to the head of the receiver's response."""

MAX_RESPONSE_BYTES: Final = 4096
"""Bytes read of a receiver's response body; the rest is discarded."""

MAX_CONNECTIONS: Final = 64
"""Most attempts that run at once."""

MAX_CONNECTIONS_TO_ONE: Final = 8
"""Most attempts that run at once to one receiver: a slow one must leave room for others."""

_TIMEOUT: Final = aiohttp.ClientTimeout(total=ATTEMPT_SECONDS)


@dataclass(frozen=True, slots=True)
class Attempt:
    """The result of one attempt.

    Attributes:
        outcome: `delivered`, `refused` if no other attempt may follow, or `failed` if one follows.
        detail: the outcome in one line.
    """

    outcome: Literal["delivered", "refused", "failed"]
    detail: str


class CheckedResolver(AbstractResolver):
    """Resolves a host to addresses that may be called.

    A connection goes to an address that this class returns, and the name is not resolved again. So
    nobody can have the name checked with one address, and called at another one.

    Args:
        allowlist: the hosts that webhooks may go to.
        resolver: resolves names.
    """

    def __init__(self, allowlist: Allowlist, resolver: AbstractResolver) -> None:
        self._allowlist = allowlist
        self._resolver = resolver

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = 0,  # type: ignore[assignment]  # as aiohttp calls it
    ) -> list[ResolveResult]:
        """Return the addresses of a host.

        Raises:
            OSError: the host has no address, or one that is not public.
        """
        results = await self._resolver.resolve(host, port, family)
        if not self._allowlist.may_be_private(host, port):
            for result in results:
                if not is_public(result["host"].partition("%")[0]):
                    raise OSError(None, f"{host} has an address that is not public")
        return results

    async def close(self) -> None:
        """Release the resolver."""
        await self._resolver.close()


class WebhookClient:
    """Sends signed bodies to receivers.

    Args:
        allowlist: the hosts that webhooks may go to.
        key: the bytes of the setting WEBHOOK_SECRET.
        clock: the wall clock in µs.
        resolver: resolves names; None for the resolver of the machine.
    """

    def __init__(
        self,
        allowlist: Allowlist,
        key: bytes,
        clock: Callable[[], int],
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allowlist = allowlist
        self._key = key
        self._clock = clock
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None
        self._slots = asyncio.Semaphore(MAX_CONNECTIONS)
        self._host_slots: dict[str, tuple[asyncio.Semaphore, int]] = {}

    async def start(self) -> None:
        """Open the HTTP session."""
        resolver = CheckedResolver(self._allowlist, self._resolver or ThreadedResolver())
        connector = aiohttp.TCPConnector(
            resolver=resolver,
            # each attempt resolves the name and checks its addresses
            use_dns_cache=False,
            force_close=True,
            limit=MAX_CONNECTIONS,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=_TIMEOUT,
            cookie_jar=aiohttp.DummyCookieJar(),
            # the limit counts the bytes that come over the network
            auto_decompress=False,
            trust_env=False,
            headers={
                "User-Agent": "store-uptime",
                "Content-Type": "application/json",
                "Accept-Encoding": "identity",
            },
        )

    async def stop(self) -> None:
        """Close the HTTP session."""
        if self._session is not None:
            await self._session.close()

    async def post(self, url: str, webhook_id: str, body: bytes) -> Attempt:
        """Try once to deliver a body; a failed attempt is a result and not an error.

        Args:
            url: the URL of the receiver.
            webhook_id: the id of the report.
            body: the JSON to send.
        """
        try:
            parsed = self._allowlist.check(url)
        except RecordError as error:
            # the URL was on the list when the report was requested
            return Attempt("refused", str(error))
        if self._session is None:
            raise RuntimeError("not started")
        async with self._slot(parsed.raw_authority):
            timestamp = self._clock() // 1_000_000
            headers = signed_headers(self._key, webhook_id, timestamp, body)
            try:
                async with self._session.post(
                    parsed, data=body, headers=headers, allow_redirects=False
                ) as response:
                    # the status has come already; the receiver may finish sending a short body
                    with suppress(TimeoutError, aiohttp.ClientError, OSError):
                        await response.content.read(MAX_RESPONSE_BYTES)
                    return _attempt_of(response.status)
            except TimeoutError:
                return Attempt("failed", f"no answer within {ATTEMPT_SECONDS:g} s")
            except (aiohttp.ClientError, OSError, ValueError) as error:
                return Attempt("failed", _describe(error))

    @asynccontextmanager
    async def _slot(self, host: str) -> AsyncIterator[None]:
        """Wait for a slot of a host and for one of all slots, and hold both in the block."""
        slots, waiting = self._host_slots.get(host, (asyncio.Semaphore(MAX_CONNECTIONS_TO_ONE), 0))
        self._host_slots[host] = slots, waiting + 1
        try:
            async with slots, self._slots:
                yield
        finally:
            slots, waiting = self._host_slots.pop(host)
            if waiting > 1:
                self._host_slots[host] = slots, waiting - 1


def _describe(error: Exception) -> str:
    """Describe an error without the path and the query of the URL, which may be secrets."""
    if isinstance(error, aiohttp.ClientResponseError):
        # the text of this error has the URL
        return "what it answers is no HTTP"
    if isinstance(error, (OSError, aiohttp.ServerDisconnectedError)):
        return str(error)[:200] or type(error).__name__
    return type(error).__name__


def _attempt_of(status: int) -> Attempt:
    if 200 <= status < 300:
        return Attempt("delivered", f"answered {status}")
    if status == HTTPStatus.GONE:
        return Attempt("refused", "answered 410: it wants no more")
    if 300 <= status < 400:
        return Attempt("failed", f"answered {status}: redirects are not followed")
    return Attempt("failed", f"answered {status}")
