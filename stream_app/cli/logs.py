"""Sets up the log of a process: one line for each event, in UTC; libraries may not flood it."""

from __future__ import annotations

import logging
import time
from typing import Final

REPEAT_SECONDS: Final = 60.0
"""Least time between two lines of the same kind: a lost broker gives one line, not thousands."""

_QUIET: Final = ("faust", "mode", "aiohttp.access")
_REPETITIVE: Final = (
    "aiokafka",
    "faust",
    "mode",
    "aiohttp.server",
    "asyncio",
    "api.http.connections",
)
"""Loggers that clients or a lost broker can make write any number of lines."""

_MAX_KINDS: Final = 1_000
"""Most kinds of lines that are remembered; asyncio's lines would make a new kind each time."""

_MAX_CHARACTERS: Final = 200


class RepeatFilter(logging.Filter):
    """Shows a line of each kind once a minute; the next one says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._last_shown: dict[tuple[str, str, str], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for a record of a repetitive logger that repeats a line shown just now."""
        if not record.name.startswith(_REPETITIVE):
            return True
        error = record.exc_info[1] if record.exc_info else None
        # the format and not the text: libraries have a limited number of formats
        line = str(record.msg).partition("\n")[0][:100]
        kind = (record.name, line, type(error).__name__)
        last, left_out = self._last_shown.get(kind, (None, 0))
        if last is not None and record.created - last < REPEAT_SECONDS:
            self._last_shown[kind] = (last, left_out + 1)
            return False
        if len(self._last_shown) >= _MAX_KINDS:
            self._last_shown.clear()
        self._last_shown[kind] = (record.created, 0)
        if record.name == "aiohttp.server" or isinstance(error, OSError):
            _in_one_line(record, error)
        if left_out:
            record.msg = f"{record.getMessage()} ({left_out} more such lines since the last one)"
            record.args = None
        return True


def _in_one_line(record: logging.LogRecord, error: BaseException | None) -> None:
    """Shorten a record to one line: errors that a client causes need no stack trace."""
    reason = "" if error is None else f": {error!r}"[:_MAX_CHARACTERS]
    record.msg = " ".join(f"{record.getMessage()[:_MAX_CHARACTERS]}{reason}".split())
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
