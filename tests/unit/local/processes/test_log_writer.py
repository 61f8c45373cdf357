"""The log of a child has a bounded size, and repeated lines are written with a count."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

from stream_app.local.processes.log_writer import (
    LogWriter,
    RepeatedEntries,
    RotatedFile,
    entries_of,
)

if TYPE_CHECKING:
    from pathlib import Path

TRACE = b"""\
2026-11-26T17:00:0%d.000Z ERROR aiohttp.server: Error handling request
Traceback (most recent call last):
  File "web_protocol.py", line 1, in start
    raise error
aiohttp.http_exceptions.BadStatusLine: 400
"""


def stamped(second: float, text: str) -> bytes:
    return f"2026-11-26T17:00:{second:06.3f}Z {text}\n".encode()


class Log:
    """A log writer with a clock that the test sets."""

    def __init__(self, folder: Path, max_bytes: int = 1_000_000) -> None:
        self.path = folder / "api.log"
        self.writer = LogWriter(RotatedFile(str(self.path), max_bytes), RepeatedEntries())
        self.now = 0.0

    def print(self, text: bytes, *, more_follows: bool = False) -> None:
        self.writer.write_lines(text, self.now, more_follows=more_follows)

    def lines(self) -> list[str]:
        return [re.sub(r"^\S+Z \(", "(", line) for line in self.path.read_text().splitlines()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path)


def test_a_log_is_rotated_while_it_is_written_and_two_old_ones_are_kept(
    tmp_path: Path,
) -> None:
    log = Log(tmp_path, max_bytes=1000)
    for number in range(1000):
        log.print(b"line %05d\n" % number)
    contents = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert sorted(contents) == ["api.log", "api.log.1", "api.log.2"]
    assert all(len(content) <= 1000 for content in contents.values())
    text = contents["api.log.2"] + contents["api.log.1"] + contents["api.log"]
    assert text.endswith(b"line 00998\nline 00999\n")
    numbers = [int(line.split()[1]) for line in text.splitlines()]
    assert numbers == list(range(numbers[0], 1000)), "nothing is lost in between"


def test_a_line_longer_than_a_log_does_not_make_it_grow(tmp_path: Path) -> None:
    log = Log(tmp_path, max_bytes=100_000)
    for _ in range(100):
        log.print(os.urandom(30_000).replace(b"\n", b""))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3 * 250_000


def test_a_line_that_repeats_is_written_once_a_minute_with_a_count(log: Log) -> None:
    for second in range(130):
        log.now = float(second)
        for _ in range(100):
            log.print(stamped(second % 60, "ERROR aiohttp.server: no room"))
    log.writer.close(130.0)
    assert log.lines() == [
        "2026-11-26T17:00:00.000Z ERROR aiohttp.server: no room",
        "(5999 more times in 60 s) ERROR aiohttp.server: no room",
        "(6000 more times in 60 s) ERROR aiohttp.server: no room",
        "(1000 more times in 10 s) ERROR aiohttp.server: no room",
    ]


def test_alternating_lines_repeat_as_well(log: Log) -> None:
    for _ in range(1000):
        log.print(b"WARNING one\nWARNING two\nthree\n")
    assert log.lines() == ["WARNING one", "WARNING two", "three"]


def test_a_count_that_is_due_does_not_wait_for_another_line(log: Log) -> None:
    log.print(b"full\nfull\n")
    assert log.writer.seconds_until_due(0.0) == 60.0
    log.writer.write_pending(60.0)
    assert log.lines() == ["full", "(1 more times in 60 s) full"]


def test_a_line_that_comes_back_after_its_minute_is_written(log: Log) -> None:
    log.print(b"full\n")
    log.now = 61.0
    log.print(b"full\n")
    assert log.lines() == ["full", "full"]


def test_a_stack_trace_is_one_entry_with_its_line(log: Log) -> None:
    other = TRACE.replace(b"BadStatusLine", b"LineTooLong")
    assert list(entries_of(TRACE % 1 + other % 2)) == [TRACE % 1, other % 2]
    log.print(TRACE % 1 + other % 2 + TRACE % 3)
    assert log.path.read_bytes() == TRACE % 1 + other % 2, (
        "the first two are complete, the third repeats"
    )


def test_a_state_that_changes_back_and_forth_stays_readable(log: Log) -> None:
    for second in range(4):
        log.print(stamped(second, f"INFO worker.assignment: own partitions {second % 2}"))
    assert len(log.lines()) == 4
    for second in range(1000):
        log.print(stamped(second % 60, f"INFO worker.assignment: own partitions {second % 2}"))
    assert len(log.lines()) == 200, "a hundred of each"
    log.print(b"INFO same\n" * 1000)
    assert log.lines()[200:] == ["INFO same"]


def test_the_number_of_stored_entries_is_bounded_and_no_count_is_lost(log: Log) -> None:
    log.print(b"first\nfirst\n")
    for number in range(3000):
        log.print(b"%d\n" % number)
    assert len(log.writer._repeats._entries) <= 1000
    assert "(1 more times in 1 s) first" in log.lines()


def test_half_a_line_waits_for_its_end(log: Log) -> None:
    log.print(b"one ")
    assert log.lines() == []
    log.print(b"line\ntw")
    assert log.lines() == ["one line"]
    assert log.writer.seconds_until_due(0.0) == 1.0
    log.writer.write_pending(1.0)
    assert log.lines() == ["one line", "tw"]


def test_an_entry_that_is_read_in_two_parts_is_one(log: Log) -> None:
    text = TRACE % 1
    log.print(text)
    repeated = TRACE % 2
    middle = repeated.index(b"  File")
    log.print(repeated[:middle], more_follows=True)
    log.print(repeated[middle:])
    assert log.path.read_bytes() == text


def test_a_full_disk_loses_lines_and_their_bytes_are_counted(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.print(b"before\n")

    def full(_descriptor: int, _text: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(os, "write", full)
        log.print(b"lost\n")
        log.print(b"lost too\n")
    log.print(b"after\n")
    assert log.lines()[0] == "before"
    assert re.search(r"WARNING log: \d+ bytes of this log could not be written", log.lines()[1])
    assert log.lines()[2] == "after"


def test_a_log_that_cannot_be_rotated_stays_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Log(tmp_path, max_bytes=1000)

    def refused(_newer: str, _older: str) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "replace", refused)
    for number in range(1000):
        log.print(b"line %05d\n" % number)
    assert log.path.stat().st_size <= 1000
    assert log.lines()[-1] == "line 00999"
