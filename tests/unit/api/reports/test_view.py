from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.reports.view import ReportView
from stream_app.contracts.report_requests import ReportRequest, encode_request
from stream_app.contracts.report_results import FINAL, ReportDocument, ReportEvent, encode_event
from stream_app.contracts.topics import (
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_QUERIES,
)
from stream_app.domain.report_spec import ReportSpec
from stream_app.errors import RecordError
from tests.fake_record import FakeRecord
from tests.fakes import report_state
from tests.unit.api.answers import CONTENT, REPORT, STORE

if TYPE_CHECKING:
    from collections.abc import Iterator

OTHER = "1f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
SECOND = 1_000_000
REQUEST = ReportRequest(REPORT, STORE, reference_time=77)

RUNNING = ReportEvent(REPORT, "running", 10)
COMPLETE = ReportEvent(REPORT, "complete", 20, report=ReportDocument.decode(CONTENT))
FAILED = ReportEvent(REPORT, "failed", 20, reason="too late")
FAILED_OTHERWISE = ReportEvent(REPORT, "failed", 30, reason="another reason")


def open_view(path: Path | Literal[":memory:"] = ":memory:") -> ReportView:
    return ReportView(path)  # type: ignore[arg-type]  # SQLite has a word of its own for no file


@pytest.fixture
def view() -> Iterator[ReportView]:
    view = open_view()
    yield view
    view.close()


def ids(count: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{number:012}" for number in range(count)]


def test_a_report_that_nobody_requested_is_unknown(view: ReportView) -> None:
    assert view.get(REPORT) is None


def test_a_request_is_pending(view: ReportView) -> None:
    view.apply_request(REQUEST, 5)
    assert view.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)
    assert view.open_count() == 1


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (RUNNING, {}),
        (COMPLETE, {"content": CONTENT}),
        (FAILED, {"reason": "too late"}),
        (ReportEvent(REPORT, "complete", 20), {"content": None}),
    ],
)
def test_an_event_changes_the_status(
    view: ReportView, event: ReportEvent, fields: dict[str, Any]
) -> None:
    view.apply_request(REQUEST, 5)
    view.apply_status(event)
    expected = report_state(REPORT, event.status, subject=STORE, reference_time=77, **fields)
    assert view.get(REPORT) == expected
    assert view.open_count() == (event.status == "running")


@pytest.mark.parametrize("first", [COMPLETE, FAILED])
@pytest.mark.parametrize("later", [RUNNING, COMPLETE, FAILED, FAILED_OTHERWISE])
def test_the_first_final_status_stays_whatever_comes_later(
    view: ReportView, first: ReportEvent, later: ReportEvent
) -> None:
    view.apply_request(REQUEST, 5)
    view.apply_status(RUNNING)
    view.apply_status(first)
    state = view.get(REPORT)
    view.apply_status(later)
    view.apply_request(REQUEST, 50)
    assert view.get(REPORT) == state
    assert view.open_count() == 0


def test_a_result_may_come_before_its_request(view: ReportView) -> None:
    view.apply_status(COMPLETE)
    assert view.get(REPORT) == report_state(REPORT, "complete", content=CONTENT)
    view.apply_request(REQUEST, 5)
    expected = report_state(REPORT, "complete", content=CONTENT, subject=STORE, reference_time=77)
    assert view.get(REPORT) == expected


def test_the_age_of_a_report_is_that_of_its_request_even_if_it_comes_late(view: ReportView) -> None:
    view.apply_status(ReportEvent(REPORT, "running", 1000))
    view.apply_request(REQUEST, 5)
    assert view.overdue(6, 10) == [(REPORT, False)]


def test_a_second_request_changes_nothing(view: ReportView) -> None:
    view.apply_request(REQUEST, 5)
    view.apply_request(ReportRequest(REPORT, OTHER, reference_time=78), 50)
    assert view.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)
    assert view.overdue(6, 10) == [(REPORT, False)]
    assert view.open_count() == 1


def test_a_request_that_was_forwarded_keeps_its_age(view: ReportView) -> None:
    view.apply_request(ReportRequest(REPORT, STORE, requested_at=5), 1000)
    assert view.overdue(6, 10) == [(REPORT, False)]


def test_a_request_cannot_postpone_its_deadline(view: ReportView) -> None:
    """Such a report would be running for ever where no worker processes it."""
    view.apply_request(replace(REQUEST, requested_at=10**15), 5)
    assert view.overdue(6, 10) == [(REPORT, False)]


