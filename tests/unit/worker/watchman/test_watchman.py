"""The watchman logs nothing about a healthy product, and names each store with wrong figures."""

from __future__ import annotations

import asyncio
import logging
from array import array
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.contracts.business_hours import encode_hours, encode_rows
from stream_app.contracts.dead_letters import DeadLetter, encode_dead_letter
from stream_app.contracts.packed_polls import encode_packed_batch
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.revisions import (
    ORIGIN_HEADER,
    RecordOrigin,
    Revision,
    encode_origin,
)
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    STORE_BUSINESS_HOURS,
    STORE_STATUS,
    STORE_TIMEZONES,
)
from stream_app.domain.poll_buckets import BucketLayout, ring_of_bucket
from stream_app.domain.polls import from_bytes, poll_set, to_bytes
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, WEEK
from stream_app.errors import TableError
from stream_app.kafka.offset_tracker import OffsetTracker
from stream_app.worker.facts.keys import HOURS_TAG, TIMEZONE_TAG, bucket_key, encode_fact, store_key
from stream_app.worker.metrics import WorkerMetrics
from stream_app.worker.watchman import recent_records as kept_records
from stream_app.worker.watchman import watchman
from stream_app.worker.watchman.watchman import Watchman
from tests.agent_fakes import Failures, FakeFacts, FakeOwnedPartitions, settings_with, store_in
from tests.unit.worker.watchman.topics import FakeConsumer, TopicRecord, Topics

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stream_app.periodic import PeriodicTask
    from stream_app.worker.owned_partitions import OwnedPartition

STATUS = STORE_STATUS.name
START = 2_700 * WEEK
STORES = [store_in(0, number) for number in range(3)]
HOURS = [(day, "09:00", "17:30") for day in range(7)]


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_records, "READ_TIMEOUT_SECONDS", 0.0)

    async def at_once(_seconds: float) -> None:
        await yielded(0)

    yielded = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", at_once)


class Product:
    """The table and the topics of a worker, which agree until a test changes one of them."""

    def __init__(self, seed: int = 0, **overrides: Any) -> None:
        self.settings = settings_with(**overrides)
        self.random = Random(seed)
        self.topics = Topics()
        self.facts = FakeFacts()
        self.owned_partitions = FakeOwnedPartitions(self.facts)
        self.partition: OwnedPartition = self.owned_partitions.own(0, *map(store_key, STORES))
        self.layout = BucketLayout(self.settings.retention)
        self.metrics = WorkerMetrics()
        self.failures = Failures()
        self.now = START
        self.watchman = Watchman(
            self.settings,
            self.owned_partitions,
            self.metrics,
            lambda: self.now,
            self.topics.consumer,
            self.random,
        )

    def append_applied(self, topic: str, value: bytes, **fields: Any) -> TopicRecord:
        """Append a record that counts as applied; the table does not change."""
        offset = self.topics.add(topic, 0, value, self.now, **fields)
        self.partition.start(topic, offset, offset + 1)
        self.partition.offset_trackers[topic].complete(offset)
        return self.topics.records[topic, 0][offset]

    def polls(self, store: str, polls: Iterable[tuple[int, bool]]) -> None:
        polls = list(polls)
        self.append_applied(STATUS, encode_poll_batch(store, polls))
        self.apply(store, polls)

    def apply(self, store: str, polls: list[tuple[int, bool]]) -> None:
        key = store_key(store)

        def read(bucket: Any) -> Any:
            return from_bytes(self.facts.get(0, bucket_key(key, bucket)))

        for write in self.layout.writes(poll_set(polls), read):
            self.facts.content[0, bucket_key(key, write.bucket)] = to_bytes(write.polls)
            self.partition.bucket_kinds.add(ring_of_bucket(write.bucket))
        newest = max(instant for instant, _ in polls)
        self.partition.newest_poll = max(self.partition.newest_poll or 0, newest)

    def hours(self, store: str, rows: list[tuple[int, str, str]]) -> None:
        record = self.append_applied(STORE_BUSINESS_HOURS.name, encode_hours(store, rows))
        value = encode_fact(Revision.of(record), encode_rows(rows))
        self.facts.content[0, store_key(store) + HOURS_TAG] = value

    def timezone(self, store: str, name: str) -> None:
        record = self.append_applied(STORE_TIMEZONES.name, encode_timezone(store, name))
        value = encode_fact(Revision.of(record), name.encode())
        self.facts.content[0, store_key(store) + TIMEZONE_TAG] = value

    def live(self, hours: int) -> None:
        """Let some hours pass, with polls in time and late ones, and changes of other facts."""
        for _ in range(hours):
            self.now += HOUR
            for store in STORES:
                late = self.random.choice([0, 0, 0, MINUTE, 5 * HOUR, 3 * DAY])
                instant = self.now - late - self.random.randrange(HOUR)
                self.polls(store, [(instant, self.random.random() < 0.8)])
            if self.random.random() < 0.05:
                self.hours(self.random.choice(STORES), HOURS[: self.random.randrange(8)])
            if self.random.random() < 0.05:
                self.timezone(
                    self.random.choice(STORES), self.random.choice(["Asia/Tokyo", "Nowhere"])
                )

    async def watch(self, rounds: int = 1) -> None:
        for _ in range(rounds):
            await self.watchman.check_some()

    def task(self) -> PeriodicTask:
        task = self.watchman.task(self.failures)
        assert task is not None
        return task

    def outcomes(self) -> tuple[float, float, float]:
        """Return the numbers of stores that agreed, that differed and that were not comparable."""
        agrees, differs, not_comparable = (
            self.metrics.registry.get_sample_value(
                "store_uptime_watchman_checks_total", {"outcome": outcome}
            )
            for outcome in ("agrees", "differs", "not_comparable")
        )
        return agrees or 0, differs or 0, not_comparable or 0


