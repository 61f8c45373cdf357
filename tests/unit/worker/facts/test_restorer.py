"""A restore ends with exactly the changelog's content below the claim, after any interruption."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.domain.poll_buckets import HOT
from stream_app.errors import TableError
from stream_app.kafka.log_reader import FETCH_BYTES
from stream_app.worker.facts import restorer as module
from stream_app.worker.facts.database import START, FactsDatabase, checkpoint_after, record_digest
from stream_app.worker.facts.keys import (
    CLAIM_KEY,
    POSITION_KEY,
    TIMEZONE_TAG,
    bucket_key,
    store_key,
)
from stream_app.worker.facts.restorer import STALL_SECONDS, Restorer
from tests.agent_fakes import settle, store_in
from tests.changelog_fakes import UNAVAILABLE, FakeLog, LogRecord, content_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stream_app.worker.metrics import RemovalReason

KEYS = [store_key(store_in(0, number)) + TIMEZONE_TAG for number in range(6)]
A, B, C = KEYS[:3]


class Harness:
    """A restorer of partition 3 over a changelog made by hand and a database on the disk."""

    def __init__(self, folder: Path, log: FakeLog | None = None) -> None:
        self.folder = folder / "3"
        self.log = log or FakeLog()
        self.fetch_slots = asyncio.Semaphore(2)
        self.removed: list[RemovalReason] = []
        self.unread = 0
        self.open()

    def restart(self) -> None:
        """Close the database, and open it as a new process does."""
        self.database.close()
        self.open()

    def open(self) -> None:
        self.database = FactsDatabase(3, self.folder, self.removed.append)
        self.restorer = Restorer(
            self.database, "changelog", self.log, self.fetch_slots, self._unread
        )

    def _unread(self) -> None:
        self.unread += 1

    def content(self) -> dict[bytes, bytes]:
        return content_of(self.database)

    @property
    def reached(self) -> int:
        return self.database.checkpoint.next_offset

    async def restore_in_part(self, end: int, fetches: int) -> bool:
        """Restore, and cancel during the fetch of this number; return True if it ended before."""
        task = asyncio.create_task(self.restorer.restore(end))
        left = fetches

        def cancel() -> None:
            nonlocal left
            left -= 1
            if left <= 0:
                task.cancel()

        self.log.on_fetch = cancel
        try:
            await task
        except asyncio.CancelledError:
            return False
        finally:
            self.log.on_fetch = lambda: None
        return True


@pytest.fixture
def harness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Harness]:
    monkeypatch.setattr(module, "_RETRY_SECONDS", 0)
    monkeypatch.setattr(module, "_IDLE_SECONDS", 0)
    harness = Harness(tmp_path)
    yield harness
    harness.database.close()


# -- records that are read


async def test_everything_below_the_claim_is_read_and_nothing_from_it_on(harness: Harness) -> None:
    harness.log.add((A, b"1"), (B, b"2")).add((A, b"3")).add((CLAIM_KEY, b"x"), (B, b"beyond"))

    await harness.restorer.restore(3)

    assert harness.content() == {A: b"3", B: b"2"}
    assert harness.database.checkpoint == checkpoint_after(2, A, b"3")


async def test_records_beyond_the_claim_in_the_same_batch_are_left_out(harness: Harness) -> None:
    harness.log.add((A, b"1"), (B, b"2"), (A, b"3"))

    await harness.restorer.restore(1)
    assert harness.content() == {A: b"1"}
    assert harness.database.checkpoint == checkpoint_after(0, A, b"1")

    await harness.restorer.restore(3)
    assert harness.content() == {A: b"3", B: b"2"}


async def test_a_batch_that_begins_below_the_checkpoint_is_read_from_the_checkpoint_on(
    harness: Harness,
) -> None:
    harness.log.add((A, b"old"), (B, b"2"), (A, b"3"))
    harness.database.write([(A, b"3, and newer")], checkpoint_after(1, B, b"2"))

    await harness.restorer.restore(3)

    assert harness.content() == {A: b"3"}
    assert harness.restorer._records == 1


async def test_offsets_without_a_record_are_passed(harness: Harness) -> None:
    log = harness.log
    log.put(0, 10, [LogRecord(3, A, b"1"), LogRecord(7, B, b"2")])
    log.put(10, 11, [])  # a control batch
    log.put(40, 45, [LogRecord(41, C, b"3")])  # the batches before it are compacted away
    log.put(45, 50, [])  # all its records are compacted away
    log.add((CLAIM_KEY, b"x"))

    await harness.restorer.restore(50)

    assert harness.content() == {A: b"1", B: b"2", C: b"3"}
    assert (harness.reached, harness.database.checkpoint.last_offset) == (50, 41)
    assert (harness.restorer._records, harness.restorer._empty_offsets) == (3, 47)


async def test_a_claim_in_the_middle_of_offsets_without_a_record_is_reached_exactly(
    harness: Harness,
) -> None:
    harness.log.add((A, b"1")).put(20, 30, [LogRecord(25, B, b"2")])

    for end in (10, 22, 25, 26, 28):
        await harness.restorer.restore(end)
        assert harness.reached == end
        assert harness.content() == harness.log.fold(end)


async def test_a_tombstone_removes_a_fact(harness: Harness) -> None:
    harness.log.add((A, b"1"), (B, b"2")).add((A, None)).add((CLAIM_KEY, b"x"))

    await harness.restorer.restore(3)

    assert harness.content() == {B: b"2"}


async def test_records_about_the_partition_are_kept(harness: Harness) -> None:
    harness.log.add((CLAIM_KEY, b"x"), (POSITION_KEY, b"{}"), (A, b"1"))

    await harness.restorer.restore(3)

    assert harness.content() == {CLAIM_KEY: b"x", POSITION_KEY: b"{}", A: b"1"}
    assert [key for key, _ in harness.database.facts()] == [A]


async def test_a_batch_that_cannot_be_read_is_stepped_over_and_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.log.add((A, b"1")).add(until=9, error="an unknown codec: 7").add((B, b"2"))

    await harness.restorer.restore(10)

    assert harness.content() == {A: b"1", B: b"2"}
    assert harness.unread == 1
    assert caplog.messages == ["changelog/3 offset 1 to 8 is stepped over: an unknown codec: 7"]


async def test_stray_records_are_stepped_over_logged_and_counted(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    strays = [
        (None, b"v"),
        (b"k", b"v"),
        (b"checkpoint", b'[900, 899, ""]'),
        (A, b"\xff\xfe"),
        (bucket_key(A[:16], HOT), b"seven77"),
    ]
    harness.log.add((A, b"1"), *strays, (B, b"2"))

    await harness.restorer.restore(7)

    assert harness.content() == {A: b"1", B: b"2"}
    assert harness.reached == 7
    assert harness.unread == len(strays)
    assert [line.split(" is ")[0] for line in caplog.messages] == [
        f"changelog/3 offset {offset}" for offset in range(1, 6)
    ]


async def test_the_first_of_very_many_strays_are_logged_and_all_are_counted(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(10):
        harness.log.add(*[(b"k", b"v")] * 10)

    await harness.restorer.restore(100)

    assert harness.unread == 100
    assert len(caplog.messages) == 20


async def test_a_stray_at_the_end_is_the_record_of_the_checkpoint(
    harness: Harness,
) -> None:
    harness.log.add((A, b"1"), (b"stray", b"v"))

    await harness.restorer.restore(2)
    assert harness.database.checkpoint == checkpoint_after(1, b"stray", b"v")
    harness.log.add((B, b"2"))
    harness.restart()
    await harness.restorer.restore(3)

    assert harness.removed == []


async def test_a_database_that_has_to_be_read_back_as_a_whole_is_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    await harness.restorer.restore(0)
    assert caplog.messages == [], "the changelog is still empty"
    harness.log.add((A, b"1")).add((B, b"2")).add((A, b"3"))

    await harness.restorer.restore(2)
    await harness.restorer.restore(3)

    assert caplog.messages == [
        "no database of partition 3 here: it is read back from the changelog",
        "partition 3 is restored from changelog offset 0 to 2: 2 records, 0 offsets without one",
    ]


# -- interrupted restores


async def test_a_restore_that_is_interrupted_goes_on_at_its_checkpoint(harness: Harness) -> None:
    for number, key in enumerate(KEYS):
        harness.log.add((key, b"%d" % number))

    assert not await harness.restore_in_part(6, fetches=4)
    assert harness.reached == 3
    assert harness.content() == harness.log.fold(3)
    harness.restart()
    harness.log.fetched.clear()
    await harness.restorer.restore(6)

    assert harness.log.offsets == [3, 4, 5]
    assert harness.content() == harness.log.fold(6)


async def test_a_claim_further_on_goes_on_at_the_checkpoint(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2")).add((CLAIM_KEY, b"x")).add((A, b"3"))

    assert not await harness.restore_in_part(2, fetches=2)
    await harness.restorer.restore(4)

    assert harness.content() == {A: b"3", B: b"2", CLAIM_KEY: b"x"}


async def test_a_whole_database_costs_one_look_at_its_last_record(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    await harness.restorer.restore(2)
    harness.log.fetched.clear()

    await harness.restorer.restore(2)

    assert harness.log.fetched == [(1, 1)]


async def test_every_fetch_is_one_write_with_its_checkpoint(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, key in enumerate(KEYS):
        harness.log.add((key, b"%d" % number), (A, b"%d" % number))
    writes: list[tuple[int, dict[bytes, bytes | None]]] = []
    write = harness.database.write

    def watched(entries: Any, checkpoint: Any) -> None:
        content = dict(entries)
        writes.append((checkpoint.next_offset, content))
        write(content.items(), checkpoint)

    monkeypatch.setattr(harness.database, "write", watched)
    harness.log.batches_a_fetch = 3

    await harness.restorer.restore(12)

    assert [offset for offset, _ in writes] == [6, 12]
    assert writes[0][1] == {A: b"2", B: b"1", C: b"2"}


@pytest.mark.parametrize("write", range(1, 7))
async def test_a_process_that_ends_after_any_write_leaves_a_prefix_of_the_changelog(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, write: int
) -> None:
    for number, key in enumerate(KEYS):
        harness.log.add((key, b"%d" % number), (A, b"%d" % number))
    crash_after(harness.database, write, monkeypatch)

    with pytest.raises(KeyboardInterrupt):
        await harness.restorer.restore(12)
    harness.restart()

    assert harness.reached == 2 * write
    assert harness.content() == harness.log.fold(2 * write)
    await harness.restorer.restore(12)
    assert harness.content() == harness.log.fold(12)


def crash_after(database: FactsDatabase, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the database raise `KeyboardInterrupt` after this number of writes."""
    write = database.write
    left = count

    def crashing(*arguments: Any) -> None:
        nonlocal left
        write(*arguments)
        left -= 1
        if not left:
            raise KeyboardInterrupt

    monkeypatch.setattr(database, "write", crashing)