def test_overdue_reports_are_the_open_ones_the_oldest_first(view: ReportView) -> None:
    young, old, done, oldest, failed, middle = ids(6)
    for report_id, at in [
        (young, 100),
        (old, 20),
        (done, 1),
        (oldest, 10),
        (failed, 2),
        (middle, 30),
    ]:
        view.apply_request(ReportRequest(report_id, STORE), at)
    view.apply_status(ReportEvent(done, "complete", 40, report=ReportDocument.decode(CONTENT)))
    view.apply_status(ReportEvent(failed, "failed", 40, reason="x"))
    view.apply_status(ReportEvent(old, "running", 40))
    assert view.overdue(100, 10) == [(oldest, False), (old, False), (middle, False)]
    assert view.overdue(100, 2) == [(oldest, False), (old, False)]
    assert view.overdue(20, 10) == [(oldest, False)]
    assert view.overdue(10, 10) == []


def test_only_reports_that_are_old_enough_expire(view: ReportView) -> None:
    first, second, third = ids(3)
    for at, report_id in enumerate([first, second, third]):
        view.apply_request(ReportRequest(report_id, STORE), at)
    view.apply_status(ReportEvent(first, "complete", 40, report=ReportDocument.decode(CONTENT)))
    assert view.expire(2, 0) == 2
    assert [view.get(report_id) is None for report_id in (first, second, third)] == [
        True,
        True,
        False,
    ]
    assert view.open_count() == 1
    assert view.expire(2, 0) == 0


def test_records_of_both_topics_are_applied(view: ReportView) -> None:
    view.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=5))
    # Kafka's time is in milliseconds
    assert view.overdue(5000, 10) == []
    assert view.overdue(5001, 10) == [(REPORT, False)]
    view.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(COMPLETE)))
    assert view.get(REPORT) == report_state(
        REPORT, "complete", content=CONTENT, subject=STORE, reference_time=77
    )


GARBAGE = [
    None,
    b"",
    b"\xff",
    b"[]",
    b"{}",
    f'{{"report_id": "{REPORT}"}}'.encode(),
    f'{{"report_id": "{REPORT}", "store_id": "x"}}'.encode(),
    f'{{"report_id": "{REPORT}", "status": []}}'.encode(),
    f'{{"report_id": "{REPORT}", "status": "complete"}}'.encode(),
    f'{{"report_id": "{REPORT}", "status": "done", "at": "2024-03-10T12:00:00Z"}}'.encode(),
    f'{{"report_id": "{REPORT}", "status": "failed", "at": "2024-03-10T12:00:00Z",'
    ' "reason": ["x"]}'.encode(),
    f'{{"report_id": "{REPORT}", "status": "complete", "at": "2024-03-10T12:00:00Z",'
    f' "report": {{"store_id": {"[" * 500}{"]" * 500}}}}}'.encode(),
]


@pytest.mark.parametrize("value", GARBAGE)
@pytest.mark.parametrize("topic", [REPORT_REQUESTS.name, REPORT_RESULTS.name])
def test_garbage_changes_nothing(view: ReportView, topic: str, value: bytes | None) -> None:
    with pytest.raises(RecordError):
        view.on_record(FakeRecord(topic, value))
    assert view.get(REPORT) is None
    view.apply_request(REQUEST, 5)
    with pytest.raises(RecordError):
        view.on_record(FakeRecord(topic, value))
    assert view.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)


def test_the_view_is_stored_in_the_file_that_it_is_given(tmp_path: Path) -> None:
    view = open_view(tmp_path / "reports.sqlite")
    view.apply_request(REQUEST, 5)
    assert (tmp_path / "reports.sqlite").stat().st_size > 0
    view.close()


# -- any interleaving of the two topics ends in the same state ------------------------------

REPORTS = ids(3)
times = st.integers(0, 50)

requests = st.builds(
    ReportRequest,
    st.sampled_from(REPORTS),
    st.sampled_from([STORE, OTHER]),
    st.none() | times,
    st.none() | times,
)
events = st.one_of(
    st.builds(ReportEvent, st.sampled_from(REPORTS), st.just("running"), times),
    st.builds(
        ReportEvent, st.sampled_from(REPORTS), st.just("failed"), times, st.sampled_from("ab")
    ),
    st.builds(
        ReportEvent,
        st.sampled_from(REPORTS),
        st.just("complete"),
        times,
        st.none(),
        st.sampled_from([ReportDocument({"store_id": STORE}), ReportDocument({"store_id": OTHER})]),
    ),
)


