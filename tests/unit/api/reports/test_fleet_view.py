"""A report of many stores is put together from what comes, alike by every reader."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reports.view import ReportView
from stream_app.contracts.report_requests import (
    FLEET,
    FleetPartRequest,
    FleetRequest,
    encode_request,
)
from stream_app.contracts.report_results import (
    EXTRA_COLUMNS,
    ReportEvent,
    ResultChunk,
    encode_event,
)
from stream_app.contracts.topics import REPORT_REQUESTS, REPORT_RESULTS
from stream_app.domain.report import CSV_HEADER
from tests.fake_record import FakeRecord
from tests.unit.api.answers import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

REQUEST = FleetRequest(REPORT)
STORE = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"


def row(name: str) -> list[Any]:
    return [STORE, 60, 24.0, 168.0, 0, 0.0, 0.0, name, "0a", 3, 1.0, None]


def piece(
    part: int,
    *,
    parts: int = 2,
    attempt: str = "one",
    number: int = 0,
    pieces: int = 1,
    reference: int = 7,
) -> ReportEvent:
    """A piece whose one row tells where it comes from."""
    rows = [row(f"{reference}/{part}/{attempt}/{number}")]
    basis, offsets = {"lookback": "1h"}, {"store-status": part + 7}
    told = ResultChunk(part, parts, attempt, number, pieces, reference, rows, basis, offsets)
    return ReportEvent(REPORT, "running", 10, chunk=told)


@pytest.fixture
def log() -> Iterator[ReportView]:
    log = ReportView(Path(":memory:"))
    log.apply_request(REQUEST, 5)
    yield log
    log.close()


def take(log: ReportView, *events: ReportEvent) -> None:
    for event in events:
        log.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(event)))


def names(log: ReportView) -> list[list[str]]:
    """Of each part the names of its rows, which stand where a zone does."""
    zone = len(CSV_HEADER)
    return [
        [r[zone] for p in pieces for r in orjson.loads(p)]
        for pieces in log.stored_rows(REPORT).parts
    ]


def status(log: ReportView) -> str:
    state = log.get(REPORT)
    assert state is not None
    return state.status


def test_it_is_complete_with_its_last_part(log: ReportView) -> None:
    take(log, piece(1))
    state = log.get(REPORT)
    assert state is not None
    assert (state.status, state.subject, state.parts) == ("running", FLEET, (1, 2))
    assert state.document is None
    assert log.open_count() == 1

    take(log, piece(0))

    state = log.get(REPORT)
    assert state is not None
    assert (state.status, state.parts) == ("complete", (2, 2))
    assert state.document is not None
    assert state.document.fields == {
        "reference_time": "1970-01-01T00:00:00.000007Z",
        "lookback": "1h",
        "input_offsets": {"store-status": {"0": 7, "1": 8}},
        "columns": list(CSV_HEADER),
        "further": list(EXTRA_COLUMNS),
    }
    assert names(log) == [["7/0/one/0"], ["7/1/one/0"]]
    assert log.open_count() == 0


def test_a_part_counts_when_all_its_pieces_are_there(log: ReportView) -> None:
    take(log, piece(0), piece(1, pieces=2, number=1))
    assert status(log) == "running"

    take(log, piece(1, pieces=2, number=0))

    assert status(log) == "complete"
    assert names(log) == [["7/0/one/0"], ["7/1/one/0", "7/1/one/1"]]


def test_pieces_of_two_attempts_are_not_mixed(log: ReportView) -> None:
    """A worker that took over makes the part again, perhaps with other stores."""
    take(log, piece(0), piece(1, pieces=2, number=0))
    take(log, piece(1, attempt="two", pieces=2, number=1))
    assert status(log) == "running"

    take(log, piece(1, attempt="two", pieces=2, number=0))

    assert names(log) == [["7/0/one/0"], ["7/1/two/0", "7/1/two/1"]]


def test_parts_of_two_reference_times_are_not_mixed(log: ReportView) -> None:
    """Who took the request ended, and who takes it again finds a newer poll."""
    take(log, piece(0), piece(1, reference=8))
    assert status(log) == "running"

    take(log, piece(0, reference=8))

    assert names(log) == [["8/0/one/0"], ["8/1/one/0"]]


def test_the_first_attempt_that_came_whole_stays(log: ReportView) -> None:
    take(log, piece(0), piece(0, attempt="two"), piece(0), piece(1), piece(1, attempt="two"))

    assert names(log) == [["7/0/one/0"], ["7/1/one/0"]]


def test_what_comes_after_the_end_changes_nothing(log: ReportView) -> None:
    take(log, piece(0), piece(1))
    before = log.get(REPORT), names(log)

    take(log, piece(0, reference=9), piece(1, reference=9), piece(1, attempt="two"))
    take(log, ReportEvent(REPORT, "failed", 20, reason="too late"))

    assert (log.get(REPORT), names(log)) == before


def test_a_failure_is_the_end_and_drops_what_came(log: ReportView) -> None:
    take(log, piece(0), ReportEvent(REPORT, "failed", 20, reason="a part failed"), piece(1))

    state = log.get(REPORT)
    assert state is not None
    assert (state.status, state.reason) == ("failed", "a part failed")
    assert names(log) == []
    assert log._database.execute("SELECT count(*) FROM chunk").fetchone() == (0,)


def test_forgetting_a_report_forgets_its_rows(log: ReportView) -> None:
    take(log, piece(0), piece(1))

    assert log.expire(6, 0) == 1

    assert names(log) == []
    assert log._database.execute("SELECT count(*) FROM part").fetchone() == (0,)


def test_a_request_for_a_part_is_no_report_of_its_own(log: ReportView) -> None:
    other = REPORT.replace("7", "8", 1)
    asked = encode_request(FleetPartRequest(other, 0, 2, 7, 5))

    log.on_record(FakeRecord(REPORT_REQUESTS.name, asked))

    assert log.get(other) is None


def test_rows_may_come_before_the_request_is_read() -> None:
    log = ReportView(Path(":memory:"))
    take(log, piece(0), piece(1))
    log.apply_request(REQUEST, 5)

    state = log.get(REPORT)
    assert state is not None
    assert (state.status, state.subject) == ("complete", FLEET)
    log.close()


# -- any history


events = st.lists(
    st.one_of(
        st.builds(
            piece,
            st.integers(0, 1),
            attempt=st.sampled_from("ab"),
            number=st.integers(0, 1),
            pieces=st.just(2),
            reference=st.integers(7, 8),
        ),
        st.just(ReportEvent(REPORT, "failed", 20, reason="late")),
        st.just(ReportEvent(REPORT, "running", 10)),
    ),
    max_size=25,
)


def expected(history: list[ReportEvent]) -> tuple[str, list[list[str]]]:
    """The first final moment of the history, found the long way."""
    seen: set[tuple[int, int, str, int]] = set()
    whole: dict[tuple[int, int], str] = {}
    for event in history:
        if event.status == "failed":
            return "failed", []
        if event.chunk is None:
            continue
        told = event.chunk
        seen.add((told.reference_time, told.part, told.attempt, told.chunk))
        if all((told.reference_time, told.part, told.attempt, n) in seen for n in range(2)):
            whole.setdefault((told.reference_time, told.part), told.attempt)
        reference = told.reference_time
        if all((reference, part) in whole for part in range(2)):
            return "complete", [
                [f"{reference}/{part}/{whole[reference, part]}/{n}" for n in range(2)]
                for part in range(2)
            ]
    return "running" if history else "pending", []


@given(events)
def test_any_history_ends_as_the_first_whole_set_or_failure_says(
    history: list[ReportEvent],
) -> None:
    log = ReportView(Path(":memory:"))
    try:
        log.apply_request(REQUEST, 5)
        take(log, *history)
        end, rows = expected(history)
        assert status(log) == end
        if end != "running":
            assert names(log) == rows
    finally:
        log.close()


def test_rows_are_read_as_they_are_needed(log: ReportView) -> None:
    take(log, piece(0, number=0, pieces=2), piece(1), piece(0, number=1, pieces=2))

    pieces = log.stored_rows(REPORT)

    sizes = [[len(rows) for rows in part] for part in log.stored_rows(REPORT).parts]
    assert [len(part) for part in sizes] == [2, 1]
    assert pieces.size == sum(map(sum, sizes))
    assert pieces.held == sum(map(max, sizes))
    # one that is forgotten meanwhile does not end as if that were all
    next(pieces.parts[0])
    log.expire(10**9, 0)
    with pytest.raises(LookupError):
        next(pieces.parts[0])