async def test_a_full_disk_ends_the_restore_at_the_last_checkpoint(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    assert not await harness.restore_in_part(2, fetches=2)

    def full(_batch: Any) -> None:
        raise OSError("IO error: No space left on device")

    rocks = harness.database._rocks
    harness.database._rocks = type("FullDisk", (), {"write": staticmethod(full)})()
    with pytest.raises(TableError, match="No space left"):
        await harness.restorer.restore(2)
    harness.database._rocks = rocks
    harness.restart()

    assert harness.reached == 1
    await harness.restorer.restore(2)
    assert harness.content() == {A: b"1", B: b"2"}


# -- databases that are no prefix of the changelog


async def test_a_database_ahead_of_its_changelog_is_removed_and_read_back(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.database.write([(C, b"of a changelog that is gone")], checkpoint_after(899, C, b"x"))
    harness.log.add((A, b"1")).add((CLAIM_KEY, b"x"))

    await harness.restorer.restore(1)

    assert harness.content() == {A: b"1"}
    assert harness.removed == ["ahead"]
    assert caplog.messages == [
        "the database of partition 3 is ahead of its changelog (at 900, the log at 1): "
        "it is removed and read back from the changelog"
    ]


async def test_a_database_of_a_lost_history_is_removed_though_its_changelog_has_outgrown_it(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    """The broker was restored from a backup, and other workers wrote from there on."""
    harness.database.write([(A, b"1"), (C, b"x")], checkpoint_after(1, C, b"x"))
    harness.log.add((A, b"1")).add((C, b"another value")).add((B, b"2"))

    await harness.restorer.restore(3)

    assert harness.content() == {A: b"1", C: b"another value", B: b"2"}
    assert harness.removed == ["diverged"]
    assert "partition 3 is not of this changelog (at offset 1)" in caplog.text


async def test_a_database_whose_last_record_is_compacted_away_is_removed(
    harness: Harness,
) -> None:
    harness.database.write([(C, b"x")], checkpoint_after(1, C, b"x"))
    harness.log.put(0, 3, [LogRecord(0, A, b"1"), LogRecord(2, B, b"2")])

    await harness.restorer.restore(3)

    assert harness.content() == {A: b"1", B: b"2"}
    assert harness.removed == ["diverged"]


async def test_a_database_whose_last_record_is_deleted_is_removed(harness: Harness) -> None:
    harness.database.write([(C, b"x")], checkpoint_after(1, C, b"x"))
    harness.log.add((A, b"1"), at=5)
    harness.log.first = 5

    await harness.restorer.restore(6)

    assert harness.content() == {A: b"1"}
    assert harness.removed == ["diverged"]


async def test_the_record_of_the_checkpoint_may_be_in_the_middle_of_a_batch(
    harness: Harness,
) -> None:
    harness.log.add((A, b"1"), (B, b"2"), (C, b"3"))
    await harness.restorer.restore(2)
    harness.restart()

    await harness.restorer.restore(3)

    assert harness.removed == []
    assert harness.content() == {A: b"1", B: b"2", C: b"3"}


async def test_a_database_that_has_read_no_record_yet_is_kept(
    harness: Harness,
) -> None:
    harness.log.put(0, 5, [])
    harness.log.add((A, b"1"))
    await harness.restorer.restore(4)
    assert harness.database.checkpoint == START.at(4)

    await harness.restorer.restore(6)

    assert harness.removed == []
    assert harness.content() == {A: b"1"}


# -- brokers, stalls, deletions


async def test_brokers_that_are_away_are_waited_for(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    await harness.restorer.restore(1)
    loop = asyncio.get_running_loop()
    time, later = loop.time, 0.0
    monkeypatch.setattr(loop, "time", lambda: time() + later)
    away = {1: 5, FETCH_BYTES: 9}  # number of fetches that fail, by their size

    def fail() -> None:
        nonlocal later
        size = harness.log.fetched[-1][1]
        if away[size]:
            away[size] -= 1
            # together these are longer than a restore may stand still
            later += STALL_SECONDS / 2
            harness.log.errors = [UNAVAILABLE]

    harness.log.on_fetch = fail
    await harness.restorer.restore(2)

    assert set(away.values()) == {0}
    assert harness.content() == {A: b"1", B: b"2"}
    assert harness.removed == []


async def test_a_restore_that_stands_still_ends_with_a_line_that_says_where(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", 0)
    harness.log.add((A, b"1"))

    with pytest.raises(TableError) as ended:
        await harness.restorer.restore(7)

    assert str(ended.value) == (
        "the restore of partition 3 stands still: it is at changelog offset 1 and goes to 7"
    )


async def test_a_restore_that_moves_is_not_ended(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STALL_SECONDS", -1)
    for number in range(40):
        harness.log.add((A, b"%d" % number))

    await harness.restorer.restore(40)

    assert harness.reached == 40


async def test_records_deleted_from_the_changelog_are_stepped_over_and_reported_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.log.add((A, b"1")).add((B, b"2")).add((C, b"3"))
    await harness.restorer.restore(1)
    harness.log.first = 2
    harness.log.errors = [UNAVAILABLE]

    # the record of the checkpoint is deleted as well
    await harness.restorer.restore(3)

    assert harness.content() == {C: b"3"}
    assert harness.restorer.pop_lost_ranges() == [(0, 2)]
    assert harness.restorer.pop_lost_ranges() == []
    assert (
        "changelog/3 lost the offsets 0 to 1 before they were read back: "
        "reports of this partition say so" in caplog.messages
    )


async def test_a_deletion_in_the_middle_of_a_restore_keeps_what_was_read(harness: Harness) -> None:
    for number, key in enumerate(KEYS):
        harness.log.add((key, b"%d" % number))

    def delete() -> None:
        harness.log.first = 4 if len(harness.log.fetched) == 3 else harness.log.first

    harness.log.on_fetch = delete

    await harness.restorer.restore(6)

    assert harness.content() == {
        key: b"%d" % number for number, key in enumerate(KEYS) if number not in {2, 3}
    }
    assert harness.restorer.pop_lost_ranges() == [(2, 4)]


async def test_a_deletion_beyond_the_claim_is_a_loss_up_to_the_claim(harness: Harness) -> None:
    harness.log.add((A, b"1"), at=9)
    harness.log.first = 9

    await harness.restorer.restore(3)

    assert harness.restorer.pop_lost_ranges() == [(0, 3)]
    assert harness.reached == 3


async def test_a_changelog_that_is_truncated_below_the_claim_ends_the_restore(
    harness: Harness,
) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    assert not await harness.restore_in_part(2, fetches=2)

    def truncate() -> None:
        harness.log.end_offset = 0

    harness.log.batches_a_fetch = 0
    harness.log.on_fetch = truncate
    with pytest.raises(TableError, match="changelog of partition 3 ends before offset 1"):
        await harness.restorer._read_to(2)


async def test_no_more_partitions_have_an_answer_in_memory_than_there_are_places(
    tmp_path: Path,
) -> None:
    log = FakeLog()
    for number in range(5):
        log.add((A, b"%d" % number))
    harnesses = [Harness(tmp_path / str(number), log) for number in range(5)]
    for harness in harnesses:
        harness.restorer._fetch_slots = harnesses[0].fetch_slots

    await asyncio.gather(*(harness.restorer.restore(5) for harness in harnesses))

    assert log.most_at_once == 2
    for harness in harnesses:
        harness.database.close()


async def test_a_restore_has_a_progress(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2")).add((C, b"3"))
    await harness.restorer.restore(1)
    assert not await harness.restore_in_part(3, fetches=3)

    progress = harness.restorer.progress
    assert progress is not None
    assert (progress.start, progress.position, progress.end) == (1, 2, 3)
    assert (progress.done, progress.to_do) == (1, 1)


# -- every offset is accounted for


class FaultyRestorer(Restorer):
    """A restorer that does not count some of the records that it reads."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.lose = 1

    def _apply(self, *arguments: Any) -> None:
        super()._apply(*arguments)
        if self.lose and self._database.checkpoint.next_offset == 2:
            self.lose -= 1
            self._records -= 1


async def test_offsets_that_are_unaccounted_for_are_read_once_more_from_the_beginning(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    restorer = FaultyRestorer(
        harness.database, "changelog", harness.log, harness.fetch_slots, harness._unread
    )

    await restorer.restore(2)

    assert harness.removed == ["incomplete"]
    assert harness.content() == {A: b"1", B: b"2"}
    assert "partition 3: offsets of its changelog are unaccounted for" in caplog.text


async def test_offsets_that_stay_unaccounted_for_end_the_worker(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    restorer = FaultyRestorer(
        harness.database, "changelog", harness.log, harness.fetch_slots, harness._unread
    )
    restorer.lose = 2

    with pytest.raises(TableError, match="cannot be read offset by offset"):
        await restorer.restore(2)


# -- a warm standby


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("not in 20,000 turns")


async def following(harness: Harness) -> asyncio.Task[None]:
    task = asyncio.create_task(harness.restorer.follow())
    await until(lambda: harness.database.reached == harness.log.last or task.done())
    return task


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_standby_follows_its_changelog_and_then_restores_only_the_difference(
    harness: Harness,
) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    task = await following(harness)
    assert harness.content() == {A: b"1", B: b"2"}
    harness.log.errors = [UNAVAILABLE]
    harness.log.add((A, b"3"))
    await until(lambda: harness.reached == 3)
    await stop(task)
    harness.log.add((CLAIM_KEY, b"x"))
    harness.log.fetched.clear()

    await harness.restorer.restore(3)

    assert harness.log.fetched == [(2, 1)]
    assert harness.content() == {A: b"3", B: b"2"}


async def test_a_standby_of_another_history_is_removed_before_it_follows(harness: Harness) -> None:
    harness.database.write([(C, b"x")], checkpoint_after(1, C, b"x"))
    harness.log.add((A, b"1")).add((B, b"2"))

    task = await following(harness)
    await until(lambda: harness.content() == {A: b"1", B: b"2"})
    await stop(task)

    assert harness.removed == ["diverged"]


async def test_a_standby_whose_changelog_was_truncated_begins_anew(harness: Harness) -> None:
    harness.log.add((A, b"1")).add((B, b"2"))
    task = await following(harness)

    harness.log.batches = harness.log.batches[:1]
    await until(lambda: harness.reached == 1)
    await stop(task)

    assert harness.content() == {A: b"1"}
    assert harness.removed == ["ahead"]


async def test_a_standby_goes_on_where_the_beginning_of_its_changelog_was_deleted(
    harness: Harness,
) -> None:
    """A new standby too must not be removed again and again, without a pause."""
    harness.log.add((A, b"1")).add((B, b"2")).add((C, b"3"))
    harness.log.first = 2

    task = await following(harness)
    await settle()
    await stop(task)

    assert harness.content() == {C: b"3"}
    assert harness.removed == []
    assert harness.restorer.pop_lost_ranges() == [(0, 2)]


async def test_a_standby_on_a_full_disk_ends_with_the_error(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise TableError("no space left")

    harness.log.add((A, b"1"))
    monkeypatch.setattr(harness.database, "write", full)

    task = await following(harness)

    assert str(task.exception()) == "no space left"


# -- any log, any interruption

values = st.sampled_from([b"UTC", b"Asia/Gaza", b"Europe/Paris", None, b"\xff\xfe"])
keys = st.sampled_from([*KEYS, POSITION_KEY, CLAIM_KEY, b"stray", b"checkpoint", None])
entries = st.tuples(st.integers(0, 2), keys, values)
raw_batches = st.tuples(
    st.integers(0, 3),  # number of offsets before it that are in no batch
    st.lists(entries, max_size=5),  # each record with the number of compacted ones before it
    st.integers(0, 2),  # number of offsets behind its last record
    st.integers(0, 9),  # the batch cannot be read if this is 9
)


def log_of(raw: list[Any], batches_a_fetch: int) -> FakeLog:
    log = FakeLog(batches_a_fetch=batches_a_fetch)
    offset = 0
    for gap, records, behind, luck in raw:
        base = offset = offset + gap
        log_records = []
        for skipped, key, value in records:
            offset += skipped
            log_records.append(LogRecord(offset, key, value))
            offset += 1
        offset += behind
        if offset > base:
            log.put(base, offset, log_records, "cannot be read" if luck == 9 else None)
    return log


ACTIONS = ("go on", "open again", "database removed")
interruptions = st.lists(
    st.tuples(st.integers(1, 6), st.integers(0, 30), st.sampled_from(ACTIONS)), max_size=5
)


@settings(max_examples=120)
@given(st.lists(raw_batches, max_size=10), interruptions, st.integers(1, 4), st.integers(0, 3))
def test_the_database_has_the_content_of_the_log_below_the_claim_after_any_interruption(
    raw: list[Any], cuts: list[Any], batches_a_fetch: int, beyond: int
) -> None:
    log = log_of(raw, batches_a_fetch)
    final = max(0, log.last - beyond)
    log.add((CLAIM_KEY, b"x"))
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(restore_with_interruptions(Path(folder), log, final, cuts))


async def restore_with_interruptions(
    folder: Path, log: FakeLog, final: int, cuts: list[Any]
) -> None:
    harness = Harness(folder, log)
    claim = 0
    for fetches, further, action in cuts:
        claim = min(final, claim + further)
        done = await harness.restore_in_part(claim, fetches)
        assert harness.reached == claim if done else harness.reached <= claim
        assert harness.content() == log.fold(harness.reached)
        if action == "open again":
            harness.restart()
        elif action == "database removed":
            harness.database.remove("is removed by a test", "diverged")
    start = harness.reached
    removed = len(harness.removed)

    await harness.restorer.restore(final)

    assert harness.reached == final
    assert harness.content() == log.fold(final)
    # no record that was read is compacted away here, so no database is removed as diverged
    assert len(harness.removed) == removed
    records = log.records_in(start, final)
    assert (harness.restorer._records, harness.restorer._empty_offsets) == (
        records,
        final - start - records,
    )
    last = harness.database.checkpoint.last_offset
    by_offset = {r.offset: r for batch in log.batches for r in batch.records}
    if last >= 0:
        digest = record_digest(by_offset[last].key, by_offset[last].value)
        assert harness.database.checkpoint.digest == digest
    harness.database.close()
