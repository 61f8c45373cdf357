"""Couriers over a group that a test moves about."""

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

ASKED = 1_710_072_000_000_000


def url_of(name: str, place: str = "") -> str:
    """A URL of a place; of its own unless one is named."""
    return f"https://{place or f'r{name}'}.example/{name}"


LogEntry: TypeAlias = FakeRecord | UnreadableRecords


class Group:
    """The topic, what is committed, and who owns what."""

    def __init__(self, partitions: int = 2) -> None:
        self.logs: dict[TopicPartition, list[LogEntry]] = {
            TopicPartition(WEBHOOKS.name, partition): [] for partition in range(partitions)
        }
        self.committed: dict[TopicPartition, tuple[int, str]] = {}
        self.commits: list[tuple[int, int]] = []
        self.members: list[FakeConsumer] = []
        self.read_errors: list[Exception] = []
        self.read_so_many: list[int] = []
        self.gone: set[int] = set()

    def add(
        self, name: str, partition: int = 0, value: bytes | None = None, place: str = ""
    ) -> None:
        log = self.logs[TopicPartition(WEBHOOKS.name, partition)]
        record = FakeRecord(
            WEBHOOKS.name,
            encode_webhook(Webhook(REPORT, url_of(name, place), ASKED)) if value is None else value,
            timestamp=ASKED // 1000,
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
        return {place: self.committed.get(place, (0, "")) for place in partitions}

    async def read_again(
        self, place: TopicPartition, offsets: Sequence[int]
    ) -> dict[int, LogEntry]:
        await asyncio.sleep(0)
        if self.read_errors:
            raise self.read_errors.pop()
        self.read_so_many.append(len(offsets))
        return {offset: self.logs[place][offset] for offset in offsets if offset not in self.gone}

    async def rebalance(self) -> None:
        for member in self.members:
            await member.revoke()
        for number, place in enumerate(self.logs):
            if self.members:
                self.members[number % len(self.members)].assign(place)


class FakeConsumer:
    """A member of the group."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._positions: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._listener: Any = None
        self.asked = 0
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
        """As `kill -9` does: nothing is said to anybody."""
        self._group.members.remove(self)
        self._positions.clear()

    async def revoke(self) -> None:
        await self._listener.on_partitions_revoked(list(self._positions))
        self._positions.clear()

    def assign(self, place: TopicPartition) -> None:
        self._positions[place] = self._group.committed.get(place, (0, ""))[0]

    def assignment(self) -> set[TopicPartition]:
        return set(self._positions)

    def pause(self, *places: TopicPartition) -> None:
        self._paused |= set(places)

    def resume(self, *places: TopicPartition) -> None:
        self._paused -= set(places)

    async def getmany(
        self, *, timeout_ms: int, max_records: int
    ) -> dict[TopicPartition, list[LogEntry]]:
        assert timeout_ms
        self.asked += 1
        await asyncio.sleep(0.001)
        if self.failing is not None:
            error, self.failing = self.failing, None
            raise error
        found = {}
        for place, position in self._positions.items():
            records = self._group.logs[place][position : position + max_records]
            if records and place not in self._paused:
                found[place] = records
                self._positions[place] += len(records)
                max_records -= len(records)
        return found

    async def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        await asyncio.sleep(0)
        if self.commit_error is not None:
            raise self.commit_error
        assert set(offsets) <= set(self._positions)
        self._group.committed |= offsets
        self._group.commits += [(place.partition, offset) for place, (offset, _) in offsets.items()]


class Runs:
    """What the couriers run: each URL ends when a test says so, with a reason or none."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.reasons: dict[str, str | None] = {}
        self.letters: list[DeadLetter] = []
        self.lost = 0
        self._ends: dict[str, asyncio.Event] = {}

    def end(self, *urls: str, reason: str | None = None) -> None:
        for url in urls:
            self.reasons[url] = reason
            self._ends.setdefault(url, asyncio.Event()).set()

    async def run(self, webhook: Webhook) -> str | None:
        assert webhook == Webhook(REPORT, webhook.url, ASKED)
        name = webhook.url.rpartition("/")[2]
        self.begun.append(name)
        await self._ends.setdefault(name, asyncio.Event()).wait()
        self.ended.append(name)
        if name == "broken":
            raise ZeroDivisionError(webhook.url)
        return self.reasons.get(name)

    async def dead_letter(self, letter: DeadLetter) -> None:
        if self.lost:
            self.lost -= 1
            raise BrokerUnavailableError("away")
        self.letters.append(letter)


async def end(courier: WebhookConsumer) -> None:
    """As `kill -9` does: nothing is committed any more."""
    courier._consumer = None
    tasks = {courier._reading._task, courier._resuming._task}
    for task in (*tasks, *(t for o in courier._owned.values() for t in o.running)):
        assert task is not None
        task.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110  whatever a test looks at
            await asyncio.sleep(0.001)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(consumer_module, "_RETRY_SECONDS", 0.005)
    monkeypatch.setattr(consumer_module, "_DEFERRED_CHECK_SECONDS", 0.005)


@pytest.fixture
def group() -> Group:
    return Group()


@pytest.fixture
def runs() -> Runs:
    return Runs()


class FakeTopic:
    """The topic as the group has it; a test may replace the group's methods."""

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
async def couriers(group: Group, runs: Runs) -> AsyncIterator[Callable[..., Any]]:
    """Start a courier: `await couriers()` is it and its consumer."""
    started: list[WebhookConsumer] = []

    async def start(
        *, most: int = 100, most_waiting: int = 100_000, ready: bool = True
    ) -> tuple[WebhookConsumer, FakeConsumer]:
        consumer = FakeConsumer(group)
        courier = WebhookConsumer(
            SETTINGS,
            runs.run,
            runs.dead_letter,
            lambda: ready,
            FakeTopic(group, consumer),  # type: ignore[arg-type]
            ConcurrencyLimiter(most, most_waiting),
        )
        started.append(courier)
        await courier.start()
        if ready:
            await until(lambda: consumer.asked > 0)
        return courier, consumer

    yield start
    for courier in started:
        await courier.stop()


def urls(*numbers: int) -> Iterable[str]:
    return (str(number) for number in numbers)


async def test_offsets_are_committed_in_order_only(group: Group, runs: Runs, couriers: Any) -> None:
    for number in range(4):
        group.add(str(number))
    await couriers()
    await until(lambda: len(runs.begun) == 4)
    runs.end(*urls(1, 2))
    await until(lambda: len(runs.ended) == 2)
    await asyncio.sleep(0.02)
    assert group.committed_of() == 0, "the first one is not done"
    runs.end("0")
    await until(lambda: group.committed_of() == 3)
    runs.end("3")
    await until(lambda: group.committed_of() == 4)
    offsets = [offset for _, offset in group.commits]
    assert offsets == sorted(offsets)


async def test_a_late_one_holds_no_other_up(group: Group, runs: Runs, couriers: Any) -> None:
    for number in range(50):
        group.add(str(number), partition=number % 2)
    await couriers()
    runs.end(*urls(*range(1, 50)))
    await until(lambda: len(runs.ended) == 49)
    await until(lambda: group.committed_of(1) == 25)
    assert group.committed_of(0) == 0


async def test_what_was_not_committed_comes_again_after_a_crash(
    group: Group, runs: Runs, couriers: Any
) -> None:
    for number in range(3):
        group.add(str(number))
    first, consumer = await couriers()
    consumer.commit_error = CommitFailedError("moved")
    runs.end(*urls(0, 2))
    await until(lambda: sorted(runs.ended) == ["0", "2"])
    consumer.die()
    await end(first)

    runs.end("1")
    await couriers()
    await until(lambda: group.committed_of() == 3)
    # delivered and not yet committed: at least once
    assert sorted(runs.begun) == ["0", "0", "1", "1", "2", "2"]


async def test_what_is_delivered_beyond_a_late_one_does_not_come_again(
    group: Group, runs: Runs, couriers: Any
) -> None:
    for number in range(40):
        group.add(str(number))
    first, consumer = await couriers()
    await until(lambda: len(runs.begun) == 40)
    runs.end(*(str(number) for number in range(40) if number not in {7, 9}))
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (7, "33:0,2"))
    consumer.die()
    await end(first)

    group.add("40")
    await couriers()
    await until(lambda: len(runs.begun) == 43)
    assert runs.begun[40:] == ["7", "9", "40"]
    runs.end("40", "9")
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (7, "34:0"))
    runs.end("7")
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) == (41, ""))


