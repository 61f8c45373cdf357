"""The facts table: all that is known of a store, in RocksDB with a changelog in Kafka.

Keys are the store's 16 bytes, a tag, and for polls a slot:

    <store> h            business hours: the JSON rows as they came, trimmed (encode_fact)
    <store> z            zone name (encode_fact)
    <store> c <slot>     the tail (0) or the middle (1) of its polls   (domain.buckets)
    <store> d <slot>     a cold bucket of polls

Faust recovers the table, assigns its partitions and keeps its databases. Writes do not go
through Faust's dictionary, which writes locally first and commits a source offset without
waiting for the changelog. Here the log comes first: a write goes to the changelog and into
an overlay that reads see at once, and to the local database when the changelog holds it. So
the local state is never ahead of the log, whatever crashes, and an event is acknowledged
when its changelog records are.

Before a partition is recovered it is claimed: from then on its changelog takes no record of
any earlier owner, and the local database is gone on with only if it agrees with the
changelog. See docs/design/state.md.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import orjson
from faust.types import TP
from rocksdict import WriteBatch

from stream_app.contracts.revisions import (
    REVISION_BYTES,
    Revision,
    decode_revision,
    encode_revision,
)
from stream_app.contracts.topics import FACTS_TABLE, MAX_STATE_BYTES, changelog
from stream_app.domain.buckets import Bucket
from stream_app.domain.polls import from_bytes
from stream_app.errors import TableError
from stream_app.kafka.fenced import FencedProducer
from stream_app.kafka.lookup import first_records

if TYPE_CHECKING:
    from array import array
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    import faust

    from stream_app.kafka.batches import Acknowledged, Batch
    from stream_app.settings import Settings

log = logging.getLogger(__name__)

STORE_BYTES: Final = 16
HOURS_TAG: Final = b"h"
ZONE_TAG: Final = b"z"
RECENT_TAG: Final = b"c"
COLD_TAG: Final = b"d"

CLAIM_KEY: Final = b"claim"
"""Of the record that every claim of a partition begins with; shorter than any store's key."""

NOTE_KEY: Final = b"note"
"""Of the changelog record up to which a database agrees with its changelog; in no changelog."""

_CHANGELOG: Final = changelog(FACTS_TABLE).name
_LINGER_SECONDS: Final = 0.02
"""Nobody waits for the changelog but a source's commit: what is written is read at once."""

_MAX_BATCH_BYTES: Final = 262_144

WAITING_BYTES: Final = 4 << 20
"""Of one partition, that may wait for the changelog before its next source record is taken."""

_MAX_VALUE_BYTES: Final = MAX_STATE_BYTES - 1000
_MIB: Final = 1024 * 1024

_WITH_REVISION: Final = b"\xff"
"""The first byte of a fact that has a revision; no UTF-8 text, as a fact without one is, has it."""


def store_key(store_id: str) -> bytes:
    """The 16 bytes of a canonical store id."""
    return bytes.fromhex(store_id.replace("-", ""))


def bucket_key(store: bytes, bucket: Bucket) -> bytes:
    """The key of a bucket of polls."""
    return store + (COLD_TAG if bucket.cold else RECENT_TAG) + bucket.slot.to_bytes(2)


def encode_rows(rows: Sequence[tuple[int, str, str]]) -> bytes:
    """The value under the hours tag."""
    return orjson.dumps(rows)


def decode_rows(value: bytes) -> list[tuple[int, str, str]]:
    """Read what `encode_rows` wrote."""
    return [(day, start, end) for day, start, end in orjson.loads(value)]


def encode_fact(revision: Revision, content: bytes) -> bytes:
    """The value under the tag of a fact of which a store's newest record counts."""
    return _WITH_REVISION + encode_revision(revision) + content


def decode_fact(value: bytes | None) -> tuple[Revision | None, bytes | None]:
    """Read what `encode_fact` wrote, or a value of an earlier version, which has no revision.

    Returns:
        the revision and the content; None for what is not there.
    """
    if value is None or not value.startswith(_WITH_REVISION):
        return None, value
    start = len(_WITH_REVISION) + REVISION_BYTES
    return decode_revision(value[len(_WITH_REVISION) : start]), value[start:]


