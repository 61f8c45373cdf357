"""Hand-written fakes of what the API uses: the broker, and the gateway to Kafka."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from api.fleet.service import FleetService
from api.fleet.view import FleetView
from api.gateway import Gateway
from api.health.service import Readiness
from api.http.memory_budget import MemoryBudget
from api.http.request_body import READING_BYTES, RequestBodies
from api.ingest.service import IngestService
from api.kafka.data_age import Freshness
from api.kafka.notifier import Notifier
from api.kafka.publisher import UNACKNOWLEDGED_BYTES, BoundedPublisher
from api.metrics import ApiMetrics
from api.public.status import PublicStatus
from api.reports.comparison import ReportComparison
from api.reports.service import QUERY_SECONDS, ReportService
from api.reports.trigger import ReportTrigger
from api.reports.view import ReportState, StoredRows
from api.stores.queries import StoreQueries
from api.stores.service import StoreService
from api.stores.store_limit import StoreLimit
from api.stores.view import TOPICS, StoreView
from api.webhooks.allowlist import Allowlist
from api.webhooks.service import WebhookService
from stream_app.contracts.dead_letters import decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.removal import decode_polls_removal
from stream_app.contracts.report_requests import ReportRequest, request_fingerprint
from stream_app.contracts.report_results import ReportDocument
from stream_app.contracts.stores import StoreRecord, encode_store
from stream_app.contracts.topics import DEAD_LETTERS, LATEST_POLLS, STORE_STATUS, STORES
from stream_app.errors import ReportError
from stream_app.kafka.batch_producer import BatchMetadata
from stream_app.settings import Settings
from tests.fake_record import FakeRecord

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.contracts.dead_letters import DeadLetter
    from stream_app.contracts.report_requests import ReportRequestRecord, UserRequest
    from stream_app.contracts.topics import TopicSpec

SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


class Sent(NamedTuple):
    """A record that the broker has stored."""

    topic: str
    partition: int | None
    key: bytes
    value: bytes | None


class FakeBroker:
    """A broker behind `KafkaConnection.send` that acknowledges at once, after `resume`, or never.

    Attributes:
        records: the acknowledged records, in order.
        error: the error of every record; None if there is no error.
        ahead: µs by which its clock is ahead.
        waiting: number of records without an acknowledgement.
    """

    def __init__(self, store_view: StoreView) -> None:
        self.records: list[Sent] = []
        self.error: Exception | None = None
        self.ahead = 0
        self.waiting = 0
        self._store_view = store_view
        self._reachable = asyncio.Event()
        self._reachable.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def pause(self) -> None:
        """Acknowledge nothing from now on."""
        self._reachable.clear()

    def resume(self) -> None:
        """Acknowledge again, the waiting records first."""
        self._reachable.set()

    def send(
        self, topic: TopicSpec, partition: int, key: bytes, value: bytes | None
    ) -> asyncio.Future[BatchMetadata]:
        sent: asyncio.Future[BatchMetadata] = asyncio.get_running_loop().create_future()
        sent.add_done_callback(lambda sent: sent.exception())
        self.waiting += 1
        record = Sent(topic.name, partition, key, value)
        task = asyncio.create_task(self._acknowledge(sent, topic, record))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return sent

    async def _acknowledge(
        self, sent: asyncio.Future[BatchMetadata], topic: TopicSpec, record: Sent
    ) -> None:
        await self._reachable.wait()
        # even a fast broker does not answer within one iteration of the event loop
        await asyncio.sleep(0)
        self.waiting -= 1
        if self.error is not None:
            sent.set_exception(self.error)
            return
        self.records.append(record)
        partition = record.partition or 0
        if topic is STORE_STATUS and decode_polls_removal(record.value) is not None:
            # a worker publishes this when it has removed all facts of the store
            gone = FakeRecord(STORES.name, None, partition=partition, key=record.key)
            self._store_view.on_record(gone)
        if topic in TOPICS:
            self._store_view.on_record(
                FakeRecord(topic.name, record.value, partition=partition, key=record.key)
            )
        sent.set_result(BatchMetadata(len(self.records) - 1, now() + self.ahead))

    def polls(self) -> list[tuple[str, list[list[int]]]]:
        """Return the store and the polls of every record on `store-status`."""
        values = [
            orjson.loads(r.value or b"") for r in self.records if r.topic == STORE_STATUS.name
        ]
        return [(value["store_id"], value["polls"]) for value in values]

    def dead_letters(self) -> list[DeadLetter]:
        return [decode_dead_letter(r.value) for r in self.records if r.topic == DEAD_LETTERS.name]


class FakeGateway(Gateway, ReportService, Readiness):
    """The gateway without Kafka: a test sets its content, and reads the requests that it got.

    Its reports are a fake; its stores and its ingestion are those of the product over `broker`.

    Attributes:
        reports: the state of each report by its id; a request adds a pending one.
        requests: every request that was sent, in order.
        queries: every query that was sent, in order.
        answers: the answers of the next queries, in order: the content of each, or an error.
        changes: wakes the tasks that wait for a report.
        rows: rows of complete reports of many stores by report id: the chunks of each part.
        rows_of_every_report: the rows of a report that is not in `rows`.
        open: number of open reports; None if `reports` has all of them.
        not_ready_reason: the reason why reports cannot be answered now; None if they can.
        error: raised by every call that needs the broker.
        started: number of calls of `start`.
        stopped: number of calls of `stop`.
        broker: the broker that ingestion sends records to.
        age: the age of the data; None if the data is of this instant.
    """

    def __init__(
        self,
        *stores: str,
        settings: Settings = SETTINGS,
        unacknowledged: int = UNACKNOWLEDGED_BYTES,
        reading: int = READING_BYTES,
    ) -> None:
        self.settings = settings
        self.reports: dict[str, ReportState] = {}
        self.requests: list[Any] = []
        self.queries: list[Any] = []
        self.answers: list[Any] = []
        self.changes = Notifier()
        self.rows: dict[str, list[list[bytes]]] = {}
        self.rows_of_every_report: list[list[bytes]] = []
        self.open: int | None = None
        self.not_ready_reason: str | None = None
        self.error: BaseException | None = None
        self.started = 0
        self.stopped = 0
        self._store_view = StoreView(Path(":memory:"), settings.partitions)
        self.broker = FakeBroker(self._store_view)
        self.unacknowledged = MemoryBudget(unacknowledged)
        self.bodies = RequestBodies(reading)
        self.metrics = ApiMetrics()
        self.report_service = self
        self.readiness = self
        publisher = BoundedPublisher(self.broker.send, self.unacknowledged, settings)
        self.ingestion = IngestService(
            settings,
            now,
            publisher,
            self._answer,
            StoreLimit(self._store_view, settings.max_stores),
            self.metrics,
        )
        self.store_service = StoreService(
            self._store_view,
            read=self._reachable,
            read_all=self._reachable,
            applied=self._reachable,
            require=self._answer,
            send_removal=self.ingestion.send_removal,
        )
        self.newest_poll: int | None = None
        self.age: Freshness | None = None
        self.view = FleetView(self._store_view.database, settings)
        self.fleet_service = FleetService(
            settings,
            self.view,
            self,
            lambda: self.newest_poll,
            lambda: self.age or Freshness(now(), now()),
            self._answer,
        )
        self.webhooks = WebhookService(
            settings, Allowlist(settings.webhook_hosts), now, self.broker.send, self._answer
        )
        self.public_status = PublicStatus(
            settings.public_stores,
            self.fleet_service,
            self,
        )
        self.services: dict[type[Any], Any] = {
            ApiMetrics: self.metrics,
            FleetService: self.fleet_service,
            IngestService: self.ingestion,
            Readiness: self,
            ReportService: self,
            ReportComparison: ReportComparison(self, self.bodies.budget),
            ReportTrigger: ReportTrigger(self, self.store_service, self.webhooks),
            RequestBodies: self.bodies,
            Settings: settings,
            StoreQueries: StoreQueries(self.store_service, self, self.fleet_service),
            StoreService: self.store_service,
            WebhookService: self.webhooks,
        }
        for store_id in stores:
            self.add_store(store_id)

    def add_store(self, store_id: str) -> None:
        """Add a store."""
        self._store_view.on_record(FakeRecord(STORES.name, encode_store(StoreRecord(store_id))))

    def poll(self, store_id: str, instant: int, *, active: bool) -> None:
        """Add the newest poll of a store."""
        value = encode_poll(store_id, instant, active=active)
        self.view.on_record(FakeRecord(LATEST_POLLS.name, value))
        self.newest_poll = max(self.newest_poll or 0, instant)

    def add_record(self, topic: TopicSpec, store_id: str, value: bytes) -> None:
        """Add a record of a store's business hours or timezone."""
        partition = partition_of(store_id.encode(), self.settings.partitions)
        self._store_view.on_record(FakeRecord(topic.name, value, partition=partition))

    async def start(self) -> None:
        self.started += 1
        await self.fleet_service.start()

    async def stop(self) -> None:
        self.stopped += 1
        await self.fleet_service.stop()

    async def unavailable_reason(self) -> str | None:
        return self.not_ready_reason

    async def request_report(self, request: ReportRequestRecord, *, query: bool = False) -> None:
        self._answer()
        (self.queries if query else self.requests).append(request)
        state = report_state(
            request.report_id,
            "pending",
            subject=request_fingerprint(request),
            reference_time=request.reference_time,
        )
        self.reports.setdefault(request.report_id, state)

    async def answer(
        self,
        request: ReportRequestRecord,
        *,
        patience: float = QUERY_SECONDS,  # noqa: ARG002
    ) -> ReportState:
        self._answer()
        self.queries.append(request)
        content = self.answers.pop(0) if self.answers else ReportError("no answer in this test")
        if isinstance(content, Exception):
            raise content
        parts = None if isinstance(request, ReportRequest) else (1, 1)
        return report_state(request.report_id, "complete", content=content, parts=parts)

    def request_of(self, report_id: str) -> UserRequest | None:
        return next((r for r in self.requests if r.report_id == report_id), None)

    async def report(self, report_id: str) -> ReportState | None:
        self._answer()
        return self.reports.get(report_id)

    def stored_rows(self, report_id: str) -> StoredRows:
        return rows_of_parts(self.rows.get(report_id, self.rows_of_every_report))

    def open_reports(self) -> int:
        if self.open is not None:
            return self.open
        return sum(state.status in {"pending", "running"} for state in self.reports.values())

    async def _reachable(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if self.error is not None:
            raise self.error


def now() -> int:
    """Return the time of the wall clock in µs."""
    return time.time_ns() // 1000


def rows_of_parts(parts: Sequence[Sequence[bytes]]) -> StoredRows:
    """Return the rows of a report as the view of reports reads them, from the chunks of parts."""
    sizes = [[len(chunk) for chunk in part] for part in parts]
    return StoredRows([iter(part) for part in parts], sum(map(sum, sizes)), sum(map(max, sizes)))


def report_state(report_id: str, status: Any, **fields: Any) -> ReportState:
    """Return a report with these fields and no others; `content` is the JSON of its document."""
    content = fields.pop("content", None)
    document = None if content is None else ReportDocument.decode(content)
    unknown = {"subject": None, "reference_time": None, "reason": None}
    return ReportState(report_id, status, document=document, **{**unknown, **fields})
