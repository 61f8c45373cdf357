"""The dead letters as they lie on their topic, read without a consumer group.

A letter's id is its offset: short, and the same for as long as the letter is kept.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeVar

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from stream_app.contracts.dead_letters import DeadLetter, decode_dead_letter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import RecordError, StoreUptimeError
from stream_app.kafka.clients import safe_consumer, start, unavailable
from stream_app.kafka.safe_records import readable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stream_app.settings import Settings

Short = TypeVar("Short")

CHUNK_RECORDS: Final = 500
"""Reading backwards goes in steps of so many records."""

SILENCE_SECONDS: Final = 30.0
"""A broker that gives nothing for so long, while there is more, is out of reach."""

_FETCH_BYTES: Final = 1 << 20
_POLL_MS: Final = 1000
_POLL_RECORDS: Final = 5_000
_LETTERS: Final = TopicPartition(DEAD_LETTERS.name, 0)


@dataclass(frozen=True, slots=True)
class KeptLetter:
    """A dead letter and its place.

    Attributes:
        number: its offset, by which a person names it.
        taken: µs, when the broker took it.
        letter: what was refused.
    """

    number: int
    taken: int
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Which letters are meant; what is not given lets every letter pass.

    Attributes:
        topic: the topic that the original came on.
        file: the file that it stood in, or the end of its path.
        reason: a part of the reason, in any case.
        since: µs; kept then or later.
    """

    topic: str | None = None
    file: str | None = None
    reason: str | None = None
    since: int | None = None

    @property
    def takes_all(self) -> bool:
        """True where no letter is left out for what it says."""
        return self.topic is None and self.file is None and self.reason is None

    def takes(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant, its age aside."""
        return (
            (self.topic is None or letter.source.get("topic") == self.topic)
            and (self.file is None or str(letter.source.get("file", "")).endswith(self.file))
            and (self.reason is None or self.reason.lower() in letter.reason.lower())
        )


class PartitionReader:
    """Reads ranges of offsets of any partitions, one after the other, in bounded memory."""

    def __init__(self, settings: Settings, consumer: Any) -> None:
        self._settings = settings
        self._consumer = consumer

    async def bounds(self, partition: TopicPartition) -> tuple[int, int]:
        """The offset of the oldest record that is kept, and the one behind the newest.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            oldest = await self._consumer.beginning_offsets([partition])
            end = await self._consumer.end_offsets([partition])
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return oldest[partition], end[partition]

    async def first_since(self, partition: TopicPartition, instant: int) -> int | None:
        """The offset of the first record taken at an instant (µs) or later; None: there is none.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        try:
            # a broker counts milliseconds
            found = await self._consumer.offsets_for_times({partition: -(-instant // 1000)})
        except KafkaError as error:
            raise unavailable(self._settings, error) from error
        return None if found[partition] is None else int(found[partition].offset)

    async def records(self, partition: TopicPartition, first: int, end: int) -> AsyncIterator[Any]:
        """The records in `[first, end)` that can be read, oldest first.

        Raises:
            BrokerUnavailableError: nothing came for SILENCE_SECONDS.
        """
        if first >= end:
            return
        loop = asyncio.get_running_loop()
        self._consumer.assign([partition])
        self._consumer.seek(partition, first)
        heard = loop.time()
        position = first
        while position < end:
            try:
                fetched = await self._consumer.getmany(
                    partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS
                )
                position = await self._consumer.position(partition)
            except KafkaError as error:
                raise unavailable(self._settings, error) from error
            for record in readable(fetched.get(partition, ())):
                if record.offset < end:
                    yield record
            if fetched:
                heard = loop.time()
            elif loop.time() - heard >= SILENCE_SECONDS:
                raise unavailable(self._settings, TimeoutError())


@asynccontextmanager
async def partition_reader(settings: Settings) -> AsyncIterator[PartitionReader]:
    """A connected reader.

    Raises:
        BrokerUnavailableError: no broker answers.
    """
    consumer = safe_consumer(
        settings,
        auto_offset_reset="earliest",
        # as the worker reads: what a transaction took back never was
        isolation_level="read_committed",
        max_partition_fetch_bytes=_FETCH_BYTES,
    )
    await start(consumer, settings)
    try:
        yield PartitionReader(settings, consumer)
    finally:
        await consumer.stop()


class LetterLog:
    """The letters that are kept when it is opened; what comes later does not belong to it.

    Attributes:
        oldest: the id of the oldest letter that is kept.
        end: one more than the id of the newest.
    """

    def __init__(self, reader: PartitionReader, oldest: int, end: int) -> None:
        self._reader = reader
        self.oldest = oldest
        self.end = end

    @classmethod
    async def open(cls, reader: PartitionReader) -> LetterLog:
        """Look how far the letters reach.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        return cls(reader, *await reader.bounds(_LETTERS))

    async def one(self, number: int) -> KeptLetter:
        """The letter of an id.

        Raises:
            StoreUptimeError: there is no such letter.
            BrokerUnavailableError: no broker answers.
        """
        if self.oldest <= number < self.end:
            async for record in self._reader.records(_LETTERS, number, number + 1):
                return _kept(record)
        there = f"{self.oldest} to {self.end - 1} are kept" if self.end > self.oldest else "none is"
        raise StoreUptimeError(f"there is no dead letter {number}: {there}")

    async def oldest_first(self, wanted: LetterFilter) -> AsyncIterator[KeptLetter]:
        """The letters that are meant, one at a time.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        async for record in self._reader.records(_LETTERS, await self._first(wanted), self.end):
            kept = _kept(record)
            if wanted.takes(kept.letter):
                yield kept

    async def newest(
        self, wanted: LetterFilter, limit: int, shorten: Callable[[KeptLetter], Short]
    ) -> tuple[list[Short], int]:
        """The newest letters that are meant, newest first, and how many more there are.

        Args:
            wanted: which ones.
            limit: how many to give.
            shorten: what to keep of a letter as it is read: originals can be megabytes.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        found: list[Short] = []
        more = 0
        first = await self._first(wanted)
        end = self.end
        while end > first:
            if len(found) >= limit and wanted.takes_all:
                # all that is left is meant: no need to read it
                return found, more + end - first
            start_of_chunk = max(first, end - CHUNK_RECORDS)
            chunk: list[Short] = []
            async for record in self._reader.records(_LETTERS, start_of_chunk, end):
                kept = _kept(record)
                if wanted.takes(kept.letter):
                    chunk.append(shorten(kept))
            room = max(0, limit - len(found))
            found += reversed(chunk[-room:] if room else [])
            more += max(0, len(chunk) - room)
            end = start_of_chunk
        return found, more

    async def _first(self, wanted: LetterFilter) -> int:
        if wanted.since is None:
            return self.oldest
        first = await self._reader.first_since(_LETTERS, wanted.since)
        return self.end if first is None else max(first, self.oldest)


def _kept(record: Any) -> KeptLetter:
    try:
        letter = decode_dead_letter(record.value)
    except RecordError as error:
        # someone else's record: shown like the others, as it is
        letter = DeadLetter({}, f"not a dead letter of ours: {error}", record.value, record.key)
    return KeptLetter(record.offset, record.timestamp * 1000, letter)
