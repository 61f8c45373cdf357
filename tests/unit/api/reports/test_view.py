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


def a_log(path: Path | Literal[":memory:"] = ":memory:") -> ReportView:
    return ReportView(path)  # type: ignore[arg-type]  # SQLite takes its own word for no file


@pytest.fixture
def log() -> Iterator[ReportView]:
    log = a_log()
    yield log
    log.close()


def ids(count: int) -> list[str]:
    return [f"00000000-0000-4000-8000-{number:012}" for number in range(count)]


def test_what_nobody_asked_for_is_unknown(log: ReportView) -> None:
    assert log.get(REPORT) is None


def test_a_request_is_pending(log: ReportView) -> None:
    log.apply_request(REQUEST, 5)
    assert log.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)
    assert log.open_count() == 1


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (RUNNING, {}),
        (COMPLETE, {"content": CONTENT}),
        (FAILED, {"reason": "too late"}),
        (ReportEvent(REPORT, "complete", 20), {"content": None}),
    ],
)
def test_an_event_changes_the_status(
    log: ReportView, event: ReportEvent, told: dict[str, Any]
) -> None:
    log.apply_request(REQUEST, 5)
    log.apply_status(event)
    expected = report_state(REPORT, event.status, subject=STORE, reference_time=77, **told)
    assert log.get(REPORT) == expected
    assert log.open_count() == (event.status == "running")


@pytest.mark.parametrize("first", [COMPLETE, FAILED])
@pytest.mark.parametrize("later", [RUNNING, COMPLETE, FAILED, FAILED_OTHERWISE])
def test_the_first_final_status_stays_whatever_comes_later(
    log: ReportView, first: ReportEvent, later: ReportEvent
) -> None:
    log.apply_request(REQUEST, 5)
    log.apply_status(RUNNING)
    log.apply_status(first)
    state = log.get(REPORT)
    log.apply_status(later)
    log.apply_request(REQUEST, 50)
    assert log.get(REPORT) == state
    assert log.open_count() == 0


def test_a_result_may_come_before_its_request(log: ReportView) -> None:
    log.apply_status(COMPLETE)
    assert log.get(REPORT) == report_state(REPORT, "complete", content=CONTENT)
    log.apply_request(REQUEST, 5)
    expected = report_state(REPORT, "complete", content=CONTENT, subject=STORE, reference_time=77)
    assert log.get(REPORT) == expected


def test_the_age_of_a_report_is_that_of_its_request_even_if_it_comes_late(log: ReportView) -> None:
    log.apply_status(ReportEvent(REPORT, "running", 1000))
    log.apply_request(REQUEST, 5)
    assert log.overdue(6, 10) == [(REPORT, False)]


def test_asking_twice_changes_nothing(log: ReportView) -> None:
    log.apply_request(REQUEST, 5)
    log.apply_request(ReportRequest(REPORT, OTHER, reference_time=78), 50)
    assert log.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)
    assert log.overdue(6, 10) == [(REPORT, False)]
    assert log.open_count() == 1


def test_a_request_that_was_passed_on_keeps_its_age(log: ReportView) -> None:
    log.apply_request(ReportRequest(REPORT, STORE, requested_at=5), 1000)
    assert log.overdue(6, 10) == [(REPORT, False)]


def test_a_request_cannot_put_its_deadline_off(log: ReportView) -> None:
    """It would be running for ever where no worker takes it."""
    log.apply_request(replace(REQUEST, requested_at=10**15), 5)
    assert log.overdue(6, 10) == [(REPORT, False)]


def test_overdue_are_the_open_ones_oldest_first(log: ReportView) -> None:
    young, old, done, oldest, failed, middle = ids(6)
    for report_id, at in [
        (young, 100),
        (old, 20),
        (done, 1),
        (oldest, 10),
        (failed, 2),
        (middle, 30),
    ]:
        log.apply_request(ReportRequest(report_id, STORE), at)
    log.apply_status(ReportEvent(done, "complete", 40, report=ReportDocument.decode(CONTENT)))
    log.apply_status(ReportEvent(failed, "failed", 40, reason="x"))
    log.apply_status(ReportEvent(old, "running", 40))
    assert log.overdue(100, 10) == [(oldest, False), (old, False), (middle, False)]
    assert log.overdue(100, 2) == [(oldest, False), (old, False)]
    assert log.overdue(20, 10) == [(oldest, False)]
    assert log.overdue(10, 10) == []


def test_forget_drops_what_is_older(log: ReportView) -> None:
    first, second, third = ids(3)
    for at, report_id in enumerate([first, second, third]):
        log.apply_request(ReportRequest(report_id, STORE), at)
    log.apply_status(ReportEvent(first, "complete", 40, report=ReportDocument.decode(CONTENT)))
    assert log.expire(2, 0) == 2
    assert [log.get(report_id) is None for report_id in (first, second, third)] == [
        True,
        True,
        False,
    ]
    assert log.open_count() == 1
    assert log.expire(2, 0) == 0


