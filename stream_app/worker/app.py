"""The composition root of the worker: everything is made and wired here, and nowhere else."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import faust
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
    TopicSpec,
)
from stream_app.errors import TopicReplacedError
from stream_app.kafka.applied_offsets import AppliedOffsets
from stream_app.kafka.connectivity import BrokerMonitor
from stream_app.kafka.group import leave_group
from stream_app.kafka.log_reader import LogReader
from stream_app.kafka.offset_gaps import OffsetGaps
from stream_app.kafka.offsets import Highwaters
from stream_app.kafka.start_offsets import GroupOffsetsReader
from stream_app.kafka.topic_watch import TopicWatch
from stream_app.metrics import (
    Reading,
    Unacknowledged,
    WorkerMetrics,
    WorkerSources,
    unowned_count,
)
from stream_app.tls import tls_context
from stream_app.worker.agents.event_processor import EventProcessor
from stream_app.worker.agents.ingest import Ingest
from stream_app.worker.agents.reports import Reports
from stream_app.worker.assignment import PartitionAssignment, RestoreService
from stream_app.worker.assignor import StatefulAssignor
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.consumer import ChunkScheduler, UptimeConsumer
from stream_app.worker.facts.databases import FactsDatabases
from stream_app.worker.facts.table import CHANGELOG, FactsTable
from stream_app.worker.gap_skipper import GapSkipper, LostInput
from stream_app.worker.http_server import WorkerServer
from stream_app.worker.latest_polls import LatestPollPublisher
from stream_app.worker.owned_partitions import OwnedPartitions
from stream_app.worker.publisher import Publisher
from stream_app.worker.shutdown import CRASH_SECONDS, STOP_SECONDS, ExitWatchdog, FatalErrorHandler
from stream_app.worker.source_lag import SourceLags
from stream_app.worker.watchman.watchman import Watchman

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from aiokafka import TopicPartition

    from stream_app.settings import Settings

log = logging.getLogger(__name__)

COMMIT_SECONDS: Final = 1.0

WAITING_RUNS: Final = 16
"""Runs of records that wait for an agent: of a quarter of a megabyte, at the most, each."""

FETCH_BYTES: Final = 1 << 20
"""Of one partition at a time; a record that is larger comes by itself."""

MAX_POLL_RECORDS: Final = 4_000
"""That are unpacked at a time, whatever is there."""

SESSION_SECONDS: Final = 10.0
"""The group takes a worker for gone that was silent for so long."""

HEARTBEAT_SECONDS: Final = 0.5
"""A worker hears of a rebalance with its next heartbeat: until then nobody owns what moves."""

_CONSUMED: Final = frozenset(spec.name for spec in CONSUMED_TOPICS)


class UptimeApp(faust.App):
    """A Faust app that starts and stops our parts at the right moments.

    Attributes:
        parts: set by `create_app` before the app starts.
        leave: likewise; gives this worker's place in the group up.
        failure: likewise; ends this worker.
        exit_watchdog: likewise; makes sure that it ends.
    """

    logger = logging.getLogger("faust.app")
    parts: Parts
    leave: Callable[[], Awaitable[None]]
    failure: FatalErrorHandler
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
        await self.parts.start()
        await super().on_start()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Give up all partitions before Faust waits for the events in flight."""
        self.parts.assignment.revoke_all()
        await super()._on_partitions_revoked(revoked)
        self.parts.assignment.close_all()

    def on_rebalance_end(self) -> None:
        """Let partitions be fetched, each one when it is restored."""
        super().on_rebalance_end()
        self.parts.assignment.on_streams_ready()

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Begin to claim and restore what is assigned."""
        if not self.should_stop:
            self.parts.assignment.attach(self.consumer, self.failure)
            await self.parts.assignment.on_assigned(assigned)
        await super()._on_partitions_assigned(assigned, generation_id)

    def _crash(self, reason: BaseException) -> None:
        super()._crash(reason)
        self.exit_watchdog.arm(CRASH_SECONDS)

    async def on_stop(self) -> None:
        """Let the events in hand finish, then disconnect."""
        self.exit_watchdog.arm(STOP_SECONDS)
        self.parts.assignment.revoke_all()
        await super().on_stop()
        self.parts.assignment.close_all()
        await self.parts.stop()


class NoTables(TableManager):
    """Faust's manager of its own tables, of which there are none: nothing to wait for."""

    async def on_start(self) -> None:
        """Start without Faust's pause of a second for tables that register late."""
        await self._update_channels()
        await self.recovery.start()


