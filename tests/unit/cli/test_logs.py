from __future__ import annotations

import logging

from stream_app.cli.logs import REPEAT_SECONDS, RepeatFilter


def record(name: str, message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, "file", 1, message, ("argument",), None)
    made.created = created
    return made


def test_a_library_repeats_itself_once_in_a_while_only() -> None:
    shown = RepeatFilter()
    assert shown.filter(record("aiokafka.client", "no connection to %s", 100))
    assert not shown.filter(record("aiokafka.client", "no connection to %s", 101))
    assert shown.filter(record("aiokafka.client", "another trouble: %s", 101))
    assert shown.filter(record("aiokafka.client", "no connection to %s", 100 + REPEAT_SECONDS))


def test_our_own_lines_are_always_shown() -> None:
    shown = RepeatFilter()
    assert all(
        shown.filter(record("stream_app.agents.ingest", "refused %s", 100)) for _ in range(3)
    )
