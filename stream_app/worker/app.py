"""The composition root of the worker: all of its parts are made and connected here."""

from __future__ import annotations

import logging
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
from aiokafka import TopicPartition
from faust.tables import TableManager
from faust.types import TP

from stream_app.contracts.access import Process
from stream_app.contracts.topics import (
    APP_ID,
    CONSUMED_TOPICS,
    MAX_STATE_BYTES,
    REQUEST_TOPICS,
    SOURCE_TOPICS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
    WATERMARKS,
    TopicSpec,
)
from stream_app.errors import TopicReplacedError
from stream_app.kafka.applied_offsets import AppliedOffsets
from stream_app.kafka.connectivity import BrokerMonitor
from stream_app.kafka.group import leave_group
from stream_app.kafka.log_reader import LogReader
from stream_app.kafka.offset_gaps import OffsetGaps
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.start_offsets import GroupOffsetsReader
from stream_app.kafka.topic_watch import TopicWatch
from stream_app.metrics import unowned_count
from stream_app.tls import tls_context
from stream_app.worker.agents.caught_up_facts import CaughtUpFacts
from stream_app.worker.agents.event_processor import EventProcessor
from stream_app.worker.agents.ingest import Ingest
from stream_app.worker.agents.reports import Reports
from stream_app.worker.assignment import PartitionAssignment
from stream_app.worker.assignor import StatefulAssignor
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.consumer import ChunkScheduler, UptimeConsumer
from stream_app.worker.facts.databases import FactsDatabases
from stream_app.worker.facts.restore_service import RestoreService
from stream_app.worker.facts.table import CHANGELOG, FactsTable
from stream_app.worker.gap_skipper import GapSkipper, LostInput
from stream_app.worker.http_server import WorkerServer
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.metrics import ChangelogLag, Unacknowledged, WorkerMetrics, WorkerSources
from stream_app.worker.owned_partitions import OwnedPartitions
from stream_app.worker.publisher import Publisher
from stream_app.worker.shutdown import CRASH_SECONDS, STOP_SECONDS, ExitWatchdog, FatalErrorHandler
from stream_app.worker.source_lag import SourceLags
from stream_app.worker.watchman.watchman import Watchman

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from pathlib import Path

    from stream_app.errors import OnFatalError
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 1.0
"""Seconds between two commits of source offsets."""

MAX_WAITING_CHUNKS: Final = 4
"""Chunks of records that wait for an agent; each has two megabytes at the most."""

FETCH_BYTES: Final = 2 << 20
"""Bytes fetched of one partition at a time; a larger record is fetched by itself."""

MAX_POLL_RECORDS: Final = 40_000
"""Records unpacked from one fetch response before other partitions are served."""

SESSION_SECONDS: Final = 10.0
"""Seconds without a heartbeat after which the group considers a worker gone."""

HEARTBEAT_SECONDS: Final = 0.5
"""Seconds between two heartbeats of a worker to the group.

A worker hears of a rebalance with its next heartbeat. Until then partitions that move are unowned.
"""

_CONSUMED: Final = frozenset(spec.name for spec in CONSUMED_TOPICS)


class UptimeApp(faust.App):
    """A Faust app that starts and stops our parts at the right moments.

    `create_app` sets all attributes before the app starts.

    Attributes:
        parts: the parts of the worker that the app uses.
        leave: makes this worker leave the group.
        on_fatal_error: ends this worker.
        exit_watchdog: makes sure that it ends.
    """

    logger = logging.getLogger("faust.app")
    parts: Parts
    leave: Callable[[], Awaitable[None]]
    on_fatal_error: FatalErrorHandler
    exit_watchdog: ExitWatchdog

    def _new_consumer(self) -> UptimeConsumer:
        return UptimeConsumer(
            self.transport,
            commit_tracker=self.parts.commit_tracker,
            assignor=self.parts.assignor,
            on_drained=self.parts.assignment.on_drained,
            leave=self.leave,
            callback=self.topics.on_message,
            on_partitions_revoked=self._on_partitions_revoked,
            on_partitions_assigned=self._on_partitions_assigned,
            beacon=self.beacon,
            loop=self.transport.loop,
        )

    async def on_start(self) -> None:
        """Connect our clients before any agent runs."""
        await self.parts.services.start()
        await super().on_start()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Revoke all partitions before Faust waits for the events in flight."""
        self.parts.assignment.revoke_all()
        await super()._on_partitions_revoked(revoked)
        self.parts.assignment.close_all()

    def on_rebalance_end(self) -> None:
        """Let partitions be fetched, each one when it is restored."""
        super().on_rebalance_end()
        self.parts.assignment.on_streams_ready()

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Start to claim and restore the assigned partitions."""
        if not self.should_stop:
            self.parts.assignment.attach(self.consumer, self.on_fatal_error)
            await self.parts.assignment.on_assigned(assigned)
        await super()._on_partitions_assigned(assigned, generation_id)

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self.exit_watchdog.arm(CRASH_SECONDS)

    async def on_stop(self) -> None:
        """Let the events in flight end, then disconnect."""
        self.exit_watchdog.arm(STOP_SECONDS)
        self.parts.assignment.revoke_all()
        await super().on_stop()
        self.parts.assignment.close_all()
        await self.parts.services.stop()


