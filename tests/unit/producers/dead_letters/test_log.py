from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from producers.dead_letters import log as letter_log
from producers.dead_letters.log import KeptLetter, LetterFilter, LetterLog, PartitionReader
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from tests.unit.producers.dead_letters.letters import SETTINGS, FakeReader, Record

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST = 40


def letter(number: int) -> DeadLetter:
    if number % 2:
        return DeadLetter({"file": f"/in/{number}.csv", "line": 3}, "Not a time", b"%d" % number)
    source: dict[str, str | int] = {"topic": "store-status", "partition": 1, "offset": number}
    return DeadLetter(source, "not JSON", b"%d" % number)


async def make_log(count: int) -> tuple[LetterLog, FakeReader]:
    reader = FakeReader(OLDEST)
    for number in range(OLDEST, OLDEST + count):
        reader.add_letter(letter(number), timestamp=number)
    fake: Any = reader
    return await LetterLog.open(fake), reader


def number_of(kept: KeptLetter) -> int:
    assert kept.taken == kept.number * 1000
    assert kept.letter.original == b"%d" % kept.number
    return kept.number


async def test_the_newest_come_first_and_the_others_are_only_counted() -> None:
    log, reader = await make_log(2000)
    found, more = await log.newest(LetterFilter(), 3, number_of)
    assert found == [2039, 2038, 2037]
    assert more == 1997
    assert reader.read == letter_log.CHUNK_RECORDS, "without reading all of them"


async def test_a_limit_over_several_chunks() -> None:
    log, reader = await make_log(1200)
    found, more = await log.newest(LetterFilter(), 1100, number_of)
    assert found == list(range(1239, 139, -1))
    assert more == 100
    assert reader.most_at_once == letter_log.CHUNK_RECORDS


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        (LetterFilter(), lambda _: True),
        (LetterFilter(topic="store-status"), lambda number: number % 2 == 0),
        (LetterFilter(topic="store-timezones"), lambda _: False),
        (LetterFilter(file="/in/51.csv"), lambda number: number == 51),
        (LetterFilter(file="1.csv"), lambda number: number % 10 == 1),
        (LetterFilter(reason="json"), lambda number: number % 2 == 0),
        (LetterFilter(since=600_000), lambda number: number >= 600),
        (LetterFilter(since=599_001), lambda number: number >= 600),
        (LetterFilter(since=10**12), lambda _: False),
        (LetterFilter(reason="TIME", since=600_000), lambda n: n >= 600 and n % 2 == 1),
    ],
)
async def test_only_what_is_meant_is_listed_counted_and_read(
    wanted: LetterFilter, chosen: Callable[[int], bool]
) -> None:
    log, _ = await make_log(1200)
    expected = [number for number in range(OLDEST, OLDEST + 1200) if chosen(number)]
    found, more = await log.newest(wanted, 5, number_of)
    assert found == expected[-5:][::-1]
    assert more == max(0, len(expected) - 5)
    assert [number_of(kept) async for kept in log.oldest_first(wanted)] == expected


async def test_what_comes_after_it_was_opened_does_not_belong_to_it() -> None:
    log, reader = await make_log(3)
    reader.add_letter(letter(99))
    found, _ = await log.newest(LetterFilter(), 5, number_of)
    assert found == [42, 41, 40]
    assert [kept.number async for kept in log.oldest_first(LetterFilter())] == [40, 41, 42]


async def test_a_letter_is_found_by_its_id() -> None:
    log, _ = await make_log(3)
    assert number_of(await log.one(41)) == 41


@pytest.mark.parametrize(
    ("count", "number", "told"),
    [(3, 39, "40 to 42 are kept"), (3, 43, "40 to 42 are kept"), (0, 40, "none is")],
)
async def test_an_id_that_is_not_there(count: int, number: int, told: str) -> None:
    log, _ = await make_log(count)
    with pytest.raises(StoreUptimeError, match=f"^there is no dead letter {number}: {told}$"):
        await log.one(number)


async def test_an_empty_topic() -> None:
    log, _ = await make_log(0)
    assert await log.newest(LetterFilter(), 5, number_of) == ([], 0)
    assert [kept async for kept in log.oldest_first(LetterFilter())] == []


async def test_a_record_that_someone_else_wrote_is_shown_as_it_is() -> None:
    log, reader = await make_log(1)
    reader.partitions[DEAD_LETTERS.name, 0][0] = Record(OLDEST, 5, b"hello", b"k")
    kept = await log.one(OLDEST)
    assert (kept.letter.source, kept.letter.original, kept.letter.key) == ({}, b"hello", b"k")
    assert kept.letter.reason.startswith("not a dead letter of ours: not JSON")


class ConsumerDouble:
    """Gives what a test says; `position` follows."""

    def __init__(self, *fetches: list[int]) -> None:
        self.fetches = list(fetches)
        self.position_now = 0
        self.error: Exception | None = None

    def assign(self, partitions: list[TopicPartition]) -> None:
        self.partition = partitions[0]

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.position_now = offset

    async def getmany(
        self, _partition: TopicPartition, *, timeout_ms: int, max_records: int
    ) -> dict[Any, Any]:
        assert timeout_ms > 0 < max_records
        if self.error is not None:
            raise self.error
        offsets = self.fetches.pop(0) if self.fetches else []
        if not offsets:
            return {}
        self.position_now = offsets[-1] + 1
        return {self.partition: [Record(offset, 0, b"") for offset in offsets]}

    async def position(self, _partition: TopicPartition) -> int:
        return self.position_now

    async def end_offsets(self, _partitions: list[TopicPartition]) -> dict[Any, int]:
        raise KafkaConnectionError

    beginning_offsets = end_offsets
    offsets_for_times = end_offsets


PLACE = TopicPartition("dead-letters", 0)


async def read(consumer: ConsumerDouble, first: int, end: int) -> list[int]:
    return [r.offset async for r in PartitionReader(SETTINGS, consumer).records(PLACE, first, end)]


async def test_a_range_is_read_over_gaps_and_not_beyond_its_end() -> None:
    consumer = ConsumerDouble([3, 4], [], [7], [9, 10, 11])
    assert await read(consumer, 3, 10) == [3, 4, 7, 9]


async def test_a_broker_that_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_log, "SILENCE_SECONDS", 0.0)
    with pytest.raises(BrokerUnavailableError):
        await read(ConsumerDouble([3]), 3, 10)


async def test_a_broker_that_is_lost_is_one_clear_error() -> None:
    consumer = ConsumerDouble()
    consumer.error = KafkaConnectionError()
    reader = PartitionReader(SETTINGS, consumer)
    with pytest.raises(BrokerUnavailableError, match="no Kafka broker answers"):
        await read(consumer, 3, 10)
    with pytest.raises(BrokerUnavailableError):
        await reader.bounds(PLACE)
    with pytest.raises(BrokerUnavailableError):
        await reader.first_since(PLACE, 5)
