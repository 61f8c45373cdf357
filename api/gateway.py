"""Makes and connects the services of the API: the part of the composition root beside HTTP.

The gateway connects to Kafka in the background. Until it has connected, and while the broker is
away, every call of a service raises `BrokerUnavailableError` within a bounded time.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from api.fleet.service import FleetService
from api.fleet.view import FleetView
from api.health.service import Readiness
from api.http.memory_budget import MemoryBudget
from api.http.request_body import READING_BYTES, RequestBodies
from api.ingest.service import IngestService
from api.kafka.connection import KafkaConnection
from api.kafka.data_age import DataAge
from api.kafka.notifier import Notifier
from api.kafka.publisher import UNACKNOWLEDGED_BYTES, BoundedPublisher
from api.kafka.shutdown import SHUTDOWN_SECONDS
from api.metrics import ApiMetrics, ApiSources
from api.public.status import PublicStatus
from api.reports.comparison import ReportComparison
from api.reports.service import ReportService
from api.reports.trigger import ReportTrigger
from api.reports.view import ReportView
from api.stores.queries import StoreQueries
from api.stores.service import StoreService
from api.stores.store_limit import StoreLimit
from api.stores.view import TOPICS, StoreView
from api.webhooks.allowlist import Allowlist
from api.webhooks.deliveries import WebhookDeliveries
from api.webhooks.service import WebhookService
from stream_app.contracts.access import api_process
from stream_app.contracts.topics import (
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_RESULTS,
    REQUEST_TOPICS,
)
from stream_app.kafka.applied_offsets import AppliedOffsets
from stream_app.kafka.connectivity import BrokerMonitor
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.topic_tail import TopicTail
from stream_app.kafka.topic_watch import TopicWatch
from stream_app.metrics import unowned_count
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable


class Gateway:
    """The services of one API process, and its connection to Kafka.

    Args:
        settings: the settings, with the broker resolved.
        clock: the wall clock in µs.
        unacknowledged: the bytes of records that may be in flight.

    Attributes:
        settings: the settings of this process.
        report_service: requests reports and returns their state.
        store_service: says which stores exist.
        fleet_service: returns the stores as they are now.
        webhooks: registers the webhooks of reports.
        public_status: makes the content of the status page.
        ingestion: sends polls, business hours and timezones.
        bodies: the request bodies that are being read.
        metrics: the metrics of this process.
    """

    def __init__(
        self,
        settings: Settings,
        clock: Callable[[], int],
        *,
        unacknowledged: int = UNACKNOWLEDGED_BYTES,
    ) -> None:
        self.settings = settings
        self.metrics = ApiMetrics()
        changes = Notifier()
        # the open files have no name any more: however this process ends, it leaves no file
        with tempfile.TemporaryDirectory(prefix="store-uptime-api-") as folder:
            self._report_view = ReportView(Path(folder) / "reports.sqlite", changes.notify)
            self._store_view = StoreView(Path(folder) / "stores.sqlite", settings.partitions)
        self._end_offset_fetcher = EndOffsetFetcher(settings)
        self._applied_offsets = AppliedOffsets(settings, self._end_offset_fetcher, time.monotonic)
        self._data_age = DataAge(self._applied_offsets, clock)
        # one question a second to the brokers serves both
        self._broker_monitor = BrokerMonitor(settings, self._data_age.sample)
        self._topic_watch = TopicWatch(
            settings,
            api_process(settings),
            lambda topic, topic_id, _before: self._applied_offsets.set_topic_id(topic, topic_id),
        )
        reports_tail = TopicTail(
            settings,
            [*REQUEST_TOPICS, REPORT_RESULTS, QUERY_RESULTS],
            self._end_offset_fetcher,
            self._report_view.on_record,
        )
        view = FleetView(self._store_view.database, settings)
        stores_tail = TopicTail(
            settings, TOPICS, self._end_offset_fetcher, self._store_view.on_record
        )
        latest_tail = TopicTail(settings, [LATEST_POLLS], self._end_offset_fetcher, view.on_record)
        self._connection = KafkaConnection(
            settings,
            readers=[
                self._end_offset_fetcher,
                self._broker_monitor,
                self._applied_offsets,
                self._topic_watch,
            ],
            views=[stores_tail, latest_tail, reports_tail],
        )
        self.readiness = Readiness(
            self._connection,
            self._end_offset_fetcher,
            self._broker_monitor,
            self._topic_watch,
            [stores_tail, latest_tail, reports_tail],
            self._applied_offsets,
        )
        self.report_service = ReportService(
            settings, clock, self._connection, self._report_view, reports_tail.catch_up, changes
        )
        allowlist = Allowlist(settings.webhook_hosts)
        self.webhooks = WebhookService(
            settings,
            allowlist,
            clock,
            self._connection.send,
            self._connection.require_connected,
        )
        self._webhook_deliveries = WebhookDeliveries(
            settings, allowlist, clock, self._connection, self.report_service, self.metrics
        )
        budget = MemoryBudget(unacknowledged)
        self.ingestion = IngestService(
            settings,
            clock,
            BoundedPublisher(self._connection.send, budget, settings),
            self._connection.require_connected,
            StoreLimit(self._store_view, settings.max_stores),
            self.metrics,
        )
        self.store_service = StoreService(
            self._store_view,
            read=lambda: self._connection.bounded_wait(stores_tail.catch_up()),
            read_all=lambda: self._connection.bounded_wait(
                asyncio.gather(stores_tail.catch_up(), latest_tail.catch_up())
            ),
            applied=self._applied_offsets.catch_up,
            require=self._connection.require_connected,
            send_removal=self.ingestion.send_removal,
        )
        self.fleet_service = FleetService(
            settings,
            view,
            self.report_service,
            self._applied_offsets.newest_poll,
            self._data_age.now,
            self._connection.require_connected,
        )
        self.public_status = PublicStatus(
            settings.public_stores, self.fleet_service, self.report_service
        )
        self.bodies = RequestBodies(READING_BYTES)
        self.services: dict[type[Any], Any] = {
            ApiMetrics: self.metrics,
            FleetService: self.fleet_service,
            IngestService: self.ingestion,
            Readiness: self.readiness,
            ReportComparison: ReportComparison(self.report_service, self.bodies.budget),
            ReportService: self.report_service,
            ReportTrigger: ReportTrigger(self.report_service, self.store_service, self.webhooks),
            RequestBodies: self.bodies,
            Settings: settings,
            StoreQueries: StoreQueries(self.store_service, self.report_service, self.fleet_service),
            StoreService: self.store_service,
            WebhookService: self.webhooks,
        }
        self.metrics.read_from(
            ApiSources(
                connected=lambda: self._connection.unavailable_reason is None,
                unowned_partitions=lambda: unowned_count(self._applied_offsets.unowned()),
                unacknowledged_bytes=lambda: budget.used,
                open_reports=self._report_view.open_count,
                waiting_webhooks=self._webhook_deliveries.waiting,
                deferred_webhooks=self._webhook_deliveries.deferred,
                crowded_webhook_hosts=self._webhook_deliveries.crowded,
            )
        )

    async def start(self) -> None:
        """Start to connect; returns at once."""
        await self._connection.start()
        await self.report_service.start()
        await self._webhook_deliveries.start()
        await self.fleet_service.start()

    async def stop(self) -> None:
        """Send in-flight records if the broker acknowledges them soon, and disconnect."""
        await self._webhook_deliveries.stop()
        await self.fleet_service.stop()
        await self.report_service.stop()
        await self.ingestion.stop(SHUTDOWN_SECONDS)
        await self._connection.stop()
        self._store_view.close()
        self._report_view.close()
