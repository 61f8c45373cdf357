from __future__ import annotations

import errno
import logging
from typing import Any

from stream_app.cli.logs import _MAX_KINDS, REPEAT_SECONDS, RepeatFilter

_CONNECTIONS = "api.http.connections"
_UNREADABLE = "a request from %s cannot be read"


def record(
    name: str, message: str, created: float, error: Exception | None = None
) -> logging.LogRecord:
    info: Any = None if error is None else (type(error), error, error.__traceback__)
    made = logging.LogRecord(name, logging.ERROR, "file", 1, message, ("argument",), info)
    made.created = created
    return made


def test_a_repeated_line_of_a_library_is_shown_once_per_interval() -> None:
    shown = RepeatFilter()
    assert shown.filter(record("aiokafka.client", "no connection to %s", 100))
    assert not shown.filter(record("aiokafka.client", "no connection to %s", 101))
    assert shown.filter(record("aiokafka.client", "another trouble: %s", 101))
    assert shown.filter(record("aiokafka.client", "no connection to %s", 100 + REPEAT_SECONDS))


def test_omitted_lines_are_counted() -> None:
    shown = RepeatFilter()
    for second in range(50):
        shown.filter(record(_CONNECTIONS, _UNREADABLE, 100 + second))
    next_line = record(_CONNECTIONS, _UNREADABLE, 100 + REPEAT_SECONDS)
    assert shown.filter(next_line)
    assert next_line.getMessage() == (
        "a request from argument cannot be read (49 more such lines since the last one)"
    )
    later_line = record(
        "api.http.connections", "a request from %s cannot be read", 101 + 2 * REPEAT_SECONDS
    )
    assert shown.filter(later_line)
    assert later_line.getMessage() == "a request from argument cannot be read"


def test_our_own_lines_are_always_shown() -> None:
    shown = RepeatFilter()
    assert all(
        shown.filter(record("stream_app.worker.agents.ingest", "refused %s", 100)) for _ in range(3)
    )


def test_a_bad_request_is_one_short_line_without_a_stack() -> None:
    shown = RepeatFilter()
    error = ValueError("400, message:\n  " + "x" * 8000)
    line = record("aiohttp.server", "Error handling request from %s", 100, error)
    assert shown.filter(line)
    text = logging.Formatter("%(message)s").format(line)
    assert "\n" not in text
    assert text.startswith("Error handling request from argument: ValueError(")
    assert len(text) < 500


def test_a_lack_of_file_descriptors_is_one_line_and_counted() -> None:
    """asyncio's own message has two lines and a stack, at every turn of the loop."""
    shown = RepeatFilter()
    error = OSError(errno.EMFILE, "Too many open files")
    lines = [
        record(
            "asyncio",
            f"socket.accept() out of system resource\nsocket: <asyncio fd={number}>%s",
            100 + number,
            error,
        )
        for number in range(61)
    ]
    assert [number for number, line in enumerate(lines) if shown.filter(line)] == [0, 60]
    text = logging.Formatter("%(message)s").format(lines[60])
    assert "\n" not in text
    assert "Too many open files" in text
    assert text.endswith("(59 more such lines since the last one)")


def test_another_error_in_the_loop_keeps_its_stack() -> None:
    shown = RepeatFilter()
    shown.filter(record("asyncio", "Task exception of %s was never retrieved", 100, OSError("x")))
    line = record("asyncio", "Task exception of %s was never retrieved", 100, KeyError("y"))
    assert shown.filter(line)
    assert line.exc_info is not None


def test_the_filter_stores_a_bounded_number_of_kinds() -> None:
    shown = RepeatFilter()
    for number in range(3 * _MAX_KINDS):
        shown.filter(record("asyncio", f"Exception in callback <{number}>", 100))
    assert len(shown._last_shown) <= _MAX_KINDS
