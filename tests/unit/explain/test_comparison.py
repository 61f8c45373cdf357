from __future__ import annotations

import asyncio
import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_app.contracts.business_hours import encode_hours
from stream_app.contracts.revisions import ORIGIN_HEADER, RecordOrigin, encode_origin
from stream_app.contracts.stores import encode_timezone
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, MINUTE
from stream_app.errors import StoreUptimeError
from tests.strategies import Case, cases
from tests.unit.explain.cases import (
    APPEND_TIME_MS,
    OTHER,
    PARTITION,
    SPECS,
    STORE,
    Topics,
    comparison_of,
    offsets_of,
    report_of,
    specs,
    topics_of,
)

usual = settings(max_examples=60)
few = settings(max_examples=25)
NOON = 1_710_072_000_000_000
HOURS = [(day, "09:00", "17:00") for day in range(7)]
CASE = Case(HOURS, "Europe/Berlin", [(NOON - DAY, True), (NOON - HOUR, False)], NOON, False)


@usual
@given(cases(), specs, st.booleans())
def test_a_report_of_the_product_agrees(case: Case, spec: ReportSpec, of_many: bool) -> None:
    """The closed form agrees with the walk in every case and for every spec."""
    topics = topics_of(case)
    content = report_of(case, spec, offsets_of(topics), of_many=of_many)

    comparison = asyncio.run(comparison_of(content, topics, STORE if of_many else None))

    assert (comparison.outcome, comparison.reasons) == ("agrees", [])


def figures_of(content: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """Return every figure of a report of one store, as the object and the field that has it."""
    rows = content.get("days", [content])
    fields = [name for name in content["columns"] if "time_" in name and name != "reference_time"]
    return [(row, name) for row in rows for name in (*fields, "polls_counted")]


@few
@given(cases(), specs, st.data())
def test_a_changed_figure_differs(case: Case, spec: ReportSpec, data: st.DataObject) -> None:
    topics = topics_of(case)
    content = copy.deepcopy(report_of(case, spec, offsets_of(topics)))
    row, name = data.draw(st.sampled_from(figures_of(content)))
    row[name] += 1

    comparison = asyncio.run(comparison_of(content, topics))

    assert comparison.outcome == "differs"
    assert any(
        f"{name}" in reason and f"is {row[name]} in the report" in reason
        for reason in comparison.reasons
    )


@pytest.mark.parametrize("spec", SPECS)
async def test_time_that_no_poll_covers_is_compared_too(spec: ReportSpec) -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, spec, offsets_of(topics))
    row = content["days"][0] if spec.daily else content
    name = spec.unknown_columns[-1]
    row[name] += 1

    comparison = await comparison_of(content, topics)

    assert comparison.outcome == "differs"
    assert any(reason.startswith(name) for reason in comparison.reasons)


@pytest.mark.parametrize("spec", SPECS)
async def test_a_report_of_an_earlier_version_without_that_time_agrees(
    spec: ReportSpec,
) -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, spec, offsets_of(topics))
    for row in content.get("days", [content]):
        for name in spec.unknown_columns:
            del row[name]

    assert (await comparison_of(content, topics)).outcome == "agrees"


@pytest.mark.parametrize("spec", SPECS)
async def test_coverage_is_compared_too(spec: ReportSpec) -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, spec, offsets_of(topics))
    content["coverage"] = 0.5

    comparison = await comparison_of(content, topics)

    assert comparison.outcome == "differs"
    assert comparison.reasons[0].startswith("coverage is 0.5 in the report and ")


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("of_many", [False, True])
async def test_polls_just_beyond_the_input_offset_may_be_in_the_report(
    spec: ReportSpec, of_many: bool
) -> None:
    topics = topics_of(CASE)
    offsets = offsets_of(topics) | {STORE_STATUS.name: 2}
    # a later poll changes no reported figure
    topics.add_polls((NOON - 2 * HOUR, False))
    content = report_of(CASE, spec, offsets, of_many=of_many)

    comparison = await comparison_of(content, topics, STORE)

    assert comparison.outcome == "agrees"
    assert comparison.compared_up_to == 3
    assert comparison.notes == [
        "it agrees with the polls of store-status/1 up to offset 3; the report's input offset, 2, "
        "is a lower bound"
    ]


