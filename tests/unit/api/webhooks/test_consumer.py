"""Webhook consumers share a group that a test rebalances."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaConnectionError

from api.webhooks import consumer as consumer_module
from api.webhooks.concurrency import ConcurrencyLimiter
from api.webhooks.consumer import WebhookConsumer
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import WEBHOOKS
from stream_app.contracts.webhooks import Webhook, encode_webhook
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.offset_tracker import ResumableOffsetTracker
from stream_app.kafka.safe_records import UnreadableRecords
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS
from tests.unit.api.answers import REPORT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from stream_app.settings import Settings

REQUESTED_AT = 1_710_072_000_000_000


def url_of(name: str, receiver: str = "") -> str:
    """Return a URL at a receiver, or at a receiver of its own where none is named."""
    return f"https://{receiver or f'r{name}'}.example/{name}"


LogEntry: TypeAlias = FakeRecord | UnreadableRecords


class Group:
    """A topic with its records, its committed offsets, and the members that own its partitions."""

    def __init__(self, partitions: int = 2) -> None:
        self.logs: dict[TopicPartition, list[LogEntry]] = {
            TopicPartition(WEBHOOKS.name, partition): [] for partition in range(partitions)
        }
        self.committed: dict[TopicPartition, tuple[int, str]] = {}
        self.commits: list[tuple[int, int]] = []
        self.members: list[FakeConsumer] = []
        self.read_errors: list[Exception] = []
        self.read_counts: list[int] = []
        self.gone: set[int] = set()

    def add(
        self, name: str, partition: int = 0, value: bytes | None = None, receiver: str = ""
    ) -> None:
        log = self.logs[TopicPartition(WEBHOOKS.name, partition)]
        record = FakeRecord(
            WEBHOOKS.name,
            encode_webhook(Webhook(REPORT, url_of(name, receiver), REQUESTED_AT))
            if value is None
            else value,
            timestamp=REQUESTED_AT // 1000,
            offset=len(log),
            partition=partition,
            key=REPORT.encode(),
        )
        log.append(record)

    def committed_of(self, partition: int = 0) -> int:
        return self.committed.get(TopicPartition(WEBHOOKS.name, partition), (0, ""))[0]

    async def look_up(
        self, _settings: Settings, partitions: Sequence[TopicPartition]
    ) -> dict[TopicPartition, tuple[int, str]]:
        await asyncio.sleep(0)
        return {partition: self.committed.get(partition, (0, "")) for partition in partitions}

    async def read_again(
        self, partition: TopicPartition, offsets: Sequence[int]
    ) -> dict[int, LogEntry]:
        await asyncio.sleep(0)
        if self.read_errors:
            raise self.read_errors.pop()
        self.read_counts.append(len(offsets))
        return {
            offset: self.logs[partition][offset] for offset in offsets if offset not in self.gone
        }

    async def rebalance(self) -> None:
        for member in self.members:
            await member.revoke()
        for number, partition in enumerate(self.logs):
            if self.members:
                self.members[number % len(self.members)].assign(partition)


class FakeConsumer:
    """A member of the group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._listener: Any = None
        self.fetches = 0
        self.failing: Exception | None = None
        self.commit_error: Exception | None = None

    def subscribe(self, topics: list[str], listener: Any) -> None:
        assert topics == [WEBHOOKS.name]
        self._listener = listener

    async def start(self) -> None:
        self._group.members.append(self)
        await self._group.rebalance()

    async def stop(self) -> None:
        if self in self._group.members:
            await self.revoke()
            self._group.members.remove(self)
            await self._group.rebalance()

    def die(self) -> None:
        """Leave the group as `kill -9` does, which sends no notice."""
        self._group.members.remove(self)
        self._positions.clear()

    async def revoke(self) -> None:
        await self._listener.on_partitions_revoked(list(self._positions))
        self._positions.clear()

    def assign(self, partition: TopicPartition) -> None:
        self._positions[partition] = self._group.committed.get(partition, (0, ""))[0]

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def pause(self, *partitions: TopicPartition) -> None:
        self._paused |= set(partitions)

    def resume(self, *partitions: TopicPartition) -> None:
        self._paused -= set(partitions)

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[LogEntry]]:
        assert timeout_ms
        self.fetches += 1
        await asyncio.sleep(0.001)
        if self.failing is not None:
            error, self.failing = self.failing, None
            raise error
        fetched = {}
        for partition, position in self._positions.items():
            records = self._group.logs[partition][position : position + max_records]
            if records and partition not in self._paused:
                fetched[partition] = records
                self._positions[partition] += len(records)
                max_records -= len(records)
        return fetched

    async def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        await asyncio.sleep(0)
        if self.commit_error is not None:
            raise self.commit_error
        assert set(offsets) <= set(self._positions)
        self._group.committed |= offsets
        self._group.commits += [
            (partition.partition, offset) for partition, (offset, _) in offsets.items()
        ]