async def test_records_that_were_fetched_as_partitions_moved_are_left(
    group: Group, runs: Runs, couriers: Any, monkeypatch: pytest.MonkeyPatch
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
    await couriers()
    group.add("0")
    runs.end("0")
    await until(lambda: group.committed_of() == 1)
    assert moved
    assert runs.begun == ["0"]


async def test_stopping_lets_go_and_commits_what_is_done(
    group: Group, runs: Runs, couriers: Any
) -> None:
    for number in range(2):
        group.add(str(number))
    courier, _ = await couriers()
    runs.end("0")
    await until(lambda: runs.ended == ["0"])
    await courier.stop()
    assert group.committed_of() == 1
    assert group.members == []
    assert courier.in_flight == 0
    runs.end("1")
    await asyncio.sleep(0.01)
    assert runs.ended == ["0"]


async def test_two_couriers_share_and_take_over(group: Group, runs: Runs, couriers: Any) -> None:
    group.add("a", partition=0)
    group.add("b", partition=1)
    first, _ = await couriers()
    await until(lambda: sorted(runs.begun) == ["a", "b"])
    second, _ = await couriers()
    # what was unfinished starts again with whoever owns it now
    await until(lambda: (first.in_flight, second.in_flight) == (1, 1))
    runs.end("a", "b")
    await until(lambda: group.committed == dict.fromkeys(group.logs, (1, "")))
    group.add("c", partition=1)
    await until(lambda: second.in_flight == 1)
    await second.stop()
    runs.end("c")
    await until(lambda: group.committed_of(1) == 2)
    assert sorted(runs.ended) == ["a", "b", "c"], "each was delivered once"


async def test_as_many_run_as_may(group: Group, runs: Runs, couriers: Any) -> None:
    for number in range(30):
        group.add(str(number))
    courier, consumer = await couriers(most=10)
    # twice as many where each is of a place of its own
    await until(lambda: len(runs.begun) == 20)
    asked = consumer.asked
    await until(lambda: consumer.asked > asked + 5)
    assert courier.in_flight == 20, "and the group hears of it still"
    assert courier.limiter.deferred == 10
    runs.end(*urls(*range(30)))
    await until(lambda: group.committed_of() == 30)


async def test_what_is_given_up_is_a_dead_letter_first(
    group: Group, runs: Runs, couriers: Any
) -> None:
    group.add("0")
    group.add("1", value=b"{}")
    group.add("broken")
    runs.end("0", reason="given up after 1d, at last answered 500")
    runs.end("broken")
    runs.lost = 2
    await couriers()
    await until(lambda: group.committed_of() == 3)
    letters = sorted(runs.letters, key=lambda letter: letter.source["offset"])
    assert [letter.reason for letter in letters] == [
        "given up after 1d, at last answered 500",
        "report_id is missing",
        "internal error: ZeroDivisionError",
    ]
    assert letters[0] == DeadLetter(
        {"topic": "webhooks", "partition": 0, "offset": 0},
        "given up after 1d, at last answered 500",
        encode_webhook(Webhook(REPORT, url_of("0"), ASKED)),
        REPORT.encode(),
    )


async def test_the_url_of_a_webhook_that_broke_is_in_no_log_and_no_reason(
    group: Group, runs: Runs, couriers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    group.add("broken")
    runs.end("broken")
    await couriers()
    await until(lambda: group.committed_of() == 1)
    assert "ZeroDivisionError" in caplog.text
    assert "/broken" not in caplog.text
    assert "/broken" not in runs.letters[0].reason


async def test_nothing_is_taken_before_the_api_has_read_all(couriers: Any) -> None:
    _, consumer = await couriers(ready=False)
    await asyncio.sleep(0.03)
    assert consumer.asked == 0


async def test_it_goes_on_after_an_error(group: Group, runs: Runs, couriers: Any) -> None:
    group.add("0")
    _, consumer = await couriers()
    consumer.failing = KafkaConnectionError()
    await until(lambda: consumer.failing is None)
    runs.end("0")
    await until(lambda: group.committed_of() == 1)


async def test_a_commit_that_failed_is_made_again(group: Group, runs: Runs, couriers: Any) -> None:
    group.add("0")
    _, consumer = await couriers()
    consumer.commit_error = CommitFailedError("moved")
    runs.end("0")
    await until(lambda: runs.ended == ["0"])
    await asyncio.sleep(0.01)
    consumer.commit_error = None
    await until(lambda: group.committed_of() == 1)


async def test_what_cannot_be_read_is_a_dead_letter_and_is_done_with(
    group: Group, runs: Runs, couriers: Any
) -> None:
    place = TopicPartition(WEBHOOKS.name, 0)
    group.logs[place].append(UnreadableRecords(WEBHOOKS.name, 0, 0, 0, 0, 0, "unknown codec 5"))
    group.add("1")
    await couriers()
    await until(lambda: runs.begun == ["1"])
    runs.end("1")
    await until(lambda: group.committed_of() == 2)
    (letter,) = runs.letters
    assert (letter.reason, letter.original) == ("unknown codec 5", None)
    assert letter.source == {"topic": "webhooks", "partition": 0, "offset": 0, "last_offset": 0}


async def test_a_range_that_cannot_be_read_is_committed_as_a_whole() -> None:
    owned = consumer_module._Owned(ResumableOffsetTracker(4), (4, ""))
    letters: list[DeadLetter] = []

    async def dead_letter(letter: DeadLetter) -> None:
        letters.append(letter)

    courier = WebhookConsumer(SETTINGS, None, dead_letter, lambda: True)  # type: ignore[arg-type]
    courier._accept(owned, UnreadableRecords(WEBHOOKS.name, 0, 4, 4, 9, 0, "why"))
    assert owned.tracker.position < 10
    await asyncio.gather(*owned.running)
    assert owned.tracker.position == 10
    assert len(letters) == 1


# -- places that answer nothing

DEAD = 3_000


def dead(count: int = DEAD) -> list[str]:
    return [f"d{number}" for number in range(count)]


def add_dead(group: Group, count: int = DEAD) -> None:
    for number, name in enumerate(dead(count)):
        group.add(name, partition=number % 2, place="dead")


async def test_a_place_that_answers_nothing_holds_up_nobody(
    group: Group, runs: Runs, couriers: Any
) -> None:
    add_dead(group)
    group.add("good")
    courier, _ = await couriers(most=1_000)
    await until(lambda: "good" in runs.begun)
    runs.end("good")
    await until(lambda: "good" in runs.ended)
    await until(lambda: courier.limiter.deferred == DEAD - 100)
    assert len(runs.begun) == 101, "a tenth of the room, and the good one"
    assert courier.in_flight == 100
    assert (courier.limiter.deferred, courier.limiter.crowded()) == (DEAD - 100, 1)
    assert group.committed_of() == 0
    assert group.read_so_many == [], "there is no room: nothing is read in vain"


async def test_what_waits_is_delivered_once_its_place_is_back(
    group: Group, runs: Runs, couriers: Any
) -> None:
    add_dead(group)
    courier, _ = await couriers(most=1_000)
    await until(lambda: courier.limiter.deferred == DEAD - 100)
    most = 0
    runs.end(*dead())
    while group.committed != dict.fromkeys(group.logs, (DEAD // 2, "")):
        most = max(most, courier.in_flight)
        await asyncio.sleep(0.001)
    assert sorted(runs.ended) == sorted(dead()), "each once"
    assert most <= 112, "a tenth, or a ninth of what is free"
    assert sum(group.read_so_many) == DEAD - 100
    assert len(group.read_so_many) < 150, "many at a time"
    assert (courier.in_flight, courier.limiter.deferred, courier.limiter.running) == (0, 0, 0)
    assert courier.limiter.crowded() == 0


async def test_many_places_that_answer_nothing_leave_room_for_one_more(
    group: Group, runs: Runs, couriers: Any
) -> None:
    for number in range(DEAD):
        group.add(f"d{number}", place=f"dead{number % 150}")
    group.add("good")
    courier, _ = await couriers(most=1_000)
    runs.end("good")
    await until(lambda: "good" in runs.ended)
    assert courier.in_flight <= 1_150


async def test_what_waits_comes_again_after_a_crash(
    group: Group, runs: Runs, couriers: Any
) -> None:
    add_dead(group)
    group.add("good")
    runs.end("good")
    first, consumer = await couriers(most=1_000)
    await until(lambda: first.limiter.deferred == DEAD - 100)
    await until(lambda: group.committed.get(TopicPartition(WEBHOOKS.name, 0)) is not None)
    consumer.die()
    await end(first)

    second, _ = await couriers(most=1_000)
    await until(lambda: second.limiter.deferred == DEAD - 100)
    runs.end(*dead())
    await until(
        lambda: (group.committed_of(0), group.committed_of(1)) == (DEAD // 2 + 1, DEAD // 2)
    )
    assert set(runs.ended) == {*dead(), "good"}
    assert runs.begun.count("good") == 1, "the offsets that are open fit the text"


async def test_what_waits_moves_with_its_partition(group: Group, runs: Runs, couriers: Any) -> None:
    add_dead(group)
    first, _ = await couriers(most=1_000)
    await until(lambda: first.limiter.deferred == DEAD - 100)
    second, _ = await couriers(most=1_000)
    await until(lambda: first.limiter.deferred == second.limiter.deferred == DEAD // 2 - 100)
    runs.end(*dead())
    await until(lambda: len(set(runs.ended)) == DEAD)
    await until(lambda: group.committed == dict.fromkeys(group.logs, (DEAD // 2, "")))
    assert len(runs.ended) == DEAD, "each once"
    assert (first.limiter.running, second.limiter.running) == (0, 0)


async def test_a_second_look_that_fails_is_made_again(
    group: Group, runs: Runs, couriers: Any
) -> None:
    add_dead(group, 400)
    group.read_errors = [KafkaConnectionError(), BrokerUnavailableError("away"), ValueError("x")]
    courier, _ = await couriers(most=1_000)
    await until(lambda: courier.limiter.deferred == 300)
    runs.end(*dead(400))
    await until(lambda: len(runs.ended) == 400)
    await until(lambda: courier.limiter.running == 0)
    assert group.read_errors == []
    assert sorted(runs.ended) == sorted(dead(400))


async def test_what_moves_while_it_is_read_again_is_left(
    group: Group, runs: Runs, couriers: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_dead(group, 400)
    read_again, moves = group.read_again, 3

    async def moving(place: TopicPartition, offsets: Sequence[int]) -> dict[int, LogEntry]:
        nonlocal moves
        if moves:
            moves -= 1
            await group.rebalance()
        return await read_again(place, offsets)

    monkeypatch.setattr(group, "read_again", moving)
    courier, _ = await couriers(most=1_000)
    await until(lambda: courier.limiter.deferred == 300)
    runs.end(*dead(400))
    await until(lambda: group.committed == dict.fromkeys(group.logs, (200, "")))
    assert moves == 0
    assert sorted(set(runs.ended)) == sorted(dead(400))
    assert (courier.limiter.deferred, courier.limiter.running) == (0, 0)


async def test_what_the_log_has_no_more_is_said_and_done_with(
    group: Group, runs: Runs, couriers: Any, caplog: pytest.LogCaptureFixture
) -> None:
    add_dead(group, 400)
    group.gone = {150, 151}
    courier, _ = await couriers(most=1_000)
    await until(lambda: courier.limiter.deferred == 300)
    runs.end(*dead(400))
    await until(lambda: group.committed == dict.fromkeys(group.logs, (200, "")))
    assert len(runs.ended) == 396
    assert caplog.text.count("is lost: the log deleted it") == 4


async def test_beyond_what_may_wait_they_are_dead_letters(
    group: Group, runs: Runs, couriers: Any
) -> None:
    add_dead(group, 400)
    group.add("good")
    courier, _ = await couriers(most=1_000, most_waiting=200)
    await until(lambda: "good" in runs.begun)
    await until(lambda: len(runs.letters) == 100)
    assert {letter.reason for letter in runs.letters} == {
        "more webhooks wait for https://dead.example:443 than can: is it down?"
    }
    assert courier.limiter.deferred == 200
