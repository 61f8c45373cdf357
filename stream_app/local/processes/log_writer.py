"""Write what a child process prints into a log of bounded size.

    python -I -S log_writer.py LOG        # reads standard input to its end

It is a process of its own between the child and the file, because then the pipe is emptied while
the parent is busy, stopped by Ctrl-Z or killed, and no child ever waits for a full pipe or loses
one under it. It ends at the end of its input, that is when the child and all that the child
started have ended, so it outlives nobody for long and needs nobody to stop it.

The file is moved aside by size while it is written (`LOG.1`, then `LOG.2`). What is printed again
and again is written once a minute, with a count. What the disk does not take is counted and left
out. It runs without the packages of the product, so it imports the standard library only.
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

LARGEST_LOG: Final = 10_000_000
"""The size in bytes from which a log is moved aside."""

OLD_LOGS: Final = 2
"""The number of older logs that are kept."""

REPEAT_SECONDS: Final = 60.0
"""The seconds in which the same entry is written once."""

NEWS_REPEATS: Final = 100
"""An entry of level INFO may come back as often in that time, if others came between: a state
that changes back and forth must stay readable."""

_REMEMBERED: Final = 1_000
_CHUNK: Final = 65_536
_LONGEST_ENTRY: Final = 65_536
_QUOTED: Final = 240
_IDLE_SECONDS: Final = 0.05
_HALF_LINE_SECONDS: Final = 1.0

_STAMP: Final = re.compile(rb"\[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d[.,]?\d*(?:Z|[+-]\d\d:?\d\d)?\]?")
_NEWS: Final = re.compile(rb"\A\W*(?:INFO|DEBUG)\b")
_CONTINUED: Final = (b" ", b"\t", b"\n", b"Traceback (most recent call last):", b"Caused by:")


def entries_of(text: bytes) -> Iterator[bytes]:
    """Split whole lines into entries: a line with the stack trace below it.

    A line with a time begins an entry. What follows belongs to it as long as it is a stack trace:
    lines that are indented or empty, and the line that names the error at their end.
    """
    entry = b""
    in_trace = False
    for line in text.splitlines(keepends=True):
        continues = line.startswith(_CONTINUED)
        ends_trace = in_trace and not continues and not _STAMP.match(line)
        if entry and (continues or ends_trace) and len(entry) < _LONGEST_ENTRY:
            entry += line
        else:
            if entry:
                yield entry
            entry = line
        in_trace = continues
    if entry:
        yield entry


class _Seen:
    """An entry that was written."""

    __slots__ = ("first_line", "left_out", "since", "written")

    def __init__(self, first_line: bytes, since: float) -> None:
        self.first_line = first_line
        self.since = since
        self.written = 1
        self.left_out = 0


class RepeatedEntries:
    """Decides which entries are written: one that repeats, once a minute and with a count.

    Times of day at the beginning of an entry make no difference. At most 1,000 different entries
    are remembered; the count of the oldest is written when another takes its place.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._last = 0

    def to_write(self, entry: bytes, now: float) -> list[bytes]:
        """List what to write when this entry comes: it or nothing, behind counts that are due."""
        written = self.due(now)
        stamp = _STAMP.match(entry)
        message = entry[stamp.end() :] if stamp else entry
        # 64 bits that differ in each process: nobody can choose an entry that passes for another
        key = hash(message)
        in_a_row, self._last = key == self._last, key
        seen = self._seen.get(key)
        if seen is None:
            self._seen[key] = _Seen(message.partition(b"\n")[0][:_QUOTED], now)
            if len(self._seen) > _REMEMBERED:
                _, oldest = self._seen.popitem(last=False)
                written += _count(oldest, now)
            return [*written, entry]
        if not in_a_row and seen.written < NEWS_REPEATS and _NEWS.match(message):
            seen.written += 1
            return [*written, entry]
        seen.left_out += 1
        return written

    def due(self, now: float, *, all_of_them: bool = False) -> list[bytes]:
        """Write the counts of left out entries whose minute is over."""
        written: list[bytes] = []
        while self._seen:
            key, oldest = next(iter(self._seen.items()))
            if now - oldest.since < REPEAT_SECONDS and not all_of_them:
                break
            del self._seen[key]
            if oldest.left_out and not all_of_them:
                # the count is this minute's line
                self._seen[key] = _Seen(oldest.first_line, now)
            written += _count(oldest, now)
        return written

    @property
    def waiting_since(self) -> float | None:
        """Return the time at which the oldest entry was written; None if nothing is remembered."""
        return next(iter(self._seen.values())).since if self._seen else None