class NoTables(TableManager):
    """Faust's manager of tables, for an app without tables: nothing waits for them."""

    async def on_start(self) -> None:
        """Start without Faust's pause of a second for tables that register late."""
        await self._update_channels()
        await self.recovery.start()


class Service(Protocol):
    """A part of the worker that is started and stopped with it."""

    def start(self) -> Awaitable[None] | None:
        """Start; it may return before everything runs."""

    async def stop(self) -> None:
        """Stop, also if starting has failed."""


class Services:
    """Starts services in their order, and stops them in the opposite one.

    Args:
        services: each one may use those before it while it runs.
    """

    def __init__(self, services: Iterable[Service]) -> None:
        self._services = tuple(services)
        self._started = AsyncExitStack()

    async def start(self) -> None:
        """Start all.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        for service in self._services:
            self._started.push_async_callback(service.stop)
            starting = service.start()
            if starting is not None:
                await starting

    async def stop(self) -> None:
        """Stop all that were started, also where one of them fails to stop."""
        await self._started.aclose()


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the worker that the Faust app itself uses."""

    services: Services
    assignment: PartitionAssignment
    assignor: StatefulAssignor
    commit_tracker: CommitTracker


def create_app(
    settings: Settings, folder: Path, member_id: str, clock: Callable[[], int]
) -> UptimeApp:
    """Make all parts of a worker and connect them to each other.

    Args:
        settings: the settings, with the broker resolved.
        folder: the folder of this worker alone, with its databases.
        member_id: the name by which the group knows this worker alone.
        clock: the wall clock in µs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = UptimeApp(
        APP_ID, consumer_group_instance_id=member_id, **_faust_settings(settings, folder)
    )
    app.on_fatal_error = on_fatal_error = FatalErrorHandler(app)
    app.exit_watchdog = ExitWatchdog()
    app.leave = partial(leave_group, settings, member_id)
    metrics = WorkerMetrics()
    facts = FactsTable(settings, on_fatal_error)
    end_offset_fetcher = EndOffsetFetcher(settings)
    applied_offsets = AppliedOffsets(settings, end_offset_fetcher, time.monotonic)
    any_partition = TopicPartition(WATERMARKS.name, 0)
    broker_monitor = BrokerMonitor(settings, partial(end_offset_fetcher.fetch, [any_partition]))
    topics = TopicWatch(
        settings, Process.WORKER, end_on_replaced(applied_offsets.set_topic_id, on_fatal_error)
    )
    publisher = Publisher(settings, metrics, on_fatal_error)
    latest_polls = LatestPollPublisher(publisher)
    commit_tracker = CommitTracker()
    owned_partitions = OwnedPartitions(applied_offsets, publisher, latest_polls, commit_tracker)
    lost_input = LostInput(publisher, metrics, clock)
    gap_skipper = GapSkipper(owned_partitions, end_offset_fetcher, OffsetGaps(settings), lost_input)
    reader = LogReader(settings, [CHANGELOG, *(spec.name for spec in CONSUMED_TOPICS)])
    restores = RestoreService(
        FactsDatabases(folder, metrics.database_removed),
        reader,
        metrics,
        settings.partitions,
    )
    assignment = PartitionAssignment(
        GroupOffsetsReader(settings, reader, end_offset_fetcher),
        facts,
        restores,
        owned_partitions,
        commit_tracker,
        lost_input,
    )
    lags = SourceLags(settings, owned_partitions, end_offset_fetcher, clock)
    metrics.read_from(
        WorkerSources(
            lags=lags.lags,
            unowned_partitions=lambda: unowned_count(applied_offsets.unowned()),
            changelog_unacknowledged=lambda: Unacknowledged(
                facts.unacknowledged, facts.unacknowledged_bytes
            ),
            restores=lambda: {
                partition: ChangelogLag(progress.done, progress.to_do)
                for partition, progress in restores.progress().items()
            },
        )
    )
    server = WorkerServer(
        settings, folder, metrics, lags.update, lambda: broker_monitor.trouble or topics.trouble
    )
    services: list[Service] = [
        server,
        restores,
        facts,
        publisher,
        end_offset_fetcher,
        applied_offsets,
        topics,
        owned_partitions,
        latest_polls,
        gap_skipper,
        assignment,
        broker_monitor,
    ]
    watching = Watchman(settings, owned_partitions, metrics, clock).task(on_fatal_error)
    if watching is not None:
        services.append(watching)
    assignor = StatefulAssignor(
        settings.partitions, assignment.copies, settings.standby, assignment.set_standby
    )
    app.parts = Parts(Services(services), assignment, assignor, commit_tracker)

    async def seek(partition: TopicPartition, offset: int) -> None:
        await app.consumer.seek(TP(*partition), offset)

    events = EventProcessor(owned_partitions, commit_tracker, gap_skipper, seek, on_fatal_error)
    ingest = Ingest(settings, events, owned_partitions, publisher, latest_polls, metrics)
    reports = Reports(
        settings,
        CaughtUpFacts(settings, owned_partitions, applied_offsets),
        publisher,
        clock,
        commit_tracker,
        on_fatal_error,
    )
    app.agent(_topic(app, STORE_STATUS), name="polls")(ingest.polls)
    app.agent(_topic(app, STORE_BUSINESS_HOURS), name="business-hours")(ingest.business_hours)
    app.agent(_topic(app, STORE_TIMEZONES), name="timezones")(ingest.timezones)
    for spec in REQUEST_TOPICS:
        app.agent(_topic(app, spec), name=spec.name)(reports.requests)
    return app


def end_on_replaced(
    set_topic_id: Callable[[str, str], None], on_fatal_error: OnFatalError
) -> Callable[[str, str, str | None], None]:
    """Make the function that ends the worker when a topic that it reads was replaced.

    Args:
        set_topic_id: called with the first id of each topic.
        on_fatal_error: called when a topic that the worker reads has another id than before.
    """

    def on_topic_id(topic: str, topic_id: str, before: str | None) -> None:
        if before is None:
            set_topic_id(topic, topic_id)
        elif topic in _CONSUMED:
            # the records in flight and all our offsets belong to a topic that no longer exists
            on_fatal_error(
                TopicReplacedError(
                    f"topic {topic} was deleted and made anew: a worker that starts now reads it "
                    "from the beginning"
                )
            )

    return on_topic_id


def _topic(app: faust.App, spec: TopicSpec) -> Any:
    return app.topic(
        spec.name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        maxsize=MAX_WAITING_CHUNKS if spec in SOURCE_TOPICS else None,
    )


def _faust_settings(settings: Settings, folder: Path) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "broker": ";".join(f"kafka://{address}" for address in settings.kafka_bootstrap.split(",")),
        "store": "memory://",
        "datadir": str(folder),
        "TableManager": NoTables,
        "topic_partitions": settings.partitions,
        "topic_replication_factor": settings.replication,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "table_standby_replicas": 0,
        "processing_guarantee": "at_least_once",
        "consumer_auto_offset_reset": "earliest",
        "stream_wait_empty": True,
        "broker_commit_interval": COMMIT_SECONDS,
        "broker_session_timeout": SESSION_SECONDS,
        "broker_heartbeat_interval": HEARTBEAT_SECONDS,
        "broker_max_poll_interval": 300.0,
        "consumer_max_fetch_size": FETCH_BYTES,
        "broker_max_poll_records": MAX_POLL_RECORDS,
        "ConsumerScheduler": ChunkScheduler,
        "producer_max_request_size": MAX_STATE_BYTES,
        "web_enabled": False,
        "worker_redirect_stdouts": False,
    }
    context = tls_context(settings)
    if settings.kafka_security_protocol.startswith("SASL"):
        arguments["broker_credentials"] = faust.SASLCredentials(
            username=settings.kafka_sasl_username,
            password=settings.kafka_sasl_password.get_secret_value(),
            mechanism=settings.kafka_sasl_mechanism,
            ssl_context=context,
        )
    elif context is not None:
        arguments["broker_credentials"] = faust.SSLCredentials(context=context)
    return arguments
