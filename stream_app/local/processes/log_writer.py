"""Writes what a child process prints into a log of bounded size.

    python -I -S log_writer.py LOG        # reads standard input to its end

It is a process of its own, so that it reads the child's pipe also while the parent is busy, stopped
by Ctrl-Z or killed: the child never waits because the pipe is full, and its pipe is never closed.
It ends by itself when the child and all processes that the child started have ended, because then
its input ends.

A log that has become large is renamed (`LOG.1`, later `LOG.2`), and a new one is begun. An entry
that repeats is written once a minute, with a count. If the disk is full, text is left out, and its
bytes are counted. The program runs without the product's packages, so it imports the standard
library only.
"""

from __future__ import annotations

import os
import re
import select
import sys
import time
from collections import OrderedDict
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LOG_BYTES: Final = 10_000_000
"""The size in bytes above which a log is renamed and a new one is begun."""

OLD_LOGS: Final = 2
"""The number of renamed logs that are kept."""

REPEAT_SECONDS: Final = 60.0
"""The seconds in which an entry that repeats is written once."""

MAX_INFO_REPEATS: Final = 100
"""The times that an INFO or DEBUG entry is written in `REPEAT_SECONDS` if other entries come in
between, so that the log shows a state that changes back and forth."""

_MAX_REMEMBERED: Final = 1_000
_READ_BYTES: Final = 65_536
_MAX_ENTRY_BYTES: Final = 65_536
_QUOTED_BYTES: Final = 240
_IDLE_SECONDS: Final = 0.05
"""Seconds that whole lines wait for more lines of their stack trace."""

_HALF_LINE_SECONDS: Final = 1.0
"""Seconds that the beginning of a line waits for the rest of it."""

_STAMP: Final = re.compile(rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(?:Z|[+-]\d\d:?\d\d)?\]?")
_INFO_OR_DEBUG: Final = re.compile(rb"\A\W*(?:INFO|DEBUG)\b")
_CONTINUATIONS: Final = (b" ", b"\t", b"\n", b"Traceback (most recent call last):", b"Caused by:")


def entries_of(text: bytes) -> Iterator[bytes]:
    """Split whole lines into entries. An entry is a line with the stack trace below it.

    A line that begins with a time begins an entry. A stack trace consists of lines that are
    indented or empty, and of the line behind them that names the error.
    """
    entry = b""
    in_trace = False
    for line in text.splitlines(keepends=True):
        continues = line.startswith(_CONTINUATIONS)
        ends_trace = in_trace and not continues and not _STAMP.match(line)
        if entry and (continues or ends_trace) and len(entry) < _MAX_ENTRY_BYTES:
            entry += line
        else:
            if entry:
                yield entry
            entry = line
        in_trace = continues
    if entry:
        yield entry


class _WrittenEntry:
    """An entry that was written, and how often it has come since then."""

    __slots__ = ("first_line", "since", "times_left_out", "times_written")

    def __init__(self, first_line: bytes, since: float) -> None:
        self.first_line = first_line
        self.since = since
        self.times_written = 1
        self.times_left_out = 0


class RepeatedEntries:
    """Decides which entries are written: an entry that repeats is written once a minute.

    After the minute a line with the count of the others is written. Entries that differ only in the
    time at their beginning count as the same. The last 1,000 different entries are remembered; the
    count of the oldest is written when a new one takes its place.
    """

    def __init__(self) -> None:
        self._entries: OrderedDict[int, _WrittenEntry] = OrderedDict()
        self._last = 0

    def to_write(self, entry: bytes, now: float) -> list[bytes]:
        """Return what to write: counts that are due, then the entry, unless it repeats."""
        written = self.pop_due_counts(now)
        stamp = _STAMP.match(entry)
        message = entry[stamp.end() :] if stamp else entry
        # the hash has 64 bits and a random seed: no attacker can choose an entry with the same one
        key = hash(message)
        in_a_row, self._last = key == self._last, key
        earlier = self._entries.get(key)
        if earlier is None:
            self._entries[key] = _WrittenEntry(message.partition(b"\n")[0][:_QUOTED_BYTES], now)
            if len(self._entries) > _MAX_REMEMBERED:
                _, oldest = self._entries.popitem(last=False)
                written += _count_line(oldest, now)
            return [*written, entry]
        may_repeat = not in_a_row and earlier.times_written < MAX_INFO_REPEATS
        if may_repeat and _INFO_OR_DEBUG.match(message):
            earlier.times_written += 1
            return [*written, entry]
        earlier.times_left_out += 1
        return written

    def pop_due_counts(self, now: float, *, even_if_not_due: bool = False) -> list[bytes]:
        """Return count lines of the entries whose minute is over, and forget or restart them."""
        written: list[bytes] = []
        while self._entries:
            key, oldest = next(iter(self._entries.items()))
            if now - oldest.since < REPEAT_SECONDS and not even_if_not_due:
                break
            del self._entries[key]
            if oldest.times_left_out and not even_if_not_due:
                # the line with the count is the entry's only one in the next minute
                self._entries[key] = _WrittenEntry(oldest.first_line, now)
            written += _count_line(oldest, now)
        return written

    @property
    def oldest_written_at(self) -> float | None:
        """Return the time since which the oldest entry is remembered; None if there is none."""
        return next(iter(self._entries.values())).since if self._entries else None