def _count(seen: _Seen, now: float) -> list[bytes]:
    if not seen.left_out:
        return []
    seconds = max(1, round(now - seen.since))
    return [
        b"%s (%d more times in %d s)%s\n"
        % (_stamp(), seen.left_out, seconds, b" " + seen.first_line.strip())
    ]


def _stamp() -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime()).encode()


class RotatedFile:
    """A file that is appended to, and moved aside when it has become large.

    Args:
        path: the log; the last ones are `PATH.1` and, older, `PATH.2`.
        largest: bytes from which it is moved aside.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: str, largest: int = LARGEST_LOG) -> None:
        self._path = path
        self._largest = largest
        self._lost = 0
        self._descriptor = self._open()

    def write(self, text: bytes) -> None:
        """Append; what cannot be written is left out, and counted once writing works again."""
        if self._lost:
            note = b"%s WARNING log: %d bytes of this log could not be written\n"
            text = note % (_stamp(), self._lost) + text
        if self._append(text):
            self._lost = 0
        else:
            self._lost += len(text)

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def _append(self, text: bytes) -> bool:
        try:
            size = os.fstat(self._descriptor).st_size
            if size and size + len(text) > self._largest:
                self._move_aside()
            rest = memoryview(text)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            return False
        return True

    def _move_aside(self) -> None:
        names = [self._path, *(f"{self._path}.{number}" for number in range(1, OLD_LOGS + 1))]
        try:
            for number in range(OLD_LOGS, 0, -1):
                with suppress(FileNotFoundError):
                    os.replace(names[number - 1], names[number])  # noqa: PTH105 - see above
            descriptor = self._open()
        except OSError:
            # a bounded disk matters more than an old log
            os.ftruncate(self._descriptor, 0)
            return
        os.close(self._descriptor)
        self._descriptor = descriptor

    def _open(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._path, flags, 0o600)


class LogWriter:
    """Takes what a child prints, piece by piece, and writes what is worth writing.

    Args:
        file: the file that is written.
        repeats: decides about entries that come again.
    """

    def __init__(self, file: RotatedFile, repeats: RepeatedEntries) -> None:
        self._file = file
        self._repeats = repeats
        self._rest = b""

    def write_lines(self, piece: bytes, now: float, *, more_follows: bool = False) -> None:
        """Write the whole lines of a piece; half a line waits for its end.

        Args:
            piece: the bytes as they were read.
            now: seconds of a clock that never goes back.
            more_follows: the last entry may go on in the next piece.
        """
        text = self._rest + piece
        end = len(text) if len(text) > _LONGEST_ENTRY + _CHUNK else text.rfind(b"\n") + 1
        entries = list(entries_of(text[:end]))
        self._rest = text[end:]
        if more_follows and entries and len(entries[-1]) < _LONGEST_ENTRY:
            self._rest = entries.pop() + self._rest
        self._write(entries, now)

    def pause(self, now: float) -> None:
        """Write what waits for more, and the counts that are due: nothing came for a while."""
        rest, self._rest = self._rest, b""
        self._write(list(entries_of(rest)), now)
        self._append(self._repeats.due(now))

    def end(self, now: float) -> None:
        """Write all that waits, and all counts: the child has ended."""
        self.pause(now)
        self._append(self._repeats.due(now, all_of_them=True))
        self._file.close()

    def patience(self, now: float) -> float | None:
        """Compute the seconds after which `pause` has something to do; None if it never does."""
        if self._rest:
            return _IDLE_SECONDS if self._rest.endswith(b"\n") else _HALF_LINE_SECONDS
        since = self._repeats.waiting_since
        return None if since is None else max(0.0, since + REPEAT_SECONDS - now)

    def _write(self, entries: list[bytes], now: float) -> None:
        self._append([text for entry in entries for text in self._repeats.to_write(entry, now)])

    def _append(self, texts: list[bytes]) -> None:
        if texts:
            self._file.write(b"".join(texts))


def main() -> None:
    """Write standard input to the log in the arguments."""
    largest = int(sys.argv[2]) if len(sys.argv) > 2 else LARGEST_LOG
    writer = LogWriter(RotatedFile(sys.argv[1], largest), RepeatedEntries())
    source = sys.stdin.fileno()
    while True:
        if not select.select([source], [], [], writer.patience(time.monotonic()))[0]:
            writer.pause(time.monotonic())
            continue
        piece = os.read(source, _CHUNK)
        if not piece:
            break
        writer.write_lines(piece, time.monotonic(), more_follows=len(piece) == _CHUNK)
    writer.end(time.monotonic())


if __name__ == "__main__":
    main()