def test_records_of_both_topics_are_taken_in(log: ReportView) -> None:
    log.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=5))
    # Kafka's time is in milliseconds
    assert log.overdue(5000, 10) == []
    assert log.overdue(5001, 10) == [(REPORT, False)]
    log.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(COMPLETE)))
    assert log.get(REPORT) == report_state(
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
def test_garbage_changes_nothing(log: ReportView, topic: str, value: bytes | None) -> None:
    with pytest.raises(RecordError):
        log.on_record(FakeRecord(topic, value))
    assert log.get(REPORT) is None
    log.apply_request(REQUEST, 5)
    with pytest.raises(RecordError):
        log.on_record(FakeRecord(topic, value))
    assert log.get(REPORT) == report_state(REPORT, "pending", subject=STORE, reference_time=77)


def test_it_lives_in_the_file_that_it_is_given(tmp_path: Path) -> None:
    log = a_log(tmp_path / "reports.sqlite")
    log.apply_request(REQUEST, 5)
    assert (tmp_path / "reports.sqlite").stat().st_size > 0
    log.close()


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


def state_of(log: ReportView) -> tuple[Any, ...]:
    """All that can be seen of a log; it is empty afterwards."""
    states = [log.get(report_id) for report_id in REPORTS]
    overdue = [log.overdue(at, 10) for at in range(0, 60, 3)]
    forgotten = [log.expire(at, 0) for at in range(60)]
    return states, overdue, forgotten


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Any], list[Any]]:
    """What stands in the two topics; every report with a result was asked for."""
    asked = draw(st.lists(st.tuples(requests, times), max_size=6))
    known = {request.report_id for request, _ in asked}
    happened = draw(st.lists(events, max_size=8))
    return asked, [event for event in happened if event.report_id in known]


def read(asked: list[Any], happened: list[Any], requests_first: list[bool]) -> tuple[Any, ...]:
    """Read both topics, each in its order; `requests_first` says which is read next."""
    log = a_log()
    try:
        waiting, results = list(asked), list(happened)
        turns = iter(requests_first)
        while waiting or results:
            if waiting and (not results or next(turns, True)):
                log.apply_request(*waiting.pop(0))
            else:
                log.apply_status(results.pop(0))
        return state_of(log)
    finally:
        log.close()


@given(histories(), st.lists(st.booleans(), max_size=14))
def test_any_interleaving_of_the_topics_ends_in_the_same_state(
    history: tuple[list[Any], list[Any]], requests_first: list[bool]
) -> None:
    asked, happened = history
    in_order = read(asked, happened, [])
    assert read(asked, happened, requests_first) == in_order
    assert read(asked, happened, [False] * len(happened)) == in_order


@given(histories())
def test_the_state_is_the_first_request_and_the_first_final_event(
    history: tuple[list[Any], list[Any]],
) -> None:
    asked, happened = history
    states, _, _ = read(asked, happened, [])
    for report_id, state in zip(REPORTS, states, strict=True):
        first = next((r for r, _ in asked if r.report_id == report_id), None)
        if first is None:
            assert state is None
            continue
        mine = [event for event in happened if event.report_id == report_id]
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


def test_queries_are_kept_apart_by_their_topics(log: ReportView) -> None:
    query = replace(REQUEST, report_id=OTHER)
    log.on_record(FakeRecord(STORE_QUERIES.name, encode_request(query), timestamp=5))
    log.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=6))
    assert log.overdue(10_000, 10) == [(OTHER, True), (REPORT, False)]

    answer = ReportEvent(OTHER, "complete", 7, report=ReportDocument.decode(CONTENT))
    log.on_record(FakeRecord(QUERY_RESULTS.name, encode_event(answer)))
    state = log.get(OTHER)
    assert state is not None
    assert (state.status, state.document) == ("complete", ReportDocument.decode(CONTENT))


def test_queries_are_forgotten_sooner(log: ReportView) -> None:
    log.apply_request(REQUEST, 5)
    log.apply_request(replace(REQUEST, report_id=OTHER), 5, query=True)

    assert log.expire(0, 6) == 1

    assert log.get(OTHER) is None
    assert log.get(REPORT) is not None


def test_what_was_asked_for_is_kept(log: ReportView) -> None:
    request = replace(REQUEST, spec=ReportSpec(daily=True))
    log.apply_request(request, 5)
    assert log.request(REPORT) == request
    assert log.request(OTHER) is None
    log.apply_status(ReportEvent(OTHER, "complete", 7, report=ReportDocument.decode(CONTENT)))
    assert log.request(OTHER) is None


def test_whoever_waits_is_told_of_every_result() -> None:
    told: list[str] = []
    log = ReportView(Path(":memory:"), told.append)
    log.on_record(FakeRecord(REPORT_REQUESTS.name, encode_request(REQUEST), timestamp=5))
    log.on_record(FakeRecord(REPORT_RESULTS.name, encode_event(COMPLETE)))
    with pytest.raises(RecordError):
        log.on_record(FakeRecord(REPORT_RESULTS.name, b"{}"))
    log.close()
    assert told == [REPORT]
