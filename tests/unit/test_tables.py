"""The facts table: the changelog first, the database when the changelog holds it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP
from rocksdict import Options, Rdict
from stream_app.tables import (
    CLAIM_KEY,
    NOTE_KEY,
    FactsTable,
    bucket_key,
    bucket_of,
    decode_rows,
    encode_rows,
    store_key,
)

from stream_app import tables
from stream_app.contracts.topics import FACTS_TABLE, MAX_STATE_BYTES, changelog
from stream_app.domain.buckets import Bucket
from stream_app.errors import TableError
from stream_app.kafka.batches import Acknowledged
from tests.agent_fakes import Failures, FakeBatch, FakeBatches, settings_with, settle, store_in

if TYPE_CHECKING:
    from pathlib import Path

CHANGELOG = changelog(FACTS_TABLE).name
OFFSET_KEY = b"__faust\0offset__"


class Data:
    """Faust's store object as far as the table uses it, around real databases."""

    offset_key = OFFSET_KEY

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._dbs: dict[int, Rdict] = {}

    def partition_path(self, partition: int) -> Path:
        return self._folder / f"facts-{partition}.db"

    def _db_for_partition(self, partition: int) -> Rdict:
        if partition not in self._dbs:
            self._dbs[partition] = Rdict(
                str(self.partition_path(partition)), Options(raw_mode=True)
            )
        return self._dbs[partition]

    def persisted_offset(self, tp: TP) -> int | None:
        offset = self._db_for_partition(tp.partition).get(OFFSET_KEY)
        return None if offset is None else int(offset)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        assert tp.topic == CHANGELOG
        self._db_for_partition(tp.partition).put(OFFSET_KEY, str(offset).encode())

    def restart(self) -> None:
        """As after the end of the process."""
        for database in self._dbs.values():
            database.close()
        self._dbs.clear()


class FullDisk:
    """A database that takes nothing more."""

    def put(self, *_: bytes) -> None:
        raise OSError("IO error: No space left on device")

    def write(self, _: object) -> None:
        raise OSError("IO error: No space left on device")

    def close(self) -> None:
        pass


class FakeBatchOfMany(FakeBatch):
    """A batch that takes another record."""

    count = 0

    def with_one_more(self) -> FakeBatchOfMany:
        self.count += 1
        return self


class FakeApp:
    """Faust's app as far as it makes a table."""

    def __init__(self, folder: Path) -> None:
        self.data = Data(folder)
        self.callbacks: list[Any] = []

    def Table(self, name: str, **options: Any) -> Any:  # noqa: N802  Faust's name
        assert name == FACTS_TABLE
        assert options["key_type"] is options["value_type"] is bytes
        return SimpleNamespace(data=self.data, on_recover=self.callbacks.append)


class FakeFencedProducer(FakeBatches):
    """The changelog: what was claimed, and what was sent."""

    def __init__(self) -> None:
        super().__init__()
        self.claimed: list[int] = []
        self.next_offset = 0
        self.log: dict[tuple[int, int], SimpleNamespace] = {}

    async def claim(self, partitions: list[int]) -> None:
        self.claimed += partitions

    def add(self, partition: int, key: bytes, value: bytes) -> Any:  # type: ignore[override]
        batch = super().add(CHANGELOG, partition, key, value)
        if key == CLAIM_KEY:
            self.sent.pop().arrive(self.next_offset)
            self.store(partition, self.next_offset, key, value)
        return batch

    def store(self, partition: int, offset: int, key: bytes, value: bytes) -> None:
        """The log has this record at this offset."""
        self.log[partition, offset] = SimpleNamespace(offset=offset, key=key, value=value)

    async def first_records(self, _: Any, topic: str, offsets: dict[int, int]) -> dict[int, Any]:
        assert topic == CHANGELOG
        return {
            partition: self.log[min(at for at in self.log if at >= (partition, offset))]
            for partition, offset in offsets.items()
        }