def bucket_of(key: bytes) -> Bucket | None:
    """The bucket under a key; None where it holds no polls."""
    if len(key) != STORE_BYTES + 3:
        return None
    return _bucket(key[STORE_BYTES:])


@lru_cache(maxsize=4096)
def _bucket(suffix: bytes) -> Bucket:
    return Bucket(cold=suffix[:1] == COLD_TAG, slot=int.from_bytes(suffix[1:]))


@dataclass(frozen=True, slots=True)
class _Note:
    """A changelog record by its offset and a digest of what it holds."""

    offset: int
    digest: str

    @classmethod
    def of(cls, offset: int, key: bytes, value: bytes) -> _Note:
        return cls(offset, blake2b(len(key).to_bytes(4) + key + value, digest_size=16).hexdigest())

    def encode(self) -> bytes:
        return orjson.dumps([self.offset, self.digest])

    @classmethod
    def decode(cls, stored: bytes | None) -> _Note | None:
        return None if stored is None else cls(*orjson.loads(stored))


class FactsTable:
    """Reads and writes by partition, the changelog first.

    Args:
        app: the Faust app that recovers the table and owns its databases.
        settings: how to reach the broker.
        fail: called with an error after which this worker must not go on.
    """

    def __init__(
        self, app: faust.App, settings: Settings, fail: Callable[[BaseException], None]
    ) -> None:
        self._settings = settings
        self._fail = fail
        self._table = app.Table(
            FACTS_TABLE,
            partitions=settings.partitions,
            key_type=bytes,
            value_type=bytes,
            options={
                "driver": "rocksdict",
                # the defaults take gigabytes: these hold for each partition's database
                "block_cache_size": 8 * _MIB,
                "write_buffer_size": 4 * _MIB,
                "max_write_buffer_number": 2,
                "bloom_filter_size": 10,
            },
        )
        self._producer = FencedProducer(settings, _CHANGELOG, max_batch_size=_MAX_BATCH_BYTES)
        self._claims: dict[int, int] = {}
        self._failures: dict[int, TableError] = {}
        self._open: set[int] = set()
        self._overlays: defaultdict[int, dict[bytes, bytes]] = defaultdict(dict)
        self._on_their_way: dict[Batch, list[tuple[bytes, bytes]]] = {}
        self._logged: dict[int, tuple[int, bytes, bytes]] = {}
        self._claim_value = b""

    async def start(self) -> None:
        """Connect the changelog's producer.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        await self._producer.start()

    async def stop(self) -> None:
        """Send what is waiting and disconnect."""
        await self._producer.stop()

    async def claim(self, partitions: Iterable[int]) -> None:
        """Shut out every earlier writer of these partitions, before they are recovered.

        A database that is damaged, or does not agree with its changelog, is removed: recovery
        reads the partition back from the changelog, which is the truth.

        Raises:
            BrokerUnavailableError: no broker answers.
            TableError: a database cannot be opened.
        """
        claimed = sorted(partitions)
        value = uuid4().bytes
        await self._producer.claim(claimed)
        offsets = await asyncio.gather(*(self._write_claim(p, value) for p in claimed))
        self._claim_value = value
        self._claims = dict(zip(claimed, offsets, strict=True))
        await self._remove_strange()
        absent = []
        for partition, offset in self._claims.items():
            persisted = self._persisted_offset(partition)
            if persisted is None and offset > 0:
                absent.append(partition)
            elif persisted == offset - 1:
                # it holds all that came before: nothing to recover
                database = self._database(partition)
                database.put(CLAIM_KEY, value)
                self._table.data.set_persisted_offset(TP(_CHANGELOG, partition), offset)
        if absent:
            log.info(
                "no database of partitions %s here: they are read back from the changelog",
                ", ".join(map(str, absent)),
            )

    async def _write_claim(self, partition: int, value: bytes) -> int:
        """Send the first record of a claim; its offset."""
        batch = self._producer.add(partition, CLAIM_KEY, value)
        return (await batch.sent).first_offset

    async def _remove_strange(self) -> None:
        """Remove the databases that come of another log than the one that is there now.

        A broker that was put back from a backup writes other records at the offsets that it lost.
        """
        noted: dict[int, _Note] = {}
        for partition, claim in self._claims.items():
            persisted = self._persisted_offset(partition)
            if persisted is None:
                continue
            if persisted >= claim:
                self._remove(
                    partition, f"is ahead of its changelog (at {persisted}, the log at {claim})"
                )
                continue
            note = _Note.decode(self._database(partition).get(NOTE_KEY))
            if note is None:
                self._remove(partition, "does not say which changelog it comes of")
            else:
                noted[partition] = note
        offsets = {partition: note.offset for partition, note in noted.items()}
        records = await first_records(self._settings, _CHANGELOG, offsets)
        for partition, note in noted.items():
            record = records[partition]
            if note != _Note.of(record.offset, record.key, record.value):
                self._remove(partition, f"is not of this changelog (at offset {note.offset})")

    def on_recovered(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Call `callback` after every recovery, before any source record is handed out."""
        self._table.on_recover(callback)

    def behind(self, partitions: Iterable[int]) -> dict[TP, tuple[int | None, int]]:
        """The changelog partitions that are not recovered up to their claim.

        Returns:
            the offset that the database has reached, and that of the claim.
        """
        reached = {p: (self._persisted_offset(p), self._claims[p]) for p in partitions}
        return {
            TP(_CHANGELOG, partition): (persisted, claim)
            for partition, (persisted, claim) in reached.items()
            if persisted is None or persisted < claim
        }

    def open(self, partitions: Iterable[int]) -> None:
        """Take these partitions, and no others, as recovered and ours.

        Raises:
            TableError: one is not recovered up to its claim.
        """
        wanted = set(partitions)
        behind = self.behind(wanted)
        if behind:
            raise TableError(f"not recovered: {behind}")
        for partition in wanted:
            # how far Faust has come is no proof of what it has read: the claim is
            self._note(partition, _Note.of(self._claims[partition], CLAIM_KEY, self._claim_value))
        self._open = wanted
        self._overlays.clear()
        self._logged.clear()

    def close(self) -> None:
        """Leave the databases as they are: their partitions may be somebody else's next."""
        # a note that is behind only costs reading a little more
        with suppress(TableError):
            self.persist_offsets()
        self._open.clear()

    def get(self, partition: int, key: bytes) -> bytes | None:
        """The value of a key in a partition that this worker owns.

        Raises:
            TableError: the database cannot be read.
        """
        value = self._overlays[partition].get(key)
        if value is not None:
            return value
        try:
            stored: bytes | None = self._database(partition).get(key)
        except Exception as error:
            raise self._failed(partition, error) from error
        return stored

    def put(self, partition: int, key: bytes, value: bytes) -> Batch:
        """Write a value, visible to `get` at once.

        Returns:
            the batch of changelog records that it is in.

        Raises:
            TableError: the partition's database has failed.
        """
        if len(value) > _MAX_VALUE_BYTES:
            raise ValueError(f"a value of {len(value)} bytes does not fit the changelog")
        if partition in self._failures:
            raise self._failures[partition]
        self._overlays[partition][key] = value
        batch = self._producer.add(partition, key, value)
        entries = self._on_their_way.get(batch)
        if entries is None:
            entries = self._on_their_way[batch] = []
            batch.sent.add_done_callback(partial(self._on_logged, partition, batch))
        entries.append((key, value))
        return batch

    async def room(self, partition: int) -> None:
        """Wait until so little of a partition waits for its changelog that more may be written."""
        await self._producer.room(partition, WAITING_BYTES)

    def items(self, partition: int) -> Iterator[tuple[bytes, bytes]]:
        """All that is known of stores in a partition's database, in the order of the keys.

        Raises:
            TableError: the database cannot be read to its end.
        """
        ours = (self._table.data.offset_key, CLAIM_KEY, NOTE_KEY)
        try:
            entries = self._database(partition).iter()
            entries.seek_to_first()
            while entries.valid():
                key = entries.key()
                if key not in ours:
                    yield key, entries.value()
                entries.next()
            # one that meets a damaged block ends there as if nothing came behind it
            entries.status()
        except Exception as error:
            raise self._failed(partition, error) from error

    def persist_offsets(self) -> None:
        """Note how far the databases agree with the changelog, so that a restart reads little.

        A note that is behind only costs reading a little more; one a write would cost a write.

        Raises:
            TableError: a database cannot be written.
        """
        for partition, logged in self._logged.items():
            if partition in self._open:
                self._note(partition, _Note.of(*logged))
        self._logged.clear()

    def _note(self, partition: int, note: _Note) -> None:
        try:
            self._database(partition).put(NOTE_KEY, note.encode())
            self._table.data.set_persisted_offset(TP(_CHANGELOG, partition), note.offset)
        except Exception as error:
            raise self._failed(partition, error) from error

    def _on_logged(self, partition: int, batch: Batch, sent: asyncio.Future[Acknowledged]) -> None:
        entries = self._on_their_way.pop(batch)
        if sent.cancelled() or sent.exception() is not None or partition not in self._open:
            return
        together = WriteBatch(raw_mode=True)
        for key, value in entries:
            together.put(key, value)
        try:
            self._database(partition).write(together)
        except Exception as error:  # noqa: BLE001  rocksdict raises plain Exception
            self._fail(self._failed(partition, error))
            return
        # a partition's batches are logged in their order
        self._logged[partition] = (sent.result().first_offset + batch.count - 1, *entries[-1])
        overlay = self._overlays[partition]
        for key, value in entries:
            if overlay.get(key) is value:
                del overlay[key]

    def _persisted_offset(self, partition: int) -> int | None:
        """How far a database agrees with its changelog; one that is damaged is removed.

        Raises:
            TableError: it cannot be opened or read.
        """
        try:
            offset: int | None = self._table.data.persisted_offset(TP(_CHANGELOG, partition))
        except Exception as error:
            if not _is_damage(error):
                raise self._failed(partition, error) from error
            self._remove(partition, f"is damaged ({error})")
            return None
        return offset

    def _failed(self, partition: int, error: Exception) -> TableError:
        """The error for a database that fails; a damaged one does not live to the next start."""
        if isinstance(error, TableError):
            return error
        failed = TableError(f"the database of partition {partition} fails: {error}")
        # a new, empty one must not be taken for the state by who comes before this worker ends
        self._failures[partition] = failed
        if _is_damage(error):
            self._remove(partition, f"is damaged ({error})")
        return failed

    def _remove(self, partition: int, why: str) -> None:
        data = self._table.data
        folder = data.partition_path(partition)
        log.warning(
            "the database of partition %d %s: it is removed and read back from the changelog",
            partition,
            why,
        )
        database = data._dbs.pop(partition, None)  # noqa: SLF001  no public way
        if database is not None:
            database.close()
        shutil.rmtree(folder, ignore_errors=True)

    def _database(self, partition: int) -> Any:
        failed = self._failures.get(partition)
        if failed is not None:
            raise failed
        # Faust's own dictionary access takes the partition from the event being processed;
        # reports and recovery read by partition
        return self._table.data._db_for_partition(partition)  # noqa: SLF001  no public way


def _is_damage(error: Exception) -> bool:
    """Whether a database says that its files are not what they were."""
    return str(error).startswith(("Corruption", "IO error: No such file"))


def bucket_reader(
    facts: FactsTable, partition: int, store: bytes
) -> Callable[[Bucket], array[int]]:
    """Reads the buckets of polls of one store, as the domain asks for them."""

    def read(bucket: Bucket) -> array[int]:
        return from_bytes(facts.get(partition, bucket_key(store, bucket)))

    return read