class Errors(logging.Handler):
    """A handler of the log that collects the lines of errors."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def errors() -> Iterator[list[str]]:
    handler = Errors()
    logging.getLogger("stream_app").addHandler(handler)
    yield handler.lines
    logging.getLogger("stream_app").removeHandler(handler)


@pytest.mark.parametrize("seed", range(4))
async def test_a_healthy_product_gives_no_line(seed: int, errors: list[str]) -> None:
    product = Product(seed)
    product.live(24 * 12)
    await product.watch(2)
    assert product.outcomes() == (6, 0, 0)
    assert errors == []


@pytest.mark.parametrize("seed", range(4))
async def test_a_healthy_product_gives_no_line_where_old_records_are_deleted(
    seed: int, errors: list[str]
) -> None:
    product = Product(seed)
    product.live(24 * 16)
    product.topics.deleted[STATUS, 0] = 24 * 3 * 8
    await product.watch(2)
    assert product.outcomes() == (6, 0, 0)
    assert errors == []


async def test_a_bucket_that_lost_its_polls_is_logged_with_store_figures_and_offsets(
    errors: list[str],
) -> None:
    product = Product()
    product.live(24 * 12)
    victim = STORES[1]
    for (partition, key), _ in list(product.facts.content.items()):
        if key.startswith(store_key(victim)) and key[16:17] in (b"c", b"d"):
            product.facts.content[partition, key] = b""
    await product.watch()
    assert product.outcomes() == (2, 1, 0)
    (line,) = errors
    assert line.startswith(
        f"the watchman finds that the figures of store {victim} are not what the topics say: "
    )
    assert "uptime_last_week is 0.0 in the report and " in line
    assert f"{STATUS} below offset {24 * 12 * 3}" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "encode", [encode_poll_batch, lambda store, polls: encode_packed_batch(store, poll_set(polls))]
)
async def test_one_lost_poll_is_found(errors: list[str], encode: Any) -> None:
    product = Product()
    product.live(30)
    product.append_applied(STATUS, encode(STORES[0], [(product.now - HOUR, True)]))
    await product.watch()
    assert product.outcomes() == (2, 1, 0)
    assert len(errors) == 1


async def test_hours_that_an_older_record_replaced_are_found(errors: list[str]) -> None:
    product = Product()
    product.live(30)
    product.hours(STORES[2], HOURS)
    product.facts.content[0, store_key(STORES[2]) + HOURS_TAG] = encode_rows(HOURS[:3])
    await product.watch()
    assert product.outcomes() == (2, 1, 0)
    assert "other business hours" in errors[0]


async def test_a_timezone_that_is_not_that_of_the_topic_is_found(errors: list[str]) -> None:
    product = Product()
    product.live(30)
    product.timezone(STORES[2], "Europe/Paris")
    product.facts.content[0, store_key(STORES[2]) + TIMEZONE_TAG] = b"Asia/Tokyo"
    await product.watch()
    assert product.outcomes() == (2, 1, 0)
    assert "timezone is Asia/Tokyo" in errors[0]


async def test_an_older_record_that_was_forwarded_late_is_no_difference(errors: list[str]) -> None:
    product = Product()
    product.live(30)
    older = RecordOrigin(product.now // 1000, 3, 7)
    product.now += HOUR
    product.timezone(STORES[2], "Europe/Paris")
    header = (ORIGIN_HEADER, encode_origin(older))
    value = encode_timezone(STORES[2], "Asia/Tokyo")
    product.append_applied(STORE_TIMEZONES.name, value, headers=(header,))
    await product.watch()
    assert product.outcomes() == (3, 0, 0)
    assert errors == []


async def test_topics_that_were_made_anew_make_no_difference(errors: list[str]) -> None:
    product = Product()
    product.live(24 * 9)
    for store in STORES:
        product.hours(store, HOURS)
        product.timezone(store, "Asia/Tokyo")
    product.topics.records.clear()
    product.partition.offset_trackers = {
        t: OffsetTracker(0) for t in product.partition.offset_trackers
    }
    product.live(1)
    await product.watch()
    assert product.outcomes() == (0, 0, 3)
    assert errors == []


async def test_a_status_that_was_inverted_is_found(errors: list[str]) -> None:
    product = Product()
    product.live(30)
    key = store_key(STORES[0])
    for (partition, name), value in list(product.facts.content.items()):
        if name.startswith(key) and name[16:17] in (b"c", b"d"):
            inverted = [poll ^ 1 for poll in from_bytes(value)]
            product.facts.content[partition, name] = to_bytes(array("q", inverted))
    await product.watch()
    assert product.outcomes() == (2, 1, 0)
    assert len(errors) == 1


async def test_a_poll_that_a_worker_rejected_is_no_difference(errors: list[str]) -> None:
    product = Product()
    product.live(30)
    product.append_applied(STATUS, encode_poll_batch(STORES[0], [(product.now - HOUR, True)]))
    offset = len(product.topics.records[STATUS, 0]) - 1
    original = product.topics.records[STATUS, 0][offset].value
    source: dict[str, str | int] = {"topic": STATUS, "partition": 0, "offset": offset}
    dead_letter = DeadLetter(source, "more than 5 polls of one store in one week", original)
    product.topics.add(DEAD_LETTERS.name, 0, encode_dead_letter(dead_letter), product.now)
    await product.watch()
    assert product.outcomes() == (2, 0, 1)
    assert errors == []


async def test_a_record_that_is_in_the_table_and_still_in_flight_is_no_difference(
    errors: list[str],
) -> None:
    product = Product()
    product.live(30)
    offset = product.topics.add(
        STATUS, 0, encode_poll_batch(STORES[0], [(product.now - HOUR, True)]), product.now
    )
    product.partition.start(STATUS, offset, offset + 1)
    product.apply(STORES[0], [(product.now - HOUR, True)])
    await product.watch()
    assert product.outcomes() == (3, 0, 0)
    assert errors == []


async def test_a_chunk_of_one_store_that_is_in_flight_is_no_difference(
    errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    product = Product()
    product.live(30)
    first = len(product.topics.records[STATUS, 0])
    for second in range(150):
        poll = (product.now - HOUR - second * 1_000_000, True)
        product.topics.add(STATUS, 0, encode_poll_batch(STORES[0], [poll]), product.now)
        product.apply(STORES[0], [poll])
    product.partition.start(STATUS, first, first + 150)
    report_now = Watchman._report_now

    def completed_meanwhile(*arguments: Any) -> Any:
        report = report_now(*arguments)
        product.partition.offset_trackers[STATUS].complete(first)
        return report

    monkeypatch.setattr(Watchman, "_report_now", completed_meanwhile)
    await product.watch()
    assert product.outcomes() == (3, 0, 0)
    assert errors == []


async def test_a_partition_that_is_revoked_while_it_is_read_ends_the_round(
    errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    product = Product()
    product.live(30)
    read = Watchman._read_newest

    async def revoked_meanwhile(*arguments: Any) -> None:
        await read(*arguments)
        product.owned_partitions.partitions.clear()

    monkeypatch.setattr(Watchman, "_read_newest", revoked_meanwhile)
    await product.watch()
    assert product.outcomes() == (0, 0, 3)
    assert errors == []


async def test_a_worker_that_owns_nothing_has_nothing_to_check() -> None:
    product = Product()
    product.owned_partitions.partitions.clear()
    await product.watch()
    assert product.outcomes() == (0, 0, 0)


async def test_records_without_the_brokers_time_cannot_be_compared(errors: list[str]) -> None:
    product = Product()
    product.live(24 * 12)
    records = product.topics.records[STATUS, 0]
    records[:] = [type(r)(**{**r.__dict__, "timestamp_type": 0}) for r in records]
    product.topics.deleted[STATUS, 0] = 10
    await product.watch()
    assert product.outcomes() == (0, 0, 1)
    assert errors == []


async def test_records_that_are_deleted_while_they_are_read_end_the_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = Product()
    product.live(24 * 12)
    record_first = kept_records.RecentRecords._record_first_append_time

    def deleted_meanwhile(*arguments: Any) -> None:
        product.topics.deleted[STATUS, 0] = 600
        record_first(*arguments)

    monkeypatch.setattr(kept_records.RecentRecords, "_record_first_append_time", deleted_meanwhile)
    await product.watch()
    assert product.outcomes() == (0, 0, 1)


async def test_no_more_of_a_long_topic_is_read_than_a_round_may(
    errors: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    product = Product()
    product.live(24 * 14)
    monkeypatch.setattr(watchman, "ROUND_BYTES", 100 * 200)
    await product.watch()
    read = {offset for topic, _, offset in product.topics.read if topic == STATUS}
    assert min(read) == 24 * 14 * 3 - 100
    assert product.outcomes() == (3, 0, 0)
    assert errors == []


async def test_no_fewer_records_are_read_than_a_comparison_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = Product()
    product.live(24)
    product.now += MINUTE
    monkeypatch.setattr(watchman, "ROUND_BYTES", 0)
    await product.watch()
    assert {offset for topic, _, offset in product.topics.read if topic == STATUS} == {69, 70, 71}


async def test_a_damaged_database_that_the_watchman_meets_ends_the_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = Product(watchman=1)
    product.live(30)

    def damaged(_partition: int, _key: bytes) -> bytes:
        raise TableError("damaged")

    monkeypatch.setattr(product.facts, "get", damaged)
    task = product.task()
    task.start()
    for _ in range(100):
        await asyncio.sleep(0)
    await task.stop()
    assert [str(error) for error in product.failures.errors] == ["damaged"]


async def test_an_interval_of_zero_means_that_nothing_is_checked() -> None:
    product = Product(watchman=0)
    assert product.watchman.task(product.failures) is None


async def test_a_connection_that_is_cut_off_while_it_is_made_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product = Product(watchman=1)
    product.live(1)
    made: list[FakeConsumer] = []
    connecting = asyncio.Event()

    async def for_ever(consumer: FakeConsumer) -> None:
        made.append(consumer)
        connecting.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(FakeConsumer, "start", for_ever)
    task = product.task()
    task.start()
    await connecting.wait()
    await task.stop()
    assert [consumer.stopped for consumer in made] == [True]


async def test_a_round_that_fails_is_followed_by_others(
    monkeypatch: pytest.MonkeyPatch, errors: list[str]
) -> None:
    product = Product(watchman=1)
    rounds = 0
    enough = asyncio.Event()

    async def failing(_self: Any) -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 3:
            enough.set()
        raise RuntimeError("a fault")

    monkeypatch.setattr(Watchman, "check_some", failing)
    task = product.task()
    task.start()
    await enough.wait()
    await task.stop()
    assert errors == ["watchman failed, trying again"]