class Desk:
    """A table of the partitions 0 and 1, recovered and claimed at offset 0."""

    def __init__(self, folder: Path) -> None:
        app = FakeApp(folder)
        self.data = app.data
        self.failures = Failures()
        self.producer = FakeFencedProducer()
        self.facts = FactsTable(app, settings_with(), self.failures)
        self.facts._producer = self.producer  # type: ignore[assignment]

    async def recovered(self) -> Desk:
        await self.claim(offset=0)
        for partition in (0, 1):
            self.data.set_persisted_offset(TP(CHANGELOG, partition), 0)
        self.facts.open([0, 1])
        return self

    async def claim(self, offset: int, *partitions: int) -> None:
        self.producer.next_offset = offset
        await self.facts.claim(partitions or (0, 1))

    def content(self, partition: int = 0) -> dict[bytes, bytes]:
        """What the database itself holds."""
        items = self.data._db_for_partition(partition).items()
        return {k: value for k, value in items if k not in (OFFSET_KEY, CLAIM_KEY, NOTE_KEY)}

    async def arrive(self, position: int, offset: int) -> None:
        sent = self.producer.sent[position]
        assert sent.key is not None
        assert sent.partition is not None
        self.producer.store(sent.partition, offset, sent.key, sent.value)
        sent.arrive(offset)
        await settle()

    def offset(self, partition: int = 0) -> int | None:
        self.facts.persist_offsets()
        return self.data.persisted_offset(TP(CHANGELOG, partition))

    def damage(self, partition: int = 0) -> None:
        """Fill a database so that it takes many blocks, and write over one in the middle."""
        database = self.data._db_for_partition(partition)
        for number in range(20_000):
            database.put(number.to_bytes(16), bytes(100))
        database.flush()
        self.data.restart()
        (file,) = self.data.partition_path(partition).glob("*.sst")
        with file.open("r+b") as sst:
            sst.seek(file.stat().st_size // 2)
            sst.write(b"damage" * 100)


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A table before its first claim."""
    desk = Desk(tmp_path)
    monkeypatch.setattr(tables, "first_records", desk.producer.first_records)
    return desk


@pytest.fixture
async def desk(empty: Desk) -> Desk:
    return await empty.recovered()


async def test_a_write_is_seen_at_once_and_stored_when_the_changelog_holds_it(desk: Desk) -> None:
    batch = desk.facts.put(0, b"k", b"v")

    (sent,) = desk.producer.sent
    assert (sent.topic, sent.key, sent.value, sent.partition) == (CHANGELOG, b"k", b"v", 0)
    assert desk.facts.get(0, b"k") == b"v"
    assert desk.content() == {}
    assert not batch.sent.done()

    await desk.arrive(0, offset=12)

    assert batch.sent.done()
    assert desk.content() == {b"k": b"v"}
    assert desk.facts.get(0, b"k") == b"v"
    assert not any(desk.facts._overlays.values())


async def test_what_is_written_by_recovery_is_read(desk: Desk) -> None:
    desk.data._db_for_partition(1).put(b"k", b"recovered")

    assert desk.facts.get(1, b"k") == b"recovered"
    assert desk.facts.get(0, b"k") is None


async def test_two_writes_of_a_key_are_stored_in_order_and_the_last_is_seen(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"first")
    desk.facts.put(0, b"k", b"second")
    assert desk.facts.get(0, b"k") == b"second"

    await desk.arrive(0, offset=1)
    assert desk.facts.get(0, b"k") == b"second"
    assert desk.content() == {b"k": b"first"}
    await desk.arrive(1, offset=2)

    assert desk.content() == {b"k": b"second"}
    assert desk.facts.get(0, b"k") == b"second"
    assert not any(desk.facts._overlays.values())


async def test_writes_that_share_a_batch_are_stored_together_and_noted_by_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = FakeBatchOfMany(asyncio.get_running_loop().create_future())
    with monkeypatch.context() as patch:
        patch.setattr(desk.producer, "add", lambda *_: shared.with_one_more())
        for key, value in ((b"a", b"1"), (b"b", b"2"), (b"a", b"3")):
            assert desk.facts.put(0, key, value) is shared
    desk.producer.store(0, 12, b"a", b"3")

    shared.sent.set_result(Acknowledged(10, 0))
    await settle()

    assert desk.content() == {b"a": b"3", b"b": b"2"}
    assert desk.offset() == 12
    assert not any(desk.facts._overlays.values())
    desk.facts.close()
    await desk.claim(20, 0)
    assert desk.content() == {b"a": b"3", b"b": b"2"}, "the note is of the last record"


async def test_a_partition_reads_nothing_of_what_another_one_has_in_hand(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"v")

    assert desk.facts.get(1, b"k") is None


async def test_a_write_that_fails_is_not_stored(desk: Desk) -> None:
    batch = desk.facts.put(0, b"k", b"v")

    desk.producer.sent[0].future.set_exception(OSError("lost"))
    await settle()

    assert desk.content() == {}
    assert desk.offset() == 0
    assert isinstance(batch.sent.exception(), OSError)


async def test_a_write_that_cannot_be_sent_raises(desk: Desk) -> None:
    desk.producer.error = OSError("full")

    with pytest.raises(OSError, match="full"):
        desk.facts.put(0, b"k", b"v")
    assert desk.content() == {}


async def test_a_value_that_no_changelog_record_holds_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        desk.facts.put(0, b"k", b"v" * MAX_STATE_BYTES)
    assert desk.facts.get(0, b"k") is None


async def test_a_full_disk_ends_the_worker_with_nothing_noted(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"v")
    database, desk.data._dbs[0] = desk.data._dbs[0], FullDisk()

    await desk.arrive(0, offset=3)

    (error,) = desk.failures.errors
    assert isinstance(error, TableError)
    assert "No space left" in str(error)
    assert database.get(OFFSET_KEY) == b"0"
    assert desk.data.partition_path(0).exists()


# -- offsets


async def test_the_persisted_offset_is_of_the_last_record_that_is_stored(desk: Desk) -> None:
    for key in (b"a", b"b", b"c"):
        desk.facts.put(0, key, b"v")
    desk.facts.put(1, b"d", b"v")
    assert desk.offset() == 0

    await desk.arrive(0, offset=10)
    assert desk.offset() == 10
    await desk.arrive(1, offset=11)
    assert (desk.offset(), desk.offset(1)) == (11, 0)
    await desk.arrive(3, offset=4)

    assert (desk.offset(), desk.offset(1)) == (11, 4)


async def test_closing_persists_and_what_is_logged_later_belongs_to_the_next_owner(
    desk: Desk,
) -> None:
    desk.facts.put(0, b"a", b"v")
    desk.facts.put(0, b"b", b"v")
    await desk.arrive(0, offset=10)

    desk.facts.close()
    await desk.arrive(1, offset=11)

    assert desk.content() == {b"a": b"v"}
    assert desk.offset() == 10
    assert desk.facts.get(0, b"b") == b"v"  # what is in hand may still be read


async def test_opening_forgets_what_was_in_hand(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"mine")
    desk.facts.close()
    desk.data._db_for_partition(0).put(b"k", b"recovered")

    desk.facts.open([0])

    assert desk.facts.get(0, b"k") == b"recovered"
    assert desk.offset() == 0


async def test_a_full_disk_fails_the_noting_and_holds_up_no_closing(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"v")
    await desk.arrive(0, offset=3)
    database, desk.data._dbs[0] = desk.data._dbs[0], FullDisk()

    with pytest.raises(TableError, match="No space left"):
        desk.facts.persist_offsets()
    desk.facts.close()

    assert database.get(OFFSET_KEY) == b"0"


async def test_only_what_was_opened_last_is_open(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"v")

    desk.facts.open([1])
    await desk.arrive(0, offset=10)

    assert desk.content() == {}
    assert desk.offset() == 0


# -- claims


async def test_a_claim_is_the_first_record_of_every_partition(empty: Desk) -> None:
    desk = empty
    sent: list[tuple[bytes, int]] = []
    add = desk.producer.add

    def note(partition: int, key: bytes, value: bytes) -> Any:
        assert desk.producer.claimed == [1, 3], "before it was claimed it would shut nobody out"
        sent.append((key, partition))
        return add(partition, key, value)

    desk.producer.add = note  # type: ignore[method-assign]
    await desk.claim(0, 3, 1)

    assert sorted(sent) == [(CLAIM_KEY, 1), (CLAIM_KEY, 3)]


async def test_a_database_that_holds_all_before_the_claim_needs_no_recovery(desk: Desk) -> None:
    desk.facts.put(0, b"k", b"v")
    await desk.arrive(0, offset=6)
    desk.facts.close()

    await desk.claim(7, 0)

    assert desk.offset() == 7
    desk.facts.open([0])
    assert desk.facts.get(0, b"k") == b"v"


async def test_a_database_behind_the_claim_is_not_taken_for_recovered(desk: Desk) -> None:
    """Faust gives up a recovery that takes too long to begin, and goes on as if it were done."""
    await desk.claim(5, 0)

    with pytest.raises(TableError, match="not recovered"):
        desk.facts.open([0])
    desk.data.set_persisted_offset(TP(CHANGELOG, 0), 5)
    desk.facts.open([0])


async def test_a_database_ahead_of_its_changelog_is_removed(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.facts.put(0, b"k", b"of a changelog that is gone")
    await desk.arrive(0, offset=900)
    desk.facts.put(1, b"k", b"v")
    await desk.arrive(1, offset=2)
    desk.facts.close()

    await desk.claim(3, 0, 1)

    assert desk.content(0) == {}
    assert desk.offset(0) is None
    assert desk.content(1) == {b"k": b"v"}
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert line == (
        "the database of partition 0 is ahead of its changelog (at 900, the log at 3): "
        "it is removed and read back from the changelog"
    )


async def test_a_database_of_a_lost_history_is_removed_though_its_changelog_has_outgrown_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker was put back from a backup, and others wrote on from there."""
    for partition in (0, 1):
        desk.facts.put(partition, b"k", b"v")
        await desk.arrive(partition, offset=5)
    desk.facts.close()
    desk.producer.store(0, 5, b"k", b"another value")

    await desk.claim(900, 0, 1)

    assert desk.content(0) == {}
    assert desk.content(1) == {b"k": b"v"}
    assert "partition 0 is not of this changelog (at offset 5)" in caplog.text


async def test_where_the_noted_record_is_compacted_away_nothing_is_taken_on_trust(
    desk: Desk,
) -> None:
    desk.facts.put(0, b"k", b"v")
    await desk.arrive(0, offset=5)
    desk.facts.close()
    del desk.producer.log[0, 5]

    await desk.claim(900, 0)

    assert desk.content(0) == {}


async def test_a_database_that_says_nothing_of_its_changelog_is_removed(desk: Desk) -> None:
    desk.data._db_for_partition(0).delete(NOTE_KEY)
    desk.data._db_for_partition(0).put(b"k", b"v")

    await desk.claim(900, 0)

    assert desk.content(0) == {}


async def test_it_is_told_what_has_to_be_read_back(
    empty: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await empty.claim(0, 2)
    assert caplog.records == [], "there is nothing yet to read back"

    await empty.claim(7, 0, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "no database of partitions 0, 3 here: they are read back from the changelog"
    ]


# -- damage


async def test_reading_all_of_a_damaged_database_does_not_end_early_as_if_it_were_whole(
    desk: Desk,
) -> None:
    """RocksDB's iterator ends at the damaged block, and says why only when asked."""
    desk.damage()

    with pytest.raises(TableError, match="Corruption"):
        list(desk.facts.items(0))


async def test_a_damaged_database_is_removed_and_nothing_of_it_is_read_or_written_any_more(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.damage()
    with pytest.raises(TableError):
        list(desk.facts.items(0))

    assert not desk.data.partition_path(0).exists()
    # a new, empty database would answer that nothing is known, and be written back to the log
    with pytest.raises(TableError, match="Corruption"):
        desk.facts.get(0, bytes(16))
    with pytest.raises(TableError, match="Corruption"):
        desk.facts.put(0, bytes(16), b"v")
    assert desk.facts.get(1, bytes(16)) is None
    assert [r.getMessage() for r in caplog.records if "is damaged (Corruption" in r.getMessage()]


async def test_one_damaged_read_is_enough(desk: Desk) -> None:
    desk.damage()

    def read_all() -> None:
        for number in range(20_000):
            desk.facts.get(0, number.to_bytes(16))

    with pytest.raises(TableError, match="Corruption"):
        read_all()

    assert not desk.data.partition_path(0).exists()


@pytest.mark.parametrize("how", ["a file is gone", "the current file is nonsense"])
async def test_a_database_that_does_not_open_is_removed_when_it_is_claimed(
    desk: Desk, how: str
) -> None:
    desk.damage()
    folder = desk.data.partition_path(0)
    if how == "a file is gone":
        next(iter(folder.glob("*.sst"))).unlink()
    else:
        (folder / "CURRENT").write_text("nonsense")

    await desk.claim(9, 0)

    assert desk.content(0) == {}
    assert desk.offset(0) is None


async def test_a_database_that_is_locked_is_not_removed(desk: Desk) -> None:
    database = desk.data._dbs.pop(0)  # still open, as by another process

    with pytest.raises(TableError, match="lock"):
        await desk.claim(9, 0)

    assert desk.data.partition_path(0).exists()
    database.close()


# -- keys and values


async def test_items_are_all_but_the_offset_and_the_claim(desk: Desk) -> None:
    ours = ((OFFSET_KEY, b"17"), (CLAIM_KEY, b"-"), (NOTE_KEY, b"[1, 2]"))
    for key, value in ((b"a", b"1"), *ours, (b"z", b"2")):
        desk.data._db_for_partition(1).put(key, value)

    assert list(desk.facts.items(1)) == [(b"a", b"1"), (b"z", b"2")]


def test_every_bucket_has_a_key_of_its_own_that_begins_with_the_store() -> None:
    store = store_key(store_in(0).upper())
    buckets = [Bucket(cold=cold, slot=slot) for cold in (False, True) for slot in (0, 4, 300, 2047)]

    keys = {bucket_key(store, bucket) for bucket in buckets}

    assert len(keys) == len(buckets)
    assert all(key.startswith(store) for key in keys)
    assert [bucket_of(bucket_key(store, bucket)) for bucket in buckets] == buckets
    assert bucket_of(store + b"h") is None


def test_hours_read_back() -> None:
    rows = [(0, "09:00", "17:00"), (6, "22:00", "02:00")]

    assert decode_rows(encode_rows(rows)) == rows