async def test_later_polls_of_that_time_are_not_in_the_report() -> None:
    topics = topics_of(CASE)
    offsets = offsets_of(topics)
    topics.add_polls((NOON - 30 * MINUTE, True))

    comparison = await comparison_of(report_of(CASE, ReportSpec(), offsets), topics)

    assert (comparison.outcome, comparison.notes) == ("agrees", [])


async def test_a_report_of_polls_that_the_topic_lost_cannot_be_recomputed() -> None:
    topics = Topics(oldest=17)
    topics.add(STORE_BUSINESS_HOURS.name, encode_hours(STORE, HOURS))
    topics.add(STORE_TIMEZONES.name, encode_timezone(STORE, CASE.timezone_name))
    topics.add_polls(CASE.polls[1])
    content = report_of(CASE, ReportSpec(), offsets_of(topics))

    comparison = await comparison_of(content, topics)

    assert comparison.outcome == "cannot be recomputed"
    assert comparison.reasons == [
        "store-status/1 begins at offset 17: of the 2 polls that the report counts it still holds 1"
    ]


async def test_a_topic_that_lost_only_other_polls_is_enough() -> None:
    topics = topics_of(CASE)
    topics.oldest = 17
    for number, record in enumerate(topics.records[STORE_STATUS.name]):
        record.offset = 17 + number

    comparison = await comparison_of(report_of(CASE, ReportSpec(), offsets_of(topics)), topics)

    assert comparison.outcome == "agrees"
    assert comparison.notes == [
        "store-status/1 begins at offset 17; it still holds all polls that count"
    ]


async def test_a_report_with_another_timezone_release_cannot_be_recomputed() -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, ReportSpec(), offsets_of(topics)) | {"tzdata_version": "1999a"}

    comparison = await comparison_of(content, topics)

    assert comparison.outcome == "cannot be recomputed"
    assert comparison.reasons[0].startswith(
        "the report was computed with tzdata 1999a and this program has "
    )


async def test_a_report_with_hours_that_the_topic_does_not_have_differs() -> None:
    topics = topics_of(CASE)
    case = CASE._replace(rows=[(0, "01:00", "02:00")])

    comparison = await comparison_of(report_of(case, ReportSpec(), offsets_of(topics)), topics)

    assert comparison.outcome == "differs"
    assert comparison.reasons == ["store-business-hours/1 has other business hours below offset 1"]


@pytest.mark.parametrize("newer", [False, True])
async def test_a_forwarded_record_counts_if_its_append_time_is_later(newer: bool) -> None:
    topics = topics_of(CASE)
    other = CASE._replace(rows=[(0, "01:00", "02:00")], timezone_name="Asia/Tokyo")
    origin = RecordOrigin(APPEND_TIME_MS + (1 if newer else -1), PARTITION + 1, 5)
    headers = [(ORIGIN_HEADER, encode_origin(origin))]
    topics.add(STORE_BUSINESS_HOURS.name, encode_hours(STORE, other.rows), headers)
    topics.add(STORE_TIMEZONES.name, encode_timezone(STORE, other.timezone_name), headers)
    for name in (STORE_BUSINESS_HOURS.name, STORE_TIMEZONES.name):
        topics.records[name][-1].timestamp += 10
    right, wrong = (other, CASE) if newer else (CASE, other)

    for case, outcome in ((right, "agrees"), (wrong, "differs")):
        comparison = await comparison_of(report_of(case, ReportSpec(), offsets_of(topics)), topics)
        assert comparison.outcome == outcome


async def test_a_report_with_hours_of_another_version_differs() -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, ReportSpec(), offsets_of(topics)) | {"hours_version": "0" * 12}

    comparison = await comparison_of(content, topics)

    assert comparison.outcome == "differs"
    assert comparison.reasons[0] == "hours_version is not that of the report's business hours"


