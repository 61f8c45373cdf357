"""A database has the content of a prefix of its changelog, and its checkpoint says which prefix."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rocksdict import Options, Rdict, WriteBatch

from stream_app.errors import TableError
from stream_app.worker.facts.database import (
    START,
    Checkpoint,
    FactsDatabase,
    checkpoint_after,
    record_digest,
)
from stream_app.worker.facts.databases import FactsDatabases
from stream_app.worker.facts.keys import CHECKPOINT_KEY, CLAIM_KEY, LOST_KEY, POSITION_KEY

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.worker.metrics import RemovalReason

AT_SEVEN = Checkpoint(7, 6, "digest")


class Harness:
    """The databases of one worker, with RocksDB and real files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "worker-1"
        self.removed: list[RemovalReason] = []
        self.databases = self._new()

    def _new(self) -> FactsDatabases:
        return FactsDatabases(self.folder, self.removed.append)

    async def restart(self) -> None:
        """Close all databases, and open them as a new process does."""
        await self.databases.stop()
        self.databases = self._new()

    def of(self, partition: int = 0) -> FactsDatabase:
        return self.databases.of(partition)

    def path(self, partition: int = 0) -> Path:
        return self.folder / "facts" / str(partition)

    async def damage(self, partition: int = 0) -> None:
        """Fill a database with many blocks, and overwrite one in the middle."""
        entries = ((number.to_bytes(16), bytes(100)) for number in range(20_000))
        self.of(partition).write(entries, AT_SEVEN)
        self.of(partition)._open().flush()
        await self.restart()
        (file,) = self.path(partition).glob("*.sst")
        with file.open("r+b") as sst:
            sst.seek(file.stat().st_size // 2)
            sst.write(b"damage" * 100)


class FullDisk:
    """A database on a full disk."""

    def write(self, _: object) -> None:
        raise OSError("IO error: No space left on device")

    def close(self) -> None:
        pass


@pytest.fixture
def harness(tmp_path: Path) -> Harness:
    return Harness(tmp_path)


def facts(database: FactsDatabase) -> dict[bytes, bytes]:
    return dict(database.facts())


# -- reading and writing


async def test_written_values_are_read_also_after_a_restart(harness: Harness) -> None:
    harness.of().write([(b"k" * 17, b"v"), (b"l" * 17, b"w")], AT_SEVEN)
    assert harness.of().get(b"k" * 17) == b"v"
    assert harness.of().get(b"m" * 17) is None
    assert harness.of(1).get(b"k" * 17) is None

    await harness.restart()

    assert facts(harness.of()) == {b"k" * 17: b"v", b"l" * 17: b"w"}
    assert harness.of().checkpoint == AT_SEVEN


async def test_a_new_database_is_empty_and_at_the_beginning_of_its_changelog(
    harness: Harness,
) -> None:
    assert harness.of().checkpoint == START
    assert facts(harness.of()) == {}
    await harness.restart()
    assert harness.of().checkpoint == START
    assert harness.removed == []


def test_a_tombstone_removes_a_key(harness: Harness) -> None:
    harness.of().write([(b"k" * 17, b"v"), (b"l" * 17, b"w")], AT_SEVEN)

    harness.of().write([(b"k" * 17, None), (b"nothing there".ljust(17), None)], AT_SEVEN.at(9))

    assert facts(harness.of()) == {b"l" * 17: b"w"}
    assert harness.of().checkpoint == Checkpoint(9, 6, "digest")


def test_facts_are_all_entries_except_those_about_the_partition(harness: Harness) -> None:
    about_partition = [(CLAIM_KEY, b"-"), (POSITION_KEY, b"{}"), (LOST_KEY, b"[]")]

    harness.of().write([(b"a" * 17, b"1"), *about_partition, (b"z" * 17, b"2")], AT_SEVEN)

    assert list(harness.of().facts()) == [(b"a" * 17, b"1"), (b"z" * 17, b"2")]
    assert harness.of().get(POSITION_KEY) == b"{}"


# -- scans

STORES = [bytes([number]) * 16 for number in range(1, 7)]
SUFFIXES = [b"c\0\0", b"d\0\x4f", b"d\0\x50", b"h", b"z"]
KEYS = [store + suffix for store in STORES for suffix in SUFFIXES]


@given(
    writes=st.lists(
        st.dictionaries(st.sampled_from(KEYS), st.none() | st.binary(min_size=1, max_size=3)),
        max_size=4,
    ),
    stores=st.sets(st.sampled_from(STORES)),
    suffixes=st.sets(st.sampled_from(SUFFIXES), min_size=1),
    flush=st.booleans(),
)
def test_a_scan_of_any_stores_and_keys_gives_what_each_read_gives(
    tmp_path_factory: pytest.TempPathFactory,
    writes: list[dict[bytes, bytes | None]],
    stores: set[bytes],
    suffixes: set[bytes],
    flush: bool,
) -> None:
    database = FactsDatabase(0, tmp_path_factory.mktemp("scan") / "0", lambda _: None)
    for number, entries in enumerate(writes):
        database.write(entries.items(), START.at(number))
        if flush:
            database._open().flush()

    scanned = list(database.scan_stores(sorted(stores), sorted(suffixes)))

    assert scanned == [
        (store, [database.get(store + suffix) for suffix in sorted(suffixes)])
        for store in sorted(stores)
    ]
    database.close()


class CountedReads:
    """A database whose iterators count what is asked of them."""

    def __init__(self, rocks: Rdict) -> None:
        self._rocks = rocks
        self.calls: Counter[str] = Counter()

    def iter(self, options: Any) -> Any:
        self.calls["iter"] += 1
        entries = self._rocks.iter(options)
        counted = SimpleNamespace()
        for name in ("seek", "seek_to_first", "next", "key", "value", "status"):
            setattr(counted, name, self._counted(name, getattr(entries, name)))
        return counted

    def _counted(self, name: str, method: Any) -> Any:
        def call(*arguments: Any) -> Any:
            self.calls[name] += 1
            return method(*arguments)

        return call


def test_a_scan_of_all_stores_goes_from_key_to_key_without_a_seek(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = [key for key in KEYS if not key.endswith(SUFFIXES[0])]
    harness.of().write([(key, b"v") for key in stored], AT_SEVEN)
    counted = CountedReads(harness.of()._open())
    monkeypatch.setattr(harness.of(), "_open", lambda: counted)

    assert len(list(harness.of().scan_stores(STORES, SUFFIXES))) == len(STORES)

    assert counted.calls["value"] == len(stored)
    assert counted.calls["next"] == len(stored) - 1
    assert counted.calls["seek"] == 0
    assert counted.calls["iter"] == 1


def test_a_scan_of_some_keys_passes_over_the_others_with_one_seek(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.of().write([(key, b"v") for key in KEYS], AT_SEVEN)
    counted = CountedReads(harness.of()._open())
    monkeypatch.setattr(harness.of(), "_open", lambda: counted)

    list(harness.of().scan_stores(STORES[1:5:3], SUFFIXES))

    assert counted.calls["seek"] == 2
    assert counted.calls["value"] == 2 * len(SUFFIXES)


def test_stores_that_are_not_in_order_are_not_scanned(harness: Harness) -> None:
    with pytest.raises(ValueError, match="ascending order"):
        list(harness.of().scan_stores([STORES[1], STORES[0]], SUFFIXES))


# -- checkpoints


def test_the_checkpoint_is_in_the_same_write_as_the_data(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may end between two writes: then the checkpoint would not fit the data."""
    written: list[int] = []
    real = Rdict.write

    def count(self: Rdict, batch: WriteBatch, *arguments: object) -> None:
        written.append(len(batch))
        real(self, batch, *arguments)

    monkeypatch.setattr(Rdict, "write", count)
    monkeypatch.setattr(Rdict, "put", None)
    monkeypatch.setattr(Rdict, "__setitem__", None)

    harness.of().write([(b"k" * 17, b"v"), (b"l" * 17, None)], AT_SEVEN)

    assert written == [3]


WRITER = """
import os, signal, sys
from pathlib import Path
from stream_app.worker.facts.database import FactsDatabase, checkpoint_after
database = FactsDatabase(0, Path(sys.argv[1]), print)
for offset in range(database.checkpoint.next_offset, 1_000_000):
    key, value = b"%017d" % (offset % 50), b"%d" % offset
    entries = [(key, value), (b"newest".ljust(17), value)]
    database.write(entries, checkpoint_after(offset, key, value))
    print(offset, flush=True)
"""


def test_after_a_kill_at_any_instant_a_database_has_a_prefix_of_the_writes(tmp_path: Path) -> None:
    folder = tmp_path / "0"
    for lines in (1, 7, 200):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        seen = [int(writer.stdout.readline()) for _ in range(lines)][-1]
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()

        database = FactsDatabase(0, folder, print)
        reached = database.checkpoint.next_offset
        assert reached > seen, "a write was lost"
        latest: dict[bytes, bytes] = {}
        for offset in range(reached):
            latest[b"%017d" % (offset % 50)] = b"%d" % offset
        latest[b"newest".ljust(17)] = b"%d" % (reached - 1)
        assert dict(database.facts()) == latest
        database.close()


# -- the checkpoint


def test_a_checkpoint_reads_back() -> None:
    assert Checkpoint.decode(AT_SEVEN.encode()) == AT_SEVEN
    assert Checkpoint.decode(START.encode()) == START


def test_a_checkpoint_is_behind_its_record_and_has_a_digest_of_it() -> None:
    checkpoint = checkpoint_after(6, b"k", b"v")

    assert (checkpoint.next_offset, checkpoint.last_offset) == (7, 6)
    assert checkpoint.at(20) == Checkpoint(20, 6, checkpoint.digest)
    others = [(b"k", b"w"), (b"l", b"v"), (b"kv", b""), (b"", b"kv"), (None, b"kv"), (b"k", None)]
    assert checkpoint.digest not in {record_digest(*other) for other in others}


@pytest.mark.parametrize(
    "value", [b"nonsense", b"7", b"null", b"[1,2]", b'["a","b","c"]', b'[1.5,0,""]', b'{"a":1}']
)
async def test_a_database_whose_checkpoint_cannot_be_read_is_removed(
    harness: Harness, value: bytes
) -> None:
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)
    harness.of()._open()[CHECKPOINT_KEY] = value
    await harness.restart()

    assert harness.of().checkpoint == START
    assert facts(harness.of()) == {}
    assert harness.removed == ["damaged"]


async def test_a_database_without_a_checkpoint_is_removed(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """Entries that the changelog does not have would stay in the database for ever."""
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)
    harness.of()._open().delete(CHECKPOINT_KEY)
    await harness.restart()

    assert harness.of().checkpoint == START
    assert facts(harness.of()) == {}
    assert harness.removed == ["no_checkpoint"]
    assert "partition 0 does not say which changelog it comes of" in caplog.text


async def test_the_offsets_of_databases_are_known_after_the_start(harness: Harness) -> None:
    harness.of(0).write([], AT_SEVEN)
    harness.of(2).write([], AT_SEVEN.at(9))
    assert harness.databases.offsets() == {0: 7, 2: 9}
    await harness.restart()
    assert harness.databases.offsets() == {}

    await harness.databases.start()

    assert harness.databases.offsets() == {0: 7, 2: 9}
    assert harness.of(5).reached == 0
    harness.of(0).remove("is in the way", "diverged")
    assert harness.databases.offsets() == {2: 9}


# -- removal


def test_a_removed_database_is_empty_and_may_be_filled_again(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)

    harness.of().remove("is not of this changelog (at offset 6)", "diverged")

    assert not harness.path().exists()
    assert harness.of().checkpoint == START
    assert facts(harness.of()) == {}
    harness.of().write([(b"l" * 17, b"w")], AT_SEVEN)
    assert facts(harness.of()) == {b"l" * 17: b"w"}
    assert harness.removed == ["diverged"]
    assert caplog.messages == [
        "the database of partition 0 is not of this changelog (at offset 6): "
        "it is removed and read back from the changelog"
    ]


async def test_databases_of_earlier_versions_are_removed_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    earlier = harness.folder / "v1" / "tables" / "facts-0.db"
    earlier.mkdir(parents=True)
    (harness.folder / "facts" / "something").mkdir(parents=True)

    await harness.databases.start()
    await harness.databases.start()

    assert not earlier.exists()
    assert len(caplog.messages) == 1
    assert "is of an earlier version" in caplog.text


async def test_a_worker_without_a_folder_starts(harness: Harness) -> None:
    await harness.databases.start()

    assert harness.databases.offsets() == {}


# -- a full disk


def test_a_full_disk_leaves_the_checkpoint_where_it_was(harness: Harness) -> None:
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)
    rocks, harness.of()._rocks = harness.of()._rocks, FullDisk()

    with pytest.raises(TableError, match="No space left"):
        harness.of().write([(b"k" * 17, b"w")], AT_SEVEN.at(9))

    assert harness.of().checkpoint == AT_SEVEN
    assert rocks.get(CHECKPOINT_KEY) == AT_SEVEN.encode()
    assert harness.path().exists(), "a full disk is no damage"
    assert harness.removed == []


def test_after_an_error_nothing_is_read_or_written_any_more(harness: Harness) -> None:
    harness.of()._rocks = FullDisk()
    with pytest.raises(TableError):
        harness.of().write([], AT_SEVEN)

    for attempt in (
        lambda: harness.of().get(b"k"),
        lambda: harness.of().write([], AT_SEVEN),
        lambda: list(harness.of().facts()),
    ):
        with pytest.raises(TableError, match="No space left"):
            attempt()


# -- damage


async def test_reading_all_of_a_damaged_database_does_not_end_early_as_if_it_were_whole(
    harness: Harness,
) -> None:
    """The iterator of RocksDB ends at the damaged block, and raises no error by itself."""
    await harness.damage()

    with pytest.raises(TableError, match="Corruption"):
        list(harness.of().facts())


async def test_a_scan_of_a_damaged_database_does_not_end_early_as_if_it_were_whole(
    harness: Harness,
) -> None:
    await harness.damage()
    stores = [number.to_bytes(16) for number in range(20_000)]

    with pytest.raises(TableError, match="Corruption"):
        list(harness.of().scan_stores(stores, [b""]))

    assert not harness.path().exists()


async def test_a_damaged_database_is_removed_and_cannot_be_read_or_written_any_more(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    await harness.damage()
    with pytest.raises(TableError):
        list(harness.of().facts())

    assert not harness.path().exists()
    # a new, empty database would answer that a store has no facts, and this would be written
    with pytest.raises(TableError, match="Corruption"):
        harness.of().get(bytes(16))
    with pytest.raises(TableError, match="Corruption"):
        harness.of().write([], AT_SEVEN)
    assert harness.of(1).get(bytes(16)) is None
    assert harness.removed == ["damaged"]
    assert "is damaged (Corruption" in caplog.text
    assert harness.databases.offsets() == {}


async def test_one_damaged_read_is_enough(harness: Harness) -> None:
    await harness.damage()

    def read_all() -> None:
        for number in range(20_000):
            harness.of().get(number.to_bytes(16))

    with pytest.raises(TableError, match="Corruption"):
        read_all()

    assert not harness.path().exists()


@pytest.mark.parametrize("how", ["a file is gone", "CURRENT"])
async def test_a_database_that_does_not_open_is_removed_and_begins_anew(
    harness: Harness, how: str
) -> None:
    await harness.damage()
    folder = harness.path()
    if how == "a file is gone":
        next(iter(folder.glob("*.sst"))).unlink()
    else:
        (folder / how).write_text("nonsense")

    await harness.databases.start()

    assert harness.of().checkpoint == START
    assert facts(harness.of()) == {}
    assert harness.removed == ["damaged"]
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)
    assert facts(harness.of()) == {b"k" * 17: b"v"}


async def test_a_database_that_is_locked_is_not_removed(harness: Harness) -> None:
    harness.of().write([(b"k" * 17, b"v")], AT_SEVEN)
    await harness.restart()
    other = Rdict(str(harness.path()), Options(raw_mode=True))  # stands for another process

    await harness.databases.start()
    with pytest.raises(TableError, match="lock"):
        _ = harness.of().checkpoint

    assert harness.path().exists()
    assert harness.removed == []
    other.close()


def test_a_database_whose_folder_was_deleted_while_it_was_open_can_be_closed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """RocksDB writes to its files when it is closed; a worker that stops must end with 0."""
    database = FactsDatabase(3, tmp_path / "3", lambda _: None)
    database.write([(bytes(17), b"UTC")], START.at(5))
    shutil.rmtree(tmp_path / "3")

    database.close()

    assert "the database of partition 3 cannot be closed: IO error" in caplog.text
    assert database.reached == 0