def _count_line(entry: _WrittenEntry, now: float) -> list[bytes]:
    if not entry.times_left_out:
        return []
    seconds = max(1, round(now - entry.since))
    return [
        b"%s (%d more times in %d s)%s\n"
        % (_stamp(), entry.times_left_out, seconds, b" " + entry.first_line.strip())
    ]


def _stamp() -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()).encode()


class RotatedFile:
    """A file that text is appended to; it is renamed, and begun again, when it has become large.

    Args:
        path: the log; the logs before it are `PATH.1` and, older, `PATH.2`.
        max_bytes: the size above which it is renamed.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, max_bytes: int = MAX_LOG_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._lost_bytes = 0
        self._descriptor = self._open()

    def write(self, text: bytes) -> None:
        """Append a text. If it cannot be written, its size is logged when writing works again."""
        if self._lost_bytes:
            note = b"%s WARNING log: %d bytes of this log could not be written\n"
            text = note % (_stamp(), self._lost_bytes) + text
        if self._append(text):
            self._lost_bytes = 0
        else:
            self._lost_bytes += len(text)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _append(self, text: bytes) -> bool:
        try:
            size = os.fstat(self._descriptor).st_size
            if size and size + len(text) > self._max_bytes:
                self._rotate()
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return False
        return True

    def _rotate(self) -> None:
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, OLD_LOGS + 1))]
        try:
            for number in range(OLD_LOGS, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(names[number - 1], names[number])  # noqa: PTH105 - see above
            descriptor = self._open()
        except OSError:
            # a log must stay bounded, even if its older part is lost
            os.ftruncate(self._descriptor, 0)
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)


class LogWriter:
    """Splits what a child prints into lines, and writes the entries that do not repeat.

    Args:
        file: the log.
        repeats: decides which entries are written.
    """

    def __init__(self, file: RotatedFile, repeats: RepeatedEntries) -> None:
        self._file = file
        self._repeats = repeats
        self._unfinished = b""

    def write_lines(self, piece: bytes, now: float, *, more_follows: bool = False) -> None:
        """Write the whole lines of what was read; the part of a line waits for its end.

        Args:
            piece: the bytes that were read.
            now: seconds of a monotonic clock.
            more_follows: True if the last entry may go on in the next bytes.
        """
        text = self._unfinished + piece
        end = len(text) if len(text) > _MAX_ENTRY_BYTES + _READ_BYTES else text.rfind(b"\n") + 1
        entries = list(entries_of(text[:end]))
        self._unfinished = text[end:]
        if more_follows and entries and len(entries[-1]) < _MAX_ENTRY_BYTES:
            self._unfinished = entries.pop() + self._unfinished
        self._write(entries, now)

    def write_pending(self, now: float) -> None:
        """Write the lines that have waited for more text, and the counts that are due."""
        rest, self._unfinished = self._unfinished, b""
        self._write(list(entries_of(rest)), now)
        self._append(self._repeats.pop_due_counts(now))

    def close(self, now: float) -> None:
        """Write all that waits and all counts, and close the log."""
        self.write_pending(now)
        self._append(self._repeats.pop_due_counts(now, even_if_not_due=True))
        self._file.close()

    def seconds_until_due(self, now: float) -> float | None:
        """Return the seconds after which `write_pending` is due; None if nothing is pending."""
        if self._unfinished:
            return _IDLE_SECONDS if self._unfinished.endswith(b"\n") else _HALF_LINE_SECONDS
        since = self._repeats.oldest_written_at
        return None if since is None else max(0.0, since + REPEAT_SECONDS - now)

    def _write(self, entries: list[bytes], now: float) -> None:
        self._append([text for entry in entries for text in self._repeats.to_write(entry, now)])

    def _append(self, texts: list[bytes]) -> None:
        if texts:
            self._file.write(b"".join(texts))


def main() -> None:
    """Write standard input to the log in the arguments."""
    max_bytes = int(sys.argv[2]) if len(sys.argv) > 2 else MAX_LOG_BYTES
    writer = LogWriter(RotatedFile(sys.argv[1], max_bytes), RepeatedEntries())
    source = sys.stdin.fileno()
    while True:
        if not select.select([source], [], [], writer.seconds_until_due(time.monotonic()))[0]:
            writer.write_pending(time.monotonic())
            continue
        piece = os.read(source, _READ_BYTES)
        if not piece:
            break
        writer.write_lines(piece, time.monotonic(), more_follows=len(piece) == _READ_BYTES)
    writer.close(time.monotonic())


if __name__ == "__main__":
    main()
