"""A report of many stores is put together from its parts, in the same way by every reader."""

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


def chunk(
    part: int,
    *,
    parts: int = 2,
    attempt: str = "one",
    number: int = 0,
    chunks: int = 1,
    reference: int = 7,
) -> ReportEvent:
    """Return the event of a chunk whose one row says where it comes from."""
    rows = [row(f"{reference}/{part}/{attempt}/{number}")]
    provenance, offsets = {"lookback": "1h"}, {"store-status": part + 7}
    result = ResultChunk(part, parts, attempt, number, chunks, reference, rows, provenance, offsets)
    return ReportEvent(REPORT, "running", 10, chunk=result)


@pytest.fixture
def view() -> Iterator[ReportView]:
    view = ReportView(Path(":memory:"))
    view.apply_request(REQUEST, 5)
    yield view
    view.close()


def apply(view: ReportView, *events: ReportEvent) -> None:
    for event in events:
        view.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(event)))


def names(view: ReportView) -> list[list[str]]:
    """Return for each part the names of its rows, which stand in the column of the timezone."""
    column = len(CSV_HEADER)
    return [
        [r[column] for p in chunks for r in orjson.loads(p)]
        for chunks in view.stored_rows(REPORT).parts
    ]


def status(view: ReportView) -> str:
    state = view.get(REPORT)
    assert state is not None
    return state.status


def test_a_report_is_complete_with_its_last_part(view: ReportView) -> None:
    apply(view, chunk(1))
    state = view.get(REPORT)
    assert state is not None
    assert (state.status, state.subject, state.parts) == ("running", FLEET, (1, 2))
    assert state.document is None
    assert view.open_count() == 1

    apply(view, chunk(0))

    state = view.get(REPORT)
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
    assert names(view) == [["7/0/one/0"], ["7/1/one/0"]]
    assert view.open_count() == 0


def test_a_part_counts_when_all_its_chunks_are_read(view: ReportView) -> None:
    apply(view, chunk(0), chunk(1, chunks=2, number=1))
    assert status(view) == "running"

    apply(view, chunk(1, chunks=2, number=0))

    assert status(view) == "complete"
    assert names(view) == [["7/0/one/0"], ["7/1/one/0", "7/1/one/1"]]


def test_chunks_of_two_attempts_are_not_mixed(view: ReportView) -> None:
    """A new owner makes the part again, perhaps with other stores."""
    apply(view, chunk(0), chunk(1, chunks=2, number=0))
    apply(view, chunk(1, attempt="two", chunks=2, number=1))
    assert status(view) == "running"

    apply(view, chunk(1, attempt="two", chunks=2, number=0))

    assert names(view) == [["7/0/one/0"], ["7/1/two/0", "7/1/two/1"]]


def test_parts_of_two_reference_times_are_not_mixed(view: ReportView) -> None:
    """A worker ended, and the next owner makes the report again, with a newer poll."""
    apply(view, chunk(0), chunk(1, reference=8))
    assert status(view) == "running"

    apply(view, chunk(0, reference=8))

    assert names(view) == [["8/0/one/0"], ["8/1/one/0"]]


def test_the_first_complete_attempt_of_a_part_stays(view: ReportView) -> None:
    apply(view, chunk(0), chunk(0, attempt="two"), chunk(0), chunk(1), chunk(1, attempt="two"))

    assert names(view) == [["7/0/one/0"], ["7/1/one/0"]]


def test_events_after_the_final_status_change_nothing(view: ReportView) -> None:
    apply(view, chunk(0), chunk(1))
    before = view.get(REPORT), names(view)

    apply(view, chunk(0, reference=9), chunk(1, reference=9), chunk(1, attempt="two"))
    apply(view, ReportEvent(REPORT, "failed", 20, reason="too late"))

    assert (view.get(REPORT), names(view)) == before


def test_a_failure_is_final_and_drops_the_parts(view: ReportView) -> None:
    apply(view, chunk(0), ReportEvent(REPORT, "failed", 20, reason="a part failed"), chunk(1))

    state = view.get(REPORT)
    assert state is not None
    assert (state.status, state.reason) == ("failed", "a part failed")
    assert names(view) == []
    assert view._database.execute("SELECT count(*) FROM chunk").fetchone() == (0,)


def test_a_report_that_expires_loses_its_rows(view: ReportView) -> None:
    apply(view, chunk(0), chunk(1))

    assert view.expire(6, 0) == 1

    assert names(view) == []
    assert view._database.execute("SELECT count(*) FROM part").fetchone() == (0,)


def test_a_request_for_a_part_is_no_report_of_its_own(view: ReportView) -> None:
    other = REPORT.replace("7", "8", 1)
    request = encode_request(FleetPartRequest(other, 0, 2, 7, 5))

    view.on_record(FakeRecord(REPORT_REQUESTS.name, request))

    assert view.get(other) is None


def test_rows_may_come_before_the_request_is_read() -> None:
    view = ReportView(Path(":memory:"))
    apply(view, chunk(0), chunk(1))
    view.apply_request(REQUEST, 5)

    state = view.get(REPORT)
    assert state is not None
    assert (state.status, state.subject) == ("complete", FLEET)
    view.close()


# -- any history


events = st.lists(
    st.one_of(
        st.builds(
            chunk,
            st.integers(0, 1),
            attempt=st.sampled_from("ab"),
            number=st.integers(0, 1),
            chunks=st.just(2),
            reference=st.integers(7, 8),
        ),
        st.just(ReportEvent(REPORT, "failed", 20, reason="late")),
        st.just(ReportEvent(REPORT, "running", 10)),
    ),
    max_size=25,
)


def expected(history: list[ReportEvent]) -> tuple[str, list[list[str]]]:
    """Return the first final status of the history and its rows, by a simple calculation."""
    seen: set[tuple[int, int, str, int]] = set()
    whole: dict[tuple[int, int], str] = {}
    for event in history:
        if event.status == "failed":
            return "failed", []
        if event.chunk is None:
            continue
        result = event.chunk
        seen.add((result.reference_time, result.part, result.attempt, result.chunk))
        if all((result.reference_time, result.part, result.attempt, n) in seen for n in range(2)):
            whole.setdefault((result.reference_time, result.part), result.attempt)
        reference = result.reference_time
        if all((reference, part) in whole for part in range(2)):
            return "complete", [
                [f"{reference}/{part}/{whole[reference, part]}/{n}" for n in range(2)]
                for part in range(2)
            ]
    return "running" if history else "pending", []


@given(events)
def test_any_history_ends_as_its_first_complete_set_of_parts_or_failure_says(
    history: list[ReportEvent],
) -> None:
    view = ReportView(Path(":memory:"))
    try:
        view.apply_request(REQUEST, 5)
        apply(view, *history)
        end, rows = expected(history)
        assert status(view) == end
        if end != "running":
            assert names(view) == rows
    finally:
        view.close()


def test_rows_are_read_as_they_are_needed(view: ReportView) -> None:
    apply(view, chunk(0, number=0, chunks=2), chunk(1), chunk(0, number=1, chunks=2))

    chunks = view.stored_rows(REPORT)

    sizes = [[len(rows) for rows in part] for part in view.stored_rows(REPORT).parts]
    assert [len(part) for part in sizes] == [2, 1]
    assert chunks.size == sum(map(sum, sizes))
    assert chunks.bytes_in_memory == sum(map(max, sizes))
    # a report that expires meanwhile does not end as if it were complete
    next(chunks.parts[0])
    view.expire(10**9, 0)
    with pytest.raises(LookupError):
        next(chunks.parts[0])
