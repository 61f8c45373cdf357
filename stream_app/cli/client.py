"""The HTTP API as the commands use it."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from stream_app.domain.instants import format_instant
from stream_app.errors import ReportError, StoreUptimeError

if TYPE_CHECKING:
    from types import TracebackType

_FIRST_WAIT_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 1.0
_BUSY_WAIT_SECONDS: Final = 1.0


class ApiError(StoreUptimeError):
    """The API answered with an error, or not at all."""


class ApiClient:
    """Triggers reports and fetches them.

    Args:
        address: such as `http://127.0.0.1:8000`.
    """

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ApiClient:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def report(self, store_id: str, reference_time: int | None = None) -> dict[str, Any]:
        """The finished report of a store, as the JSON form has it.

        Raises:
            ReportError: the report failed.
            ApiError: the API refused, or does not answer.
        """
        body = b""
        if reference_time is not None:
            body = orjson.dumps({"reference_time": format_instant(reference_time)})
        while True:
            status, content = await self._call("POST", f"/trigger_report/{store_id}", body)
            if status == HTTPStatus.ACCEPTED:
                return await self._finished(content["report_id"])
            if status != HTTPStatus.SERVICE_UNAVAILABLE:
                raise ApiError(str(content.get("detail", content)))
            await asyncio.sleep(_BUSY_WAIT_SECONDS)

    async def _finished(self, report_id: str) -> dict[str, Any]:
        wait = _FIRST_WAIT_SECONDS
        while True:
            status, content = await self._call("GET", f"/get_report/{report_id}")
            if status == HTTPStatus.OK:
                return content
            if status == HTTPStatus.GONE:
                raise ReportError(str(content["reason"]))
            if status not in (HTTPStatus.ACCEPTED, HTTPStatus.SERVICE_UNAVAILABLE):
                raise ApiError(str(content.get("detail", content)))
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    async def _call(self, method: str, path: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
        if self._session is None:
            raise RuntimeError("use the client with `async with`")
        try:
            async with self._session.request(
                method,
                self._address + path,
                data=body or None,
                headers={"Accept": "application/json"},
            ) as response:
                return response.status, orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            raise ApiError(
                f"no store-uptime API answers at {self._address} ({error}): start one with "
                "`store-uptime up`, or name another with --api"
            ) from error
