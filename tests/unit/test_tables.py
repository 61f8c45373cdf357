"""The facts table: the changelog first, the database when the changelog holds it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from faust.types import TP

from stream_app.contracts.topics import FACTS_TABLE, MAX_STATE_BYTES, changelog
from stream_app.domain.buckets import Bucket
from stream_app.tables import (
    FactsTable,
    bucket_key,
    decode_rows,
    encode_rows,
    is_bucket_key,
    store_key,
)
from tests.agent_fakes import Failures, FakeProducer, settings_with, settle, store_in

CHANGELOG = changelog(FACTS_TABLE).name
OFFSET_KEY = b"__faust\0offset__"


class FakeData:
    """Faust's store object: a dictionary a partition, and the persisted offsets."""

    offset_key = OFFSET_KEY

    def __init__(self) -> None:
        self.databases: dict[int, FakeDatabase] = {}
        self.offsets: dict[TP, int] = {}

    def _db_for_partition(self, partition: int) -> FakeDatabase:
        return self.databases.setdefault(partition, FakeDatabase())

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        self.offsets[tp] = offset


class FakeDatabase(dict[bytes, bytes]):
    """A RocksDB that keeps the order of its puts."""

    def __init__(self) -> None:
        super().__init__()
        self.puts: list[tuple[bytes, bytes]] = []
        self.error: Exception | None = None

    def put(self, key: bytes, value: bytes) -> None:
        if self.error is not None:
            raise self.error
        self[key] = value
        self.puts.append((key, value))


class FakeApp:
    """Faust's app as far as it makes a table."""

    def __init__(self) -> None:
        self.data = FakeData()
        self.callbacks: list[Any] = []

    def Table(self, name: str, **options: Any) -> Any:  # noqa: N802  Faust's name
        assert name == FACTS_TABLE
        assert options["key_type"] is options["value_type"] is bytes
        return SimpleNamespace(data=self.data, on_recover=self.callbacks.append)


class Desk:
    """A table of the partitions 0 and 1 among fakes."""

    def __init__(self) -> None:
        app = FakeApp()
        self.data = app.data
        self.failures = Failures()
        self.producer = FakeProducer()
        self.facts = FactsTable(app, settings_with(), self.failures)
        self.facts._producer = self.producer
        self.facts.open([0, 1])

    def database(self, partition: int = 0) -> FakeDatabase:
        return self.data._db_for_partition(partition)

    async def arrive(self, position: int, offset: int) -> None:
        self.producer.sent[position].arrive(offset)
        await settle()

    def offset(self, partition: int = 0) -> int | None:
        self.facts.persist_offsets()
        return self.data.offsets.get(TP(CHANGELOG, partition))


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_write_is_seen_at_once_and_stored_when_the_changelog_holds_it(desk: Desk) -> None:
    logged = await desk.facts.put(0, b"k", b"v")

    (sent,) = desk.producer.sent
    assert (sent.topic, sent.key, sent.value, sent.partition) == (CHANGELOG, b"k", b"v", 0)
    assert desk.facts.get(0, b"k") == b"v"
    assert desk.database() == {}
    assert not logged.done()

    await desk.arrive(0, offset=12)

    assert logged.done()
    assert desk.database() == {b"k": b"v"}
    assert desk.facts.get(0, b"k") == b"v"
    assert desk.facts._overlay == {}


async def test_what_is_written_by_recovery_is_read(desk: Desk) -> None:
    desk.database(1)[b"k"] = b"recovered"

    assert desk.facts.get(1, b"k") == b"recovered"
    assert desk.facts.get(0, b"k") is None


async def test_two_writes_of_a_key_are_stored_in_order_and_the_last_is_seen(desk: Desk) -> None:
    await desk.facts.put(0, b"k", b"first")
    await desk.facts.put(0, b"k", b"second")
    assert desk.facts.get(0, b"k") == b"second"

    await desk.arrive(0, offset=1)
    assert desk.facts.get(0, b"k") == b"second"
    assert desk.database() == {b"k": b"first"}
    await desk.arrive(1, offset=2)

    assert desk.database().puts == [(b"k", b"first"), (b"k", b"second")]
    assert desk.facts.get(0, b"k") == b"second"
    assert desk.facts._overlay == {}


