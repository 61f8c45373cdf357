"""Values of reports that no client could read are refused where a result is decoded."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import orjson
import pytest

from stream_app.contracts.report_results import (
    ReportDocument,
    ReportEvent,
    ResultChunk,
    decode_event,
    encode_event,
)
from stream_app.contracts.report_schemas import MAX_COLUMNS, FleetRow, StoreReport
from stream_app.errors import RecordError
from stream_app.worker.report_document import extra_columns
from tests.report_contents import FORMS, fleet_chunk, fleet_content, store_content

REPORT = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
WINDOW = FORMS["window"]

TEXTS: tuple[Any, ...] = (5, True, [], {}, "a\r\nSet-Cookie: b", "a\0b", "\x1b[2J", "x" * 2_000)
NUMBERS: tuple[Any, ...] = ("5", True, [], {}, -1, 2**60)
INSTANTS: tuple[Any, ...] = (5, "soon", "2024-02-30T00:00:00Z", "2024-03-10", "2024-03-10T12:00Z")
COUNTS: tuple[Any, ...] = (*NUMBERS, 1.5)
DETAILS: tuple[Any, ...] = (5, "x", {}, [5], [["x"]])

WRONG: dict[str, tuple[Any, ...]] = {
    "store_id": (*TEXTS, "shop 7", "=1+1"),
    "timezone": TEXTS,
    "hours_version": TEXTS,
    "lookback": TEXTS,
    "stale_after": TEXTS,
    "tzdata_version": TEXTS,
    "default_status": (*TEXTS, "asleep"),
    "reference_time": INSTANTS,
    "uptime_last_hour": (*COUNTS, None),
    "downtime_last_day": (*NUMBERS, None),
    "polls_counted": (*COUNTS, None),
    "coverage": NUMBERS,
    "business_hours": (5, "x", {}, [5], [[0, "09:00"]], [[0, 9, 17]], [["0", "a", "b"]]),
    "input_offsets": (5, [], "x", {"a": 5}, {"a": {"0": "7"}}, {"a\r\n": {"0": 7}}),
    "windows": (*DETAILS, [{"start": "soon"}], [{"coverage": "all"}]),
    "intervals": (*DETAILS, [{"open": 1}], [{"status": "asleep"}], [{"counted_as": 5}]),
    "local_days": (*DETAILS, [{"date": "Monday"}], [{"uptime_minutes": "5"}]),
    "incidents": (*DETAILS, [{"start": 5}], [{"cause": "rain"}], [{"downtime_seconds": "1"}]),
    "days": (5, "x", {}, [5]),
    "columns": (5, "x", [], [5], ["store_id", "store_id"], ["timezone"], ["store_id", "a\nb"]),
}


def window_chunk(rows: list[Any]) -> ResultChunk:
    columns, further = WINDOW.columns, extra_columns(WINDOW)
    return ResultChunk(0, 1, "one", 0, 1, 7, rows, {}, {}, columns, further)


def read(report: dict[str, Any]) -> ReportEvent:
    value = {
        "report_id": REPORT,
        "status": "complete",
        "at": "2024-03-10T12:00:00Z",
        "report": report,
    }
    return decode_event(orjson.dumps(value))


@pytest.mark.parametrize("name", FORMS)
def test_the_reports_of_workers_are_read_in_every_form(name: str) -> None:
    content = store_content(FORMS[name], detailed=True)
    document = ReportDocument.decode(orjson.loads(orjson.dumps(content)))

    assert read(content).report == document
    piece = fleet_chunk(FORMS[name], extra_columns=extra_columns(FORMS[name]))
    event = ReportEvent(REPORT, "running", 7, chunk=piece)
    assert decode_event(encode_event(event)) == event


@pytest.mark.parametrize(
    ("field", "wrong"), [(field, value) for field, values in WRONG.items() for value in values]
)
def test_a_bad_value_of_a_report_is_refused(field: str, wrong: Any) -> None:
    content = store_content(WINDOW, detailed=True)
    with pytest.raises(RecordError) as refused:
        read({**content, field: wrong})
    reason = str(refused.value)
    assert "\n" not in reason
    assert len(reason) < 200


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("date", "Monday"), ("start", "soon"), ("uptime_minutes", "5"), ("coverage", True)],
)
def test_a_bad_value_of_a_day_is_refused(field: str, wrong: Any) -> None:
    content = store_content(FORMS["daily"])
    first, *rest = content["days"]
    with pytest.raises(RecordError):
        read({**content, "days": [{**first, field: wrong}, *rest]})


@pytest.mark.parametrize("missing", ["timezone", "coverage", "business_hours", "input_offsets"])
def test_fields_that_earlier_versions_did_not_write_may_be_missing(missing: str) -> None:
    content = store_content(WINDOW)
    del content[missing]
    assert read(content).report is not None


def test_columns_of_later_versions_are_read_where_a_row_can_hold_them() -> None:
    content = store_content(WINDOW)
    more = {"columns": [*content["columns"], "mood"]}
    for good in ("fine", 5, 0.5, True, None):
        assert read({**content, **more, "mood": good}).report is not None
    no_values: list[Any] = [[], {}, "a\nb"]
    for bad in no_values:
        with pytest.raises(RecordError):
            read({**content, **more, "mood": bad})
    assert read({**content, "not a column": {"of": ["any", "kind"]}}).report is not None


def test_a_row_has_a_bounded_number_of_columns() -> None:
    content = store_content(WINDOW)
    names = [f"c{number}" for number in range(MAX_COLUMNS)]
    with pytest.raises(RecordError, match="a name of a column"):
        read({**content, **dict.fromkeys(names, 1), "columns": ["store_id", *names]})


@pytest.mark.parametrize(
    "change",
    [
        {"part": 2**63},
        {"parts": 2**64 - 1},
        {"piece": -1},
        {"pieces": 0},
        {"rows": [["x"]]},
        {"rows": 5},
        {"rows": [5]},
        {"basis": {"lookback": "a\r\nb"}},
        {"basis": {"default_status": 5}},
        {"basis": []},
        {"input_offsets": {"store-status": "7"}},
        {"input_offsets": {"a\nb": 7}},
        {"columns": ["timezone"]},
        {"further": ["store_id"]},
    ],
    ids=str,
)
def test_a_bad_value_of_a_chunk_is_refused(change: dict[str, Any]) -> None:
    _, rows = fleet_content(WINDOW)
    event = ReportEvent(REPORT, "running", 7, chunk=window_chunk(rows))
    value = orjson.loads(encode_event(event))
    assert decode_event(orjson.dumps(value)).chunk is not None
    value["piece"] |= change
    with pytest.raises(RecordError):
        decode_event(orjson.dumps(value))


@pytest.mark.parametrize("wrong", [5, None, [], "a\r\nb", "x\0"])
@pytest.mark.parametrize("column", [0, 7, 8])
def test_a_text_of_a_row_is_one_line(column: int, wrong: Any) -> None:
    _, rows = fleet_content(WINDOW)
    rows[0][column] = wrong
    event = ReportEvent(REPORT, "running", 7, chunk=window_chunk(rows))
    with pytest.raises(RecordError):
        decode_event(encode_event(event))


def test_a_name_has_one_type_in_the_rows_of_all_forms() -> None:
    types: dict[str, set[str]] = {}
    for model in (*get_args(FleetRow), *get_args(StoreReport)):
        for name, hint in get_type_hints(model, include_extras=True).items():
            if name != "days":
                types.setdefault(name, set()).add(repr(hint))

    assert {name: hints for name, hints in types.items() if len(hints) > 1} == {}


@pytest.mark.parametrize(
    "column", ["uptime_last_hour", "unknown_uptime_last_hour", "uptime_last_day", "coverage"]
)
def test_a_figure_beyond_its_window_is_refused(column: str) -> None:
    content = store_content(WINDOW)
    assert read(content).report is not None
    with pytest.raises(RecordError, match=f"{column}: Input should be less than"):
        read({**content, column: 61})
