"""No record and no error stops the reader of a view, and it reports when it cannot read."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import RecordError
from stream_app.kafka import topic_tail as module
from stream_app.kafka.safe_records import UnreadableRecords
from stream_app.kafka.topic_tail import TopicTail
from tests.fake_record import FakeRecord
from tests.fakes import SETTINGS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PLACE = TopicPartition(DEAD_LETTERS.name, 0)


class Kafka:
    """A consumer of one partition, which fails as long as it has an error."""

    def __init__(self) -> None:
        self.log: list[Any] = []
        self.at = 0
        self.error: Exception | None = None

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    def assign(self, partitions: list[TopicPartition]) -> None:
        assert partitions == [PLACE]

    async def beginning_offsets(self, partitions: list[TopicPartition]) -> dict[Any, int]:
        return dict.fromkeys(partitions, 0)

    def seek(self, _partition: TopicPartition, offset: int) -> None:
        self.at = offset

    async def getmany(self, **_: Any) -> dict[Any, Any]:
        await asyncio.sleep(0)
        if self.error is not None:
            raise self.error
        fetched, self.at = self.log[self.at :], len(self.log)
        return {PLACE: fetched} if fetched else {}

    async def position(self, _partition: TopicPartition) -> int:
        return self.at

    def add(self, value: bytes) -> None:
        self.log.append(FakeRecord(PLACE.topic, value, offset=len(self.log)))

    def add_unreadable(self) -> None:
        offset = len(self.log)
        self.log.append(
            UnreadableRecords(PLACE.topic, PLACE.partition, offset, offset, offset, 0, "no reason")
        )


class View:
    """Stores the values of records; raises the errors that a test sets for a value, one by one."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.errors: defaultdict[bytes, list[Exception]] = defaultdict(list)

    def handle(self, record: Any) -> None:
        if self.errors[record.value]:
            raise self.errors[record.value].pop()
        self.values.append(record.value)


class Harness:
    """A tail that reads the consumer above into the view above."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.view = View()
        self.tail = TopicTail(
            SETTINGS,
            [DEAD_LETTERS],
            None,  # type: ignore[arg-type]  # no test asks for the end offsets
            self.view.handle,
        )

    async def read(self) -> None:
        async with asyncio.timeout(5):
            await self.tail.wait_for({TopicPartition(PLACE.topic, 0): len(self.kafka.log)})


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    made = Harness()
    monkeypatch.setattr(module, "safe_consumer", lambda *_, **__: made.kafka)
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    await made.tail.start()
    yield made
    await made.tail.stop()


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110  the tail's own task
            await asyncio.sleep(0)


async def test_an_unreadable_range_is_skipped_with_an_error(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.kafka.add(b"a")
    harness.kafka.add_unreadable()
    harness.kafka.add(b"b")
    await harness.read()
    assert harness.view.values == [b"a", b"b"]
    assert caplog.messages == ["dead-letters/0: offsets 1 to 1 cannot be read: no reason"]


@pytest.mark.parametrize(
    ("error", "level"),
    [(RecordError("not ours"), logging.WARNING), (TypeError("a slip"), logging.ERROR)],
)
async def test_a_bad_record_is_skipped_and_its_offset_is_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture, error: Exception, level: int
) -> None:
    harness.view.errors[b"bad"] = [error]
    for value in (b"a", b"bad", b"b"):
        harness.kafka.add(value)
    await harness.read()
    assert harness.view.values == [b"a", b"b"]
    (line,) = caplog.records
    assert line.levelno == level
    assert line.getMessage().startswith("dead-letters/0/1 is passed over: ")
    assert harness.tail.trouble is None


async def test_a_temporary_error_is_retried_and_loses_no_record(harness: Harness) -> None:
    harness.view.errors[b"b"] = [OSError("No space left on device")] * 3
    for value in (b"a", b"b", b"c"):
        harness.kafka.add(value)
    await until(lambda: harness.tail.trouble is not None)
    assert harness.tail.trouble == (
        "dead-letters cannot be read: OSError('No space left on device')"
    )
    await harness.read()
    assert harness.view.values == [b"a"] * 3 + [b"a", b"b", b"c"]
    await until(lambda: harness.tail.trouble is None)


@pytest.mark.parametrize(
    "error", [TopicAuthorizationFailedError("dead-letters"), RuntimeError("of any\nkind")]
)
async def test_the_tail_reports_that_it_cannot_read_until_it_reads_again(
    harness: Harness, error: Exception
) -> None:
    harness.kafka.error = error
    await until(lambda: harness.tail.trouble is not None)
    trouble = str(harness.tail.trouble)
    assert trouble.startswith("dead-letters cannot be read: ")
    assert type(error).__name__ in trouble
    assert "\n" not in trouble

    harness.kafka.error = None
    harness.kafka.add(b"a")
    await harness.read()
    assert harness.view.values == [b"a"]
    await until(lambda: harness.tail.trouble is None)