async def test_a_report_of_one_store_needs_no_hours_of_the_topic() -> None:
    topics = topics_of(CASE)
    offsets = offsets_of(topics)
    topics.records[STORE_BUSINESS_HOURS.name].clear()
    topics.add(STORE_BUSINESS_HOURS.name, b"compacted away")
    topics.add(STORE_BUSINESS_HOURS.name, encode_hours(STORE, []))

    one = await comparison_of(report_of(CASE, ReportSpec(), offsets), topics)
    many = await comparison_of(report_of(CASE, ReportSpec(), offsets, of_many=True), topics, STORE)

    assert one.outcome == "agrees"
    assert one.notes == [
        "store-business-hours/1 holds no business hours below offset 1 any more, only newer ones"
    ]
    assert many.outcome == "cannot be recomputed"
    assert "holds no business hours of version" in many.reasons[0]


async def test_a_report_with_another_timezone_differs() -> None:
    topics = topics_of(CASE)
    case = CASE._replace(timezone_name="UTC")

    comparison = await comparison_of(report_of(case, ReportSpec(), offsets_of(topics)), topics)

    assert comparison.outcome == "differs"
    assert comparison.reasons == [
        "the report's timezone is UTC, and by store-timezones/1 below offset 1 it is Europe/Berlin"
    ]


async def test_a_store_with_polls_only_agrees() -> None:
    case = CASE._replace(rows=[], timezone_name="America/Chicago")
    topics = Topics()
    topics.add_polls(*case.polls)

    comparison = await comparison_of(report_of(case, ReportSpec(), offsets_of(topics)), topics)

    assert (comparison.outcome, comparison.notes) == ("agrees", [])


async def test_records_that_the_worker_refuses_do_not_count() -> None:
    topics = topics_of(CASE)
    name = STORE.encode()
    topics.add(STORE_STATUS.name, b'{"store_id":"' + name + b'","status":"up"}')
    topics.add(STORE_BUSINESS_HOURS.name, b'{"store_id":"' + name + b'","hours":[[9,"a","b"]]}')
    topics.add(STORE_TIMEZONES.name, b'{"store_id":"' + name + b'","timezone_str":1}')
    topics.add_polls((NOON - 5 * MINUTE, True))
    # dated ahead of the broker's clock
    topics.records[STORE_STATUS.name][-1].timestamp = (NOON - DAY) // 1000

    comparison = await comparison_of(report_of(CASE, ReportSpec(), offsets_of(topics)), topics)

    assert comparison.outcome == "agrees"


@pytest.mark.parametrize(
    ("store", "reason"),
    [
        (None, "the report is of 2 stores: say which one with --store"),
        ("11111111-1111-4111-8111-111111111111", "is not in the report"),
    ],
)
async def test_a_report_of_many_stores_needs_the_store(store: str | None, reason: str) -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, ReportSpec(), offsets_of(topics), of_many=True)
    with pytest.raises(StoreUptimeError, match=reason):
        await comparison_of(content, topics, store)


async def test_a_report_of_another_store_is_an_error() -> None:
    topics = topics_of(CASE)
    with pytest.raises(StoreUptimeError, match=f"is of store {STORE}, not of {OTHER}"):
        await comparison_of(report_of(CASE, ReportSpec(), offsets_of(topics)), topics, OTHER)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"stale_after": None}, "not tell enough"),
        ({"input_offsets": {}}, "no input offset of partition 1"),
        ({"input_offsets": 7}, "not tell enough"),
        ({"input_offsets": {"store-status": {"1": "x"}}}, "is no number"),
        ({"business_hours": 5}, "not tell enough"),
        ({"days": [1]}, "not tell enough"),
        ({"columns": ["wrong"]}, "wrong is missing"),
    ],
)
async def test_a_report_with_missing_fields_is_an_error(
    change: dict[str, Any], reason: str
) -> None:
    topics = topics_of(CASE)
    content = report_of(CASE, ReportSpec(), offsets_of(topics)) | change
    with pytest.raises(StoreUptimeError, match=reason):
        await comparison_of(content, topics)
