"""The log of a process: one line an event, in UTC, without the chatter of libraries."""

from __future__ import annotations

import logging
import time
from typing import Final

REPEAT_SECONDS: Final = 60.0
"""The shortest time between two lines of one kind: a lost broker is one line, not thousands."""

_QUIET: Final = ("faust", "mode", "aiohttp.access")
_REPETITIVE: Final = (
    "aiokafka",
    "faust",
    "mode",
    "aiohttp.server",
    "asyncio",
    "api.http.connections",
)
"""The loggers whose lines come as often as a client or a lost broker causes them."""

_MAX_KINDS: Final = 1_000
"""The largest number of kinds that are remembered: asyncio's lines name ever new objects."""

_SHOWN: Final = 200


class RepeatFilter(logging.Filter):
    """Lets a kind of line through once per interval; the next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide whether to show a record: ours, except those that any client can cause."""
        if not record.name.startswith(_REPETITIVE):
            return True
        error = record.exc_info[1] if record.exc_info else None
        # the format, not the text: libraries have a bounded number of these
        line = str(record.msg).partition("\n")[0][:100]
        kind = (record.name, line, type(error).__name__)
        last, left_out = self._shown.get(kind, (None, 0))
        if last is not None and record.created - last < REPEAT_SECONDS:
            self._shown[kind] = (last, left_out + 1)
            return False
        if len(self._shown) >= _MAX_KINDS:
            self._shown.clear()
        self._shown[kind] = (record.created, 0)
        if record.name == "aiohttp.server" or isinstance(error, OSError):
            _in_one_line(record, error)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more such lines since the last one)"
            record.args = None
        return True


def _in_one_line(record: logging.LogRecord, error: BaseException | None) -> None:
    """Shorten a record to one line: no stack is needed for what a client sends."""
    reason = "" if error is None else f": {error!r}"[:_SHOWN]
    record.msg = " ".join(f"{record.getMessage()[:_SHOWN]}{reason}".split())
    record.args = None
    record.exc_info = None
    record.exc_text = None


def log_to_stderr(level: int = logging.INFO) -> None:
    """Log to standard error."""
    formatter = logging.Formatter(
        "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S"
    )
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    handler.addFilter(RepeatFilter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("aiokafka").setLevel(logging.WARNING)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