async def test_a_write_that_fails_is_not_stored(desk: Desk) -> None:
    logged = await desk.facts.put(0, b"k", b"v")

    desk.producer.sent[0].future.set_exception(OSError("lost"))
    await settle()

    assert desk.database() == {}
    assert desk.offset() is None
    assert isinstance(logged.exception(), OSError)


async def test_a_write_that_cannot_be_sent_raises(desk: Desk) -> None:
    desk.producer.error = OSError("full")

    with pytest.raises(OSError, match="full"):
        await desk.facts.put(0, b"k", b"v")
    assert desk.database() == {}


async def test_a_value_that_no_changelog_record_holds_is_refused(desk: Desk) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        await desk.facts.put(0, b"k", b"v" * MAX_STATE_BYTES)
    assert desk.facts.get(0, b"k") is None


async def test_a_database_that_fails_ends_the_worker(desk: Desk) -> None:
    desk.database().error = error = OSError("no space left")
    await desk.facts.put(0, b"k", b"v")

    await desk.arrive(0, offset=3)

    assert desk.failures.errors == [error]
    assert desk.offset() is None


# -- offsets


async def test_the_persisted_offset_is_of_the_last_record_that_is_stored(desk: Desk) -> None:
    for key in (b"a", b"b", b"c"):
        await desk.facts.put(0, key, b"v")
    await desk.facts.put(1, b"d", b"v")
    assert desk.offset() is None

    await desk.arrive(0, offset=10)
    assert desk.offset() == 10
    await desk.arrive(1, offset=11)
    assert (desk.offset(), desk.offset(1)) == (11, None)
    await desk.arrive(3, offset=4)

    assert (desk.offset(), desk.offset(1)) == (11, 4)


async def test_closing_persists_and_what_is_logged_later_belongs_to_the_next_owner(
    desk: Desk,
) -> None:
    await desk.facts.put(0, b"a", b"v")
    await desk.facts.put(0, b"b", b"v")
    await desk.arrive(0, offset=10)

    desk.facts.close()
    await desk.arrive(1, offset=11)

    assert desk.database() == {b"a": b"v"}
    assert desk.offset() == 10
    assert desk.facts.get(0, b"b") == b"v"  # what is in hand may still be read


async def test_opening_forgets_what_was_in_hand(desk: Desk) -> None:
    await desk.facts.put(0, b"k", b"mine")
    desk.facts.close()
    desk.database()[b"k"] = b"recovered"

    desk.facts.open([0])

    assert desk.facts.get(0, b"k") == b"recovered"
    assert desk.offset() is None


async def test_only_what_was_opened_last_is_open(desk: Desk) -> None:
    await desk.facts.put(0, b"k", b"v")

    desk.facts.open([1])
    await desk.arrive(0, offset=10)

    assert desk.database() == {}
    assert desk.offset() is None


# -- keys and values


async def test_items_are_all_but_the_offset(desk: Desk) -> None:
    desk.database(1).update({b"a": b"1", OFFSET_KEY: b"17", b"b": b"2"})

    assert list(desk.facts.items(1)) == [(b"a", b"1"), (b"b", b"2")]


def test_every_bucket_has_a_key_of_its_own_that_begins_with_the_store() -> None:
    store = store_key(store_in(0).upper())
    buckets = [Bucket(cold=cold, slot=slot) for cold in (False, True) for slot in (0, 4, 300, 2047)]

    keys = {bucket_key(store, bucket) for bucket in buckets}

    assert len(keys) == len(buckets)
    assert all(key.startswith(store) and is_bucket_key(key) for key in keys)
    assert not is_bucket_key(store + b"h")


def test_hours_read_back() -> None:
    rows = [(0, "09:00", "17:00"), (6, "22:00", "02:00")]

    assert decode_rows(encode_rows(rows)) == rows
