"""A client of the HTTP API for the commands: requests reports and waits for them."""

from __future__ import annotations

import asyncio
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import orjson

from stream_app.contracts.report_requests import time_content
from stream_app.contracts.report_results import ReportDocument
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import SECOND
from stream_app.errors import ReportError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

MARGIN_SECONDS: Final = 30.0
"""The client waits this long beyond a report's deadline, because messages take time."""

THREE_WINDOWS: Final = ReportSpec()

_REQUEST_SECONDS: Final = 30.0
_FIRST_WAIT_SECONDS: Final = 0.01
_LONGEST_WAIT_SECONDS: Final = 1.0
_BUSY_WAIT_SECONDS: Final = 1.0
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)


class ApiError(StoreUptimeError):
    """The API answered with an error, or not at all."""


class ApiClient:
    """Requests reports and fetches them, and removes stores.

    Args:
        address: such as `http://127.0.0.1:8000`.
        report_deadline: µs from a request until the service fails its report.
        monotonic: a clock in seconds that never goes back.
    """

    def __init__(
        self,
        address: str,
        report_deadline: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._address = address.rstrip("/")
        self._time_limit = report_deadline / SECOND + MARGIN_SECONDS
        self._monotonic = monotonic
        self._session: aiohttp.ClientSession | None = None
        self._has_answered = False

    async def __aenter__(self) -> ApiClient:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_REQUEST_SECONDS))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def report(
        self, store_id: str, reference_time: int | None = None, spec: ReportSpec = THREE_WINDOWS
    ) -> ReportDocument:
        """Request a report of a store and wait until it is complete.

        The request is repeated while the API is busy, and also if an API that has answered before
        does not answer for a while.

        Raises:
            ReportError: the report failed.
            ApiError: the API refuses the request, does not answer, or has no report long after the
                deadline.
        """
        return await self._report(f"/trigger_report/{store_id}", reference_time, spec)

    async def fleet_report(
        self,
        reference_time: int | None = None,
        spec: ReportSpec = THREE_WINDOWS,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ReportDocument:
        """Request a report of all stores and wait until it is complete.

        Args:
            reference_time: µs; None if the reference clock decides.
            spec: the figures of the report.
            on_progress: called with the number of parts that are done, and of all parts.

        Raises:
            ReportError: the report failed.
            ApiError: for the same reasons as in `report`.
        """
        return await self._report("/trigger_report", reference_time, spec, on_progress)

    async def remove(self, store_id: str) -> bool:
        """Remove a store with all its data, and return when it is removed.

        Returns:
            False if the store is unknown.

        Raises:
            ApiError: the API refuses the request, does not answer, or is busy for too long.
        """
        give_up_at = self._monotonic() + self._time_limit
        is_repeated = False
        while True:
            status, content = await self._call("DELETE", f"/stores/{store_id}")
            if status == HTTPStatus.ACCEPTED:
                return True
            if status == HTTPStatus.NOT_FOUND:
                # an earlier request may have removed it, and its answer was lost
                return is_repeated
            if status not in _BUSY:
                raise ApiError(str(content.get("detail", content)))
            is_repeated = True
            self._check_time_limit(give_up_at, content, f"store {store_id} is not removed")
            await asyncio.sleep(_BUSY_WAIT_SECONDS)

    async def complete_report(self, report_id: str) -> ReportDocument:
        """Fetch a report that is complete already.

        Raises:
            ReportError: the report failed.
            ApiError: it is unknown or not complete, or the API does not answer.
        """
        status, content = await self._call("GET", f"/get_report/{report_id}")
        match status:
            case HTTPStatus.OK:
                return ReportDocument.decode(content)
            case HTTPStatus.GONE:
                raise ReportError(f"the report failed: {content['reason']}")
            case HTTPStatus.ACCEPTED:
                raise ApiError(f"report {report_id} is still running: try again when it is done")
        raise ApiError(str(content.get("detail", content)))

    async def _report(
        self,
        path: str,
        reference_time: int | None,
        spec: ReportSpec,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> ReportDocument:
        fields = time_content(reference_time, spec)
        body = orjson.dumps(fields) if fields else b""
        give_up_at = self._monotonic() + self._time_limit
        while True:
            status, content = await self._call("POST", path, body)
            if status == HTTPStatus.ACCEPTED:
                report_id = content["report_id"]
                return await self._wait_until_finished(report_id, give_up_at, on_progress)
            if status not in _BUSY:
                raise ApiError(str(content.get("detail", content)))
            self._check_time_limit(give_up_at, content)
            await asyncio.sleep(_BUSY_WAIT_SECONDS)

    async def _wait_until_finished(
        self,
        report_id: str,
        give_up_at: float,
        on_progress: Callable[[int, int], None] | None,
    ) -> ReportDocument:
        wait = _FIRST_WAIT_SECONDS
        while True:
            status, content = await self._call("GET", f"/get_report/{report_id}")
            if status == HTTPStatus.OK:
                return ReportDocument.decode(content)
            if status == HTTPStatus.GONE:
                raise ReportError(str(content["reason"]))
            if status != HTTPStatus.ACCEPTED and status not in _BUSY:
                raise ApiError(str(content.get("detail", content)))
            if on_progress is not None and "parts" in content:
                on_progress(content["parts_done"], content["parts"])
            self._check_time_limit(give_up_at, content)
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT_SECONDS)

    def _check_time_limit(
        self, give_up_at: float, content: dict[str, Any], what: str = "no report"
    ) -> None:
        if self._monotonic() >= give_up_at:
            last = content.get("detail") or content.get("status") or content
            raise ApiError(
                f"{what} within {self._time_limit:.0f} s; the last answer of {self._address}: "
                f"{last}"
            )

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
                content = orjson.loads(await response.read())
        except (aiohttp.ClientError, TimeoutError, orjson.JSONDecodeError) as error:
            reason = f"({str(error) or type(error).__name__})"
            if self._has_answered and not isinstance(error, orjson.JSONDecodeError):
                # the API has answered before, so it may be restarting
                detail = f"the API does not answer {reason}"
                return HTTPStatus.SERVICE_UNAVAILABLE, {"detail": detail}
            raise ApiError(
                f"no store-uptime API answers at {self._address} {reason}: start one with "
                "`store-uptime up`, or name another with --api"
            ) from error
        self._has_answered = True
        return response.status, content