class FakeDeliveries:
    """Deliveries, each of which ends when a test says so, with a reason or without one."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ended: list[str] = []
        self.reasons: dict[str, str | None] = {}
        self.dead_letters: list[DeadLetter] = []
        self.lost = 0
        self._ends: dict[str, asyncio.Event] = {}

    def end(self, *urls: str, reason: str | None = None) -> None:
        for url in urls:
            self.reasons[url] = reason
            self._ends.setdefault(url, asyncio.Event()).set()

    async def run(self, webhook: Webhook) -> str | None:
        assert webhook == Webhook(REPORT, webhook.url, REQUESTED_AT)
        name = webhook.url.rpartition("/")[2]
        self.started.append(name)
        await self._ends.setdefault(name, asyncio.Event()).wait()
        self.ended.append(name)
        if name == "broken":
            raise ZeroDivisionError(webhook.url)
        return self.reasons.get(name)

    async def dead_letter(self, dead_letter: DeadLetter) -> None:
        if self.lost:
            self.lost -= 1
            raise BrokerUnavailableError("away")
        self.dead_letters.append(dead_letter)


async def kill(webhook_consumer: WebhookConsumer) -> None:
    """Cancel all tasks as `kill -9` does: no offset is committed any more."""
    webhook_consumer._consumer = None
    tasks = {webhook_consumer._reading_task._task, webhook_consumer._resuming_task._task}
    for task in (*tasks, *(t for o in webhook_consumer._owned.values() for t in o.running)):
        assert task is not None
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  other tasks
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_RETRY_SECONDS", 0.005)
    monkeypatch.setattr(consumer_module, "_DEFERRED_CHECK_SECONDS", 0.005)


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def deliveries() -> FakeDeliveries:
    return FakeDeliveries()


class FakeTopic:
    """The topic of the group; a test may replace the methods of the group."""

    def __init__(self, group: Group, consumer: FakeConsumer) -> None:
        self._group = group
        self._consumer = consumer

    def new_consumer(self) -> FakeConsumer:
        return self._consumer

    async def committed(self, partitions: Any) -> Any:
        return await self._group.look_up(SETTINGS, partitions)

    async def read(self, partition: Any, offsets: Any) -> Any:
        return await self._group.read_again(partition, offsets)

    async def stop(self) -> None:
        pass


@pytest.fixture
async def start_consumer(
    group: Group, deliveries: FakeDeliveries
) -> AsyncIterator[Callable[..., Any]]:
    """Yield a function that starts and returns a consumer, and its fake Kafka consumer."""
    started: list[WebhookConsumer] = []

    async def start(
        *, most: int = 100, most_waiting: int = 100_000, ready: bool = True
    ) -> tuple[WebhookConsumer, FakeConsumer]:
        consumer = FakeConsumer(group)
        webhook_consumer = WebhookConsumer(
            SETTINGS,
            deliveries.run,
            deliveries.dead_letter,
            lambda: ready,
            FakeTopic(group, consumer),  # type: ignore[arg-type]
            ConcurrencyLimiter(most, most_waiting),
        )
        started.append(webhook_consumer)
        await webhook_consumer.start()
        if ready:
            await until(lambda: consumer.fetches > 0)
        return webhook_consumer, consumer

    yield start
    for webhook_consumer in started:
        await webhook_consumer.stop()


def urls(*numbers: int) -> Iterable[str]:
    return (str(number) for number in numbers)


async def test_offsets_are_committed_in_order_only(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(4):
        group.add(str(number))
    await start_consumer()
    await until(lambda: len(deliveries.started) == 4)
    deliveries.end(*urls(1, 2))
    await until(lambda: len(deliveries.ended) == 2)
    await asyncio.sleep(0.02)
    assert group.committed_of() == 0, "the first one is not done"
    deliveries.end("0")
    await until(lambda: group.committed_of() == 3)
    deliveries.end("3")
    await until(lambda: group.committed_of() == 4)
    offsets = [offset for _, offset in group.commits]
    assert offsets == sorted(offsets)


async def test_a_slow_delivery_holds_up_no_other(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(50):
        group.add(str(number), partition=number % 2)
    await start_consumer()
    deliveries.end(*urls(*range(1, 50)))
    await until(lambda: len(deliveries.ended) == 49)
    await until(lambda: group.committed_of(1) == 25)
    assert group.committed_of(0) == 0


async def test_webhooks_that_were_not_committed_are_delivered_again_after_a_crash(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(3):
        group.add(str(number))
    first, consumer = await start_consumer()
    consumer.commit_error = CommitFailedError("moved")
    deliveries.end(*urls(0, 2))
    await until(lambda: sorted(deliveries.ended) == ["0", "2"])
    consumer.die()
    await kill(first)

    deliveries.end("1")
    await start_consumer()
    await until(lambda: group.committed_of() == 3)
    # delivered and not yet committed: at least once
    assert sorted(deliveries.started) == ["0", "0", "1", "1", "2", "2"]


async def test_webhooks_delivered_behind_a_slow_one_are_not_delivered_again(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(40):
        group.add(str(number))
    first, consumer = await start_consumer()
    await until(lambda: len(deliveries.started) == 40)
    deliveries.end(*(str(number) for number in range(40) if number not in {7, 9}))
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (7, "33:0,2"))
    consumer.die()
    await kill(first)

    group.add("40")
    await start_consumer()
    await until(lambda: len(deliveries.started) == 43)
    assert deliveries.started[40:] == ["7", "9", "40"]
    deliveries.end("40", "9")
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (7, "34:0"))
    deliveries.end("7")
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (41, ""))


async def test_a_record_that_was_fetched_during_a_rebalance_is_delivered_once(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = False
    look_up = group.look_up

    async def moving(settings: Settings, partitions: Any) -> Any:
        nonlocal moved
        if not moved:
            moved = True
            await group.rebalance()
        return await look_up(settings, partitions)

    monkeypatch.setattr(group, "look_up", moving)
    await start_consumer()
    group.add("0")
    deliveries.end("0")
    await until(lambda: group.committed_of() == 1)
    assert moved
    assert deliveries.started == ["0"]


async def test_stopping_leaves_the_group_and_commits_finished_deliveries(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(2):
        group.add(str(number))
    webhook_consumer, _ = await start_consumer()
    deliveries.end("0")
    await until(lambda: deliveries.ended == ["0"])
    await webhook_consumer.stop()
    assert group.committed_of() == 1
    assert group.members == []
    assert webhook_consumer.in_flight == 0
    deliveries.end("1")
    await asyncio.sleep(0.01)
    assert deliveries.ended == ["0"]


async def test_two_consumers_share_the_partitions_and_one_can_own_all(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    group.add("a", partition=0)
    group.add("b", partition=1)
    first, _ = await start_consumer()
    await until(lambda: sorted(deliveries.started) == ["a", "b"])
    second, _ = await start_consumer()
    # an unfinished delivery starts again at the new owner
    await until(lambda: (first.in_flight, second.in_flight) == (1, 1))
    deliveries.end("a", "b")
    await until(lambda: group.committed == dict.fromkeys(group.logs, (1, "")))
    group.add("c", partition=1)
    await until(lambda: second.in_flight == 1)
    await second.stop()
    deliveries.end("c")
    await until(lambda: group.committed_of(1) == 2)
    assert sorted(deliveries.ended) == ["a", "b", "c"], "each was delivered once"


async def test_deliveries_run_up_to_the_limit(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(30):
        group.add(str(number))
    webhook_consumer, consumer = await start_consumer(most=10)
    # twice as many may run where each has a receiver of its own
    await until(lambda: len(deliveries.started) == 20)
    fetches = consumer.fetches
    await until(lambda: consumer.fetches > fetches + 5)
    assert webhook_consumer.in_flight == 20, "and it still fetches, as the group expects"
    assert webhook_consumer.limiter.deferred == 10
    deliveries.end(*urls(*range(30)))
    await until(lambda: group.committed_of() == 30)


async def test_a_webhook_that_is_given_up_is_a_dead_letter_first(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    group.add("0")
    group.add("1", value=b"{}")
    group.add("broken")
    deliveries.end("0", reason="given up after 1d, at last answered 500")
    deliveries.end("broken")
    deliveries.lost = 2
    await start_consumer()
    await until(lambda: group.committed_of() == 3)
    dead_letters = sorted(
        deliveries.dead_letters, key=lambda dead_letter: dead_letter.source["offset"]
    )
    assert [dead_letter.reason for dead_letter in dead_letters] == [
        "given up after 1d, at last answered 500",
        "report_id is missing",
        "internal error: ZeroDivisionError",
    ]
    assert dead_letters[0] == DeadLetter(
        {"topic": "webhooks", "partition": 0, "offset": 0},
        "given up after 1d, at last answered 500",
        encode_webhook(Webhook(REPORT, url_of("0"), REQUESTED_AT)),
        REPORT.encode(),
    )


async def test_the_url_of_a_webhook_that_caused_an_error_is_in_no_log_and_no_reason(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    group.add("broken")
    deliveries.end("broken")
    await start_consumer()
    await until(lambda: group.committed_of() == 1)
    assert "ZeroDivisionError" in caplog.text
    assert "/broken" not in caplog.text
    assert "/broken" not in deliveries.dead_letters[0].reason


async def test_nothing_is_fetched_before_the_api_has_read_all(start_consumer: Any) -> None:
    _, consumer = await start_consumer(ready=False)
    await asyncio.sleep(0.03)
    assert consumer.fetches == 0


async def test_the_consumer_continues_after_an_error(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    group.add("0")
    _, consumer = await start_consumer()
    consumer.failing = KafkaConnectionError()
    await until(lambda: consumer.failing is None)
    deliveries.end("0")
    await until(lambda: group.committed_of() == 1)


async def test_a_commit_that_failed_is_repeated(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    group.add("0")
    _, consumer = await start_consumer()
    consumer.commit_error = CommitFailedError("moved")
    deliveries.end("0")
    await until(lambda: deliveries.ended == ["0"])
    await asyncio.sleep(0.01)
    consumer.commit_error = None
    await until(lambda: group.committed_of() == 1)


async def test_an_unreadable_record_is_a_dead_letter_and_is_committed(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    partition = TopicPartition(WEBHOOKS.name, 0)
    group.logs[partition].append(UnreadableRecords(WEBHOOKS.name, 0, 0, 0, 0, 0, "unknown codec 5"))
    group.add("1")
    await start_consumer()
    await until(lambda: deliveries.started == ["1"])
    deliveries.end("1")
    await until(lambda: group.committed_of() == 2)
    (dead_letter,) = deliveries.dead_letters
    assert (dead_letter.reason, dead_letter.original) == ("unknown codec 5", None)
    assert dead_letter.source == {
        "topic": "webhooks",
        "partition": 0,
        "offset": 0,
        "last_offset": 0,
    }


async def test_a_range_that_cannot_be_read_is_committed_as_a_whole() -> None:
    owned = consumer_module._Owned(ResumableOffsetTracker(4), (4, ""))
    dead_letters: list[DeadLetter] = []

    async def dead_letter(dead_letter: DeadLetter) -> None:
        dead_letters.append(dead_letter)

    webhook_consumer = WebhookConsumer(SETTINGS, None, dead_letter, lambda: True)  # type: ignore[arg-type]
    webhook_consumer._accept(owned, UnreadableRecords(WEBHOOKS.name, 0, 4, 4, 9, 0, "why"))
    assert owned.tracker.position < 10
    await asyncio.gather(*owned.running)
    assert owned.tracker.position == 10
    assert len(dead_letters) == 1


# -- receivers that do not answer

DEAD = 3_000


def dead(count: int = DEAD) -> list[str]:
    return [f"d{number}" for number in range(count)]


def add_dead(group: Group, count: int = DEAD) -> None:
    for number, name in enumerate(dead(count)):
        group.add(name, partition=number % 2, receiver="dead")


async def test_a_receiver_that_does_not_answer_holds_up_no_other(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group)
    group.add("good")
    webhook_consumer, _ = await start_consumer(most=1_000)
    await until(lambda: "good" in deliveries.started)
    deliveries.end("good")
    await until(lambda: "good" in deliveries.ended)
    await until(lambda: webhook_consumer.limiter.deferred == DEAD - 100)
    assert len(deliveries.started) == 101, "a tenth of the room, and the good one"
    assert webhook_consumer.in_flight == 100
    assert (webhook_consumer.limiter.deferred, webhook_consumer.limiter.crowded()) == (
        DEAD - 100,
        1,
    )
    assert group.committed_of() == 0
    assert group.read_counts == [], "without room nothing is read again"


async def test_deferred_webhooks_are_delivered_when_their_receiver_answers_again(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group)
    webhook_consumer, _ = await start_consumer(most=1_000)
    await until(lambda: webhook_consumer.limiter.deferred == DEAD - 100)
    most = 0
    deliveries.end(*dead())
    while group.committed != dict.fromkeys(group.logs, (DEAD // 2, "")):
        most = max(most, webhook_consumer.in_flight)
        await asyncio.sleep(0.001)
    assert sorted(deliveries.ended) == sorted(dead()), "each once"
    assert most <= 112, "a tenth, or a ninth of what is free"
    assert sum(group.read_counts) == DEAD - 100
    assert len(group.read_counts) < 150, "many at a time"
    assert (
        webhook_consumer.in_flight,
        webhook_consumer.limiter.deferred,
        webhook_consumer.limiter.running,
    ) == (0, 0, 0)
    assert webhook_consumer.limiter.crowded() == 0


async def test_many_receivers_that_do_not_answer_leave_room_for_one_more(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    for number in range(DEAD):
        group.add(f"d{number}", receiver=f"dead{number % 150}")
    group.add("good")
    webhook_consumer, _ = await start_consumer(most=1_000)
    deliveries.end("good")
    await until(lambda: "good" in deliveries.ended)
    assert webhook_consumer.in_flight <= 1_150


async def test_deferred_webhooks_are_delivered_after_a_crash(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group)
    group.add("good")
    deliveries.end("good")
    first, consumer = await start_consumer(most=1_000)
    await until(lambda: first.limiter.deferred == DEAD - 100)
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) is not None)
    consumer.die()
    await kill(first)

    second, _ = await start_consumer(most=1_000)
    await until(lambda: second.limiter.deferred == DEAD - 100)
    deliveries.end(*dead())
    await until(
        lambda: (group.committed_of(0), group.committed_of(1)) == (DEAD // 2 + 1, DEAD // 2)
    )
    assert set(deliveries.ended) == {*dead(), "good"}
    assert deliveries.started.count("good") == 1, (
        "the open offsets fit into the metadata of the commit"
    )


async def test_deferred_webhooks_move_with_their_partition(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group)
    first, _ = await start_consumer(most=1_000)
    await until(lambda: first.limiter.deferred == DEAD - 100)
    second, _ = await start_consumer(most=1_000)
    await until(lambda: first.limiter.deferred == second.limiter.deferred == DEAD // 2 - 100)
    deliveries.end(*dead())
    await until(lambda: len(set(deliveries.ended)) == DEAD)
    await until(lambda: group.committed == dict.fromkeys(group.logs, (DEAD // 2, "")))
    assert len(deliveries.ended) == DEAD, "each once"
    assert (first.limiter.running, second.limiter.running) == (0, 0)


async def test_a_second_read_that_fails_is_repeated(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group, 400)
    group.read_errors = [KafkaConnectionError(), BrokerUnavailableError("away"), ValueError("x")]
    webhook_consumer, _ = await start_consumer(most=1_000)
    await until(lambda: webhook_consumer.limiter.deferred == 300)
    deliveries.end(*dead(400))
    await until(lambda: len(deliveries.ended) == 400)
    await until(lambda: webhook_consumer.limiter.running == 0)
    assert group.read_errors == []
    assert sorted(deliveries.ended) == sorted(dead(400))


async def test_a_webhook_whose_partition_moves_while_it_is_read_again_is_delivered(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dead(group, 400)
    read_again, moves = group.read_again, 3

    async def moving(partition: TopicPartition, offsets: Sequence[int]) -> dict[int, LogEntry]:
        nonlocal moves
        if moves:
            moves -= 1
            await group.rebalance()
        return await read_again(partition, offsets)

    monkeypatch.setattr(group, "read_again", moving)
    webhook_consumer, _ = await start_consumer(most=1_000)
    await until(lambda: webhook_consumer.limiter.deferred == 300)
    deliveries.end(*dead(400))
    await until(lambda: group.committed == dict.fromkeys(group.logs, (200, "")))
    assert moves == 0
    assert sorted(set(deliveries.ended)) == sorted(dead(400))
    assert (webhook_consumer.limiter.deferred, webhook_consumer.limiter.running) == (0, 0)


async def test_a_deferred_webhook_that_the_topic_has_deleted_is_logged_and_committed(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add_dead(group, 400)
    group.gone = {150, 151}
    webhook_consumer, _ = await start_consumer(most=1_000)
    await until(lambda: webhook_consumer.limiter.deferred == 300)
    deliveries.end(*dead(400))
    await until(lambda: group.committed == dict.fromkeys(group.logs, (200, "")))
    assert len(deliveries.ended) == 396
    assert caplog.text.count("is lost: the log deleted it") == 4


async def test_above_the_limit_of_deferred_webhooks_they_become_dead_letters(
    group: Group, deliveries: FakeDeliveries, start_consumer: Any
) -> None:
    add_dead(group, 400)
    group.add("good")
    webhook_consumer, _ = await start_consumer(most=1_000, most_waiting=200)
    await until(lambda: "good" in deliveries.started)
    await until(lambda: len(deliveries.dead_letters) == 100)
    assert {dead_letter.reason for dead_letter in deliveries.dead_letters} == {
        "more webhooks wait for https://dead.example:443 than can: is it down?"
    }
    assert webhook_consumer.limiter.deferred == 200
