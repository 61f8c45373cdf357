"""Hand-written stand-ins for what is far away: Kafka behind the API, and a record of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from api.report_log import ReportState

if TYPE_CHECKING:
    from stream_app.contracts.reports import ReportRequest


class FakeGateway:
    """The gateway without Kafka: a test says what it knows, and reads what it was asked.

    Attributes:
        stores: the stores that exist.
        reports: the reports as they stand; a request adds a pending one.
        requests: every request that was sent, in order.
        open: how many reports are open; None: as many as `reports` says.
        trouble_now: why reports cannot be answered now.
        error: raised by every call that would need the broker.
        started: how often it was started, and how often stopped.
    """

    def __init__(self, *stores: str) -> None:
        self.stores = set(stores)
        self.reports: dict[str, ReportState] = {}
        self.requests: list[ReportRequest] = []
        self.open: int | None = None
        self.trouble_now: str | None = None
        self.error: BaseException | None = None
        self.started = 0
        self.stopped = 0

    async def start(self) -> None:
        self.started += 1

    async def stop(self) -> None:
        self.stopped += 1

    async def trouble(self) -> str | None:
        return self.trouble_now

    async def store_exists(self, store_id: str) -> bool:
        self._answer()
        return store_id in self.stores

    async def request_report(self, request: ReportRequest) -> None:
        self._answer()
        self.requests.append(request)
        state = report_state(
            request.report_id,
            "pending",
            store_id=request.store_id,
            reference_time=request.reference_time,
        )
        self.reports.setdefault(request.report_id, state)

    async def report(self, report_id: str) -> ReportState | None:
        self._answer()
        return self.reports.get(report_id)

    def open_reports(self) -> int:
        if self.open is not None:
            return self.open
        return sum(state.status in {"pending", "running"} for state in self.reports.values())

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error


def report_state(report_id: str, status: Any, **told: Any) -> ReportState:
    """A report of which only what is told is known."""
    unknown = {"store_id": None, "reference_time": None, "reason": None, "content": None}
    return ReportState(report_id, status, **{**unknown, **told})


@dataclass
class FakeRecord:
    """A consumer record as far as our handlers look at it; `timestamp` in ms."""

    topic: str
    value: bytes | None
    timestamp: int = 0
    offset: int = field(default=0)