def state_of(view: ReportView) -> tuple[Any, ...]:
    """Return all that a view shows; the view is empty afterwards."""
    states = [view.get(report_id) for report_id in REPORTS]
    overdue = [view.overdue(at, 10) for at in range(0, 60, 3)]
    expired = [view.expire(at, 0) for at in range(60)]
    return states, overdue, expired


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """Return the records of the two topics; every report with a result was requested."""
    requested = draw(st.lists(st.tuples(requests, times), max_size=6))
    known = {request.report_id for request, _ in requested}
    reported = draw(st.lists(events, max_size=8))
    return requested, [event for event in reported if event.report_id in known]


def read(requested: list[Any], reported: list[Any], requests_first: list[bool]) -> tuple[Any, ...]:
    """Read both topics, each in its order; `requests_first` says which is read next."""
    view = open_view()
    try:
        waiting, results = list(requested), list(reported)
        turns = iter(requests_first)
        while waiting or results:
            if waiting and (not results or next(turns, True)):
                view.apply_request(*waiting.pop(0))
            else:
                view.apply_status(results.pop(0))
        return state_of(view)
    finally:
        view.close()


@given(histories(), st.lists(st.booleans(), max_size=14))
def test_any_interleaving_of_the_topics_ends_in_the_same_state(
    history: tuple[list[Any], list[Any]], requests_first: list[bool]
) -> None:
    requested, reported = history
    in_order = read(requested, reported, [])
    assert read(requested, reported, requests_first) == in_order
    assert read(requested, reported, [False] * len(reported)) == in_order


@given(histories())
def test_the_state_is_the_first_request_and_the_first_final_event(
    history: tuple[list[Any], list[Any]],
) -> None:
    requested, reported = history
    states, _, _ = read(requested, reported, [])
    for report_id, state in zip(REPORTS, states, strict=True):
        first = next((r for r, _ in requested if r.report_id == report_id), None)
        if first is None:
            assert state is None
            continue
        mine = [event for event in reported if event.report_id == report_id]
        final = next((event for event in mine if event.status in FINAL), None)
        assert (state.subject, state.reference_time) == (first.store_id, first.reference_time)
        if final is None:
            assert state.status == ("running" if mine else "pending")
        else:
            assert (state.status, state.reason, state.document) == (
                final.status,
                final.reason,
                final.report,
            )


# -- queries


def test_queries_are_kept_apart_by_their_topics(view: ReportView) -> None:
    query = replace(REQUEST, report_id=OTHER)
    view.on_record(FakeRecord(STORE_QUERIES.name, encode_request(query), timestamp=5))
    view.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=6))
    assert view.overdue(10_000, 10) == [(OTHER, True), (REPORT, False)]

    answer = ReportEvent(OTHER, "complete", 7, report=ReportDocument.decode(CONTENT))
    view.on_record(FakeRecord(QUERY_RESULTS.name, encode_event(answer)))
    state = view.get(OTHER)
    assert state is not None
    assert (state.status, state.document) == ("complete", ReportDocument.decode(CONTENT))


def test_queries_expire_sooner(view: ReportView) -> None:
    view.apply_request(REQUEST, 5)
    view.apply_request(replace(REQUEST, report_id=OTHER), 5, query=True)

    assert view.expire(0, 6) == 1

    assert view.get(OTHER) is None
    assert view.get(REPORT) is not None


def test_the_request_of_a_report_is_stored(view: ReportView) -> None:
    request = replace(REQUEST, spec=ReportSpec(daily=True))
    view.apply_request(request, 5)
    assert view.request(REPORT) == request
    assert view.request(OTHER) is None
    view.apply_status(ReportEvent(OTHER, "complete", 7, report=ReportDocument.decode(CONTENT)))
    assert view.request(OTHER) is None


def test_waiting_clients_are_notified_of_every_result() -> None:
    notified: list[str] = []
    view = ReportView(Path(":memory:"), notified.append)
    view.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=5))
    view.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(COMPLETE)))
    with pytest.raises(RecordError):
        view.on_record(FakeRecord(REPORT_RESULTS.name, b"{}"))
    view.close()
    assert notified == [REPORT]