class _Part(Protocol):
    """What is started with the worker and stopped with it."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


@dataclass(slots=True)
class Parts:
    """What the agents work with, and what runs beside them."""

    restores: RestoreService
    facts: FactsTable
    publisher: Publisher
    highwaters: Highwaters
    progress: AppliedOffsets
    topics: TopicWatch
    owned_partitions: OwnedPartitions
    latest: LatestPollPublisher
    gaps: GapSkipper
    broker_monitor: BrokerMonitor
    commit_tracker: CommitTracker
    assignment: PartitionAssignment
    assignor: StatefulAssignor
    watchman: Watchman
    server: WorkerServer

    async def start(self) -> None:
        """Connect everything.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        for part in self._in_order():
            await part.start()

    async def stop(self) -> None:
        """Disconnect everything, last started first."""
        for part in reversed(self._in_order()):
            await part.stop()

    def _in_order(self) -> list[_Part]:
        return [
            self.server,
            self.restores,
            self.facts,
            self.publisher,
            self.highwaters,
            self.progress,
            self.topics,
            self.owned_partitions,
            self.latest,
            self.gaps,
            self.assignment,
            self.broker_monitor,
            self.watchman,
        ]


def create_app(
    settings: Settings, folder: Path, member_id: str, clock: Callable[[], int]
) -> UptimeApp:
    """Wire a worker.

    Args:
        settings: with the broker resolved.
        folder: of this worker alone; its databases live there.
        member_id: by which the group knows this worker, and no other one.
        clock: the wall clock in µs.
    """
    folder.mkdir(parents=True, exist_ok=True)
    app = UptimeApp(
        APP_ID, consumer_group_instance_id=member_id, **_faust_settings(settings, folder)
    )
    app.failure = fail = FatalErrorHandler(app)
    app.exit_watchdog = ExitWatchdog()
    app.leave = partial(leave_group, settings, member_id)
    metrics = WorkerMetrics()
    facts = FactsTable(settings, fail)
    highwaters = Highwaters(settings)
    progress = AppliedOffsets(settings, highwaters, time.monotonic)
    broker_monitor = BrokerMonitor(settings, highwaters)
    topics = TopicWatch(settings, Process.WORKER, end_on_replaced(progress.set_topic_id, fail))
    publisher = Publisher(settings, metrics, fail)
    latest = LatestPollPublisher(publisher)
    commit_tracker = CommitTracker()
    owned_partitions = OwnedPartitions(progress, publisher, latest, commit_tracker, fail)
    lost = LostInput(publisher, metrics, clock)
    gaps = GapSkipper(owned_partitions, highwaters, OffsetGaps(settings), lost)
    reader = LogReader(settings, [CHANGELOG, *(spec.name for spec in CONSUMED_TOPICS)])
    restores = RestoreService(
        FactsDatabases(folder, metrics.database_removed),
        reader,
        metrics,
        settings.partitions,
    )
    assignment = PartitionAssignment(
        GroupOffsetsReader(settings, reader, highwaters),
        facts,
        restores,
        owned_partitions,
        commit_tracker,
        lost,
    )
    lags = SourceLags(settings, owned_partitions, highwaters, clock)
    metrics.read_from(
        WorkerSources(
            lags=lags.found,
            unowned_partitions=lambda: unowned_count(progress.unowned()),
            changelog_unacknowledged=lambda: Unacknowledged(
                facts.unacknowledged, facts.unacknowledged_bytes
            ),
            readings=lambda: {
                partition: Reading(reading.done, reading.to_do)
                for partition, reading in restores.progress().items()
            },
        )
    )
    app.parts = Parts(
        restores,
        facts,
        publisher,
        highwaters,
        progress,
        topics,
        owned_partitions,
        latest,
        gaps,
        broker_monitor,
        commit_tracker,
        assignment,
        StatefulAssignor(
            settings.partitions, assignment.copies, settings.standby, assignment.set_standby
        ),
        Watchman(settings, owned_partitions, metrics, fail, clock),
        WorkerServer(
            settings, folder, metrics, lags.look, lambda: broker_monitor.trouble or topics.trouble
        ),
    )

    async def seek(partition: TopicPartition, offset: int) -> None:
        await app.consumer.seek(TP(*partition), offset)

    events = EventProcessor(owned_partitions, commit_tracker, gaps, seek, fail)
    ingest = Ingest(settings, events, owned_partitions, publisher, latest, metrics)
    reports = Reports(settings, owned_partitions, progress, publisher, clock, commit_tracker, fail)
    app.agent(_topic(app, STORE_STATUS), name="polls")(ingest.polls)
    app.agent(_topic(app, STORE_BUSINESS_HOURS), name="business-hours")(ingest.business_hours)
    app.agent(_topic(app, STORE_TIMEZONES), name="timezones")(ingest.timezones)
    for spec in REQUEST_TOPICS:
        app.agent(_topic(app, spec), name=spec.name)(reports.requests)
    return app


def end_on_replaced(
    set_topic_id: Callable[[str, str], None], fail: Callable[[BaseException], None]
) -> Callable[[str, str, str | None], None]:
    """What a worker does when the brokers tell the id of a topic.

    Args:
        set_topic_id: takes the first id of each topic.
        fail: called when a topic that the worker reads has another id than before.
    """

    def on_topic_id(topic: str, topic_id: str, before: str | None) -> None:
        if before is None:
            set_topic_id(topic, topic_id)
        elif topic in _CONSUMED:
            # what is in hand, and all our offsets, are of a topic that is gone
            fail(
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
        maxsize=WAITING_RUNS if spec in SOURCE_TOPICS else None,
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
