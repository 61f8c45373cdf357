"""How processes log: one line an event, UTC, the chatter of libraries left out."""

from __future__ import annotations

import logging
import time
from typing import Final

REPEAT_SECONDS: Final = 60.0
"""A library's complaint is shown at most this often: one lost broker is one line, not thousands."""

_QUIET: Final = ("faust", "mode", "aiohttp.access")
_REPETITIVE: Final = ("aiokafka", "faust", "mode")


class RepeatFilter(logging.Filter):
    """Lets a library's message through once per interval, whatever its arguments are."""

    def __init__(self) -> None:
        super().__init__()
        self._shown: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to show the record; ours always are."""
        if not record.name.startswith(_REPETITIVE):
            return True
        # the format, not the text: libraries have a bounded number of these
        message = (record.name, str(record.msg)[:100])
        last = self._shown.get(message)
        if last is not None and record.created - last < REPEAT_SECONDS:
            return False
        self._shown[message] = record.created
        return True


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
