"""The facts table as the agents use it: reads and writes of the partitions that are open here.

The changelog comes first: a write goes to the changelog and into an overlay that reads see at
once, and to the local database when the changelog holds it. So the local state is never ahead of
the log, whatever crashes, and a source record is acknowledged when its changelog records are.

A partition is opened for one claim. Writes in flight of an earlier claim never reach a database:
the broker refuses their batches, or the next restore reads them back.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

from aiokafka.errors import ProducerFenced

from stream_app.contracts.topics import FACTS_TABLE, MAX_STATE_BYTES, changelog
from stream_app.errors import RevokedError, TableError
from stream_app.kafka.fenced_producer import FencedProducer
from stream_app.worker.facts.database import checkpoint_after

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stream_app.errors import OnFatalError
    from stream_app.kafka.batch_producer import Batch, BatchMetadata
    from stream_app.settings import Settings
    from stream_app.worker.facts.database import FactsDatabase

log = logging.getLogger(__name__)

CHANGELOG: Final = changelog(FACTS_TABLE).name
"""Name of the changelog topic."""

_MAX_BATCH_BYTES: Final = 262_144
"""Largest batch of changelog records; a larger record is a batch of its own."""

MAX_UNACKNOWLEDGED_BYTES: Final = 4 << 20
"""Bytes of one partition that may be in flight to the changelog before more are written."""

_MAX_VALUE_BYTES: Final = MAX_STATE_BYTES - 1000


class _Deletion:
    """The deletion of a key; each deletion is an object of its own, as each value is."""


class OpenPartition:
    """A partition that is claimed and restored; reads and writes until it is revoked.

    Args:
        database: restored up to the claim.
        producer: the producer of the changelog, with the partition claimed.
        on_interrupted: called with whether somebody else has claimed the partition since; if not,
            somebody else's records stand in the changelog between those of this worker.
    """

    def __init__(
        self,
        database: FactsDatabase,
        producer: FencedProducer,
        on_interrupted: Callable[[int, bool], None],
        on_fatal_error: OnFatalError,
    ) -> None:
        self._database = database
        self._producer = producer
        self._on_interrupted = on_interrupted
        self._on_fatal_error = on_fatal_error
        self._overlay: dict[bytes, bytes | _Deletion] = {}
        self._in_flight: dict[Batch, list[tuple[bytes, bytes | _Deletion]]] = {}
        self._closed = False
        self._interrupted = False

    @property
    def unacknowledged(self) -> int:
        """Return the changelog records that the broker has not acknowledged yet."""
        return sum(map(len, self._in_flight.values()))

    @property
    def unacknowledged_bytes(self) -> int:
        """Return the bytes of the values of these records."""
        return sum(
            len(_written(value) or b"")
            for entries in self._in_flight.values()
            for _, value in entries
        )

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key.

        Raises:
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        if self._closed:
            raise self._revoked_error()
        if key in self._overlay:
            return _written(self._overlay[key])
        return self._database.get(key)

    def scan_stores(
        self, stores: Iterable[bytes], suffixes: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[bytes | None]]]:
        """Yield the values of some keys of each store, all as they are at the first one.

        Args:
            stores: the first parts of the keys, in ascending order, read one at a time.
            suffixes: the last parts of the keys of every store, in ascending order.

        Raises:
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
            ValueError: a store is not in order.
        """
        if self._closed:
            raise self._revoked_error()
        # a copy of this moment, as the database is read: acknowledged values leave the overlay
        overlay = self._overlay.copy()
        for store, values in self._database.scan_stores(stores, suffixes):
            if overlay:
                for index, suffix in enumerate(suffixes):
                    written_value = overlay.get(store + suffix)
                    if written_value is not None:
                        values[index] = _written(written_value)
            yield store, values

    def put(self, key: bytes, value: bytes | None) -> Batch:
        """Write a value, visible to `get` at once; None deletes the key.

        Returns:
            the batch of changelog records that it is in.

        Raises:
            RevokedError: the partition is closed.
            ValueError: the value is larger than a changelog record may be.
        """
        if self._closed:
            raise self._revoked_error()
        if value is not None and len(value) > _MAX_VALUE_BYTES:
            raise ValueError(f"a value of {len(value)} bytes does not fit the changelog")
        batch = self._producer.add(self._database.partition, key, value)
        written_value = _Deletion() if value is None else value
        self._overlay[key] = written_value
        entries = self._in_flight.get(batch)
        if entries is None:
            entries = self._in_flight[batch] = []
            batch.sent.add_done_callback(partial(self._on_acknowledged, batch))
        entries.append((key, written_value))
        return batch

    def facts(self) -> Iterator[tuple[bytes, bytes]]:
        """Return all facts of stores that the database holds, in the order of their keys."""
        return self._database.facts()

    async def wait_for_capacity(self) -> None:
        """Wait until so little is in flight to the changelog that more may be written."""
        await self._producer.wait_for_capacity(self._database.partition, MAX_UNACKNOWLEDGED_BYTES)

    def close(self) -> None:
        """Read and write nothing more: the partition may be another worker's now.

        What is in flight never reaches the database: the broker refuses it, or the next restore
        reads it back.
        """
        self._closed = True

    def _revoked_error(self) -> RevokedError:
        return RevokedError(f"partition {self._database.partition} is not open in this worker")

    def _on_acknowledged(self, batch: Batch, sent: asyncio.Future[BatchMetadata]) -> None:
        entries = self._in_flight.pop(batch)
        if self._closed or self._interrupted or sent.cancelled():
            return
        error = sent.exception()
        if error is not None:
            # the changelog may hold it or not: with what comes behind it, the database would be
            # no prefix of the changelog any more
            self._interrupted = True
            if isinstance(error, ProducerFenced):
                self._on_interrupted(self._database.partition, True)
            else:
                self._on_fatal_error(error)
            return
        # the batches of a partition are acknowledged in their order
        first_offset = sent.result().first_offset
        if first_offset != self._database.checkpoint.next_offset:
            # a restore reads what stands between in the log's order
            self._interrupted = True
            self._on_interrupted(self._database.partition, False)
            return
        last_offset = first_offset + batch.count - 1
        written = [(key, _written(written_value)) for key, written_value in entries]
        try:
            self._database.write(written, checkpoint_after(last_offset, *written[-1]))
        except TableError as table_error:
            self._on_fatal_error(table_error)
            return
        for key, written_value in entries:
            if self._overlay.get(key) is written_value:
                del self._overlay[key]


def _written(written_value: bytes | _Deletion) -> bytes | None:
    return None if isinstance(written_value, _Deletion) else written_value


class FactsTable:
    """The open partitions of this worker.

    Args:
        settings: how to reach the broker.
    """

    def __init__(self, settings: Settings, on_fatal_error: OnFatalError) -> None:
        self.producer = FencedProducer(settings, CHANGELOG, max_batch_size=_MAX_BATCH_BYTES)
        self._on_fatal_error = on_fatal_error
        self._open: dict[int, OpenPartition] = {}

    async def start(self) -> None:
        """Connect the changelog's producer.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self.producer.start()

    async def stop(self) -> None:
        """Send the waiting records and disconnect."""
        await self.producer.stop()

    def open(
        self, database: FactsDatabase, on_interrupted: Callable[[int, bool], None]
    ) -> OpenPartition:
        """Open a partition that is claimed and restored."""
        opened = OpenPartition(database, self.producer, on_interrupted, self._on_fatal_error)
        self._open[database.partition] = opened
        return opened

    def revoke(self, partition: int) -> None:
        """Close a partition: nothing is read or written in it before it is opened again."""
        opened = self._open.pop(partition, None)
        if opened is not None:
            opened.close()

    @property
    def unacknowledged(self) -> int:
        """Return the changelog records of all open partitions that are not acknowledged yet."""
        return sum(opened.unacknowledged for opened in self._open.values())

    @property
    def unacknowledged_bytes(self) -> int:
        """Return the bytes of the values of these records."""
        return sum(opened.unacknowledged_bytes for opened in self._open.values())
