"""One type holds the business hours of a store, from whichever source they come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from producers.csv_replay.open_file import Table
from producers.csv_replay.store_rows import StoreRows, read_hours
from producers.csv_replay.table import HOURS
from producers.dead_letters.decode import decode_original
from stream_app.contracts.business_hours import (
    BusinessHours,
    HoursRecord,
    decode_hours,
    decode_rows,
    encode_hours,
    encode_rows,
    hours_version,
    parse_hours_body,
)
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.errors import RecordError
from tests.unit.contracts.wire import STORE, wire

if TYPE_CHECKING:
    from pathlib import Path

TIMES = ["9:00", "09:00", "00:00:00", "17:30:15.5", "23:59:59.999999"]
SPACES = st.sampled_from(["", " ", "\t", "  \t"])
PADDED = st.tuples(SPACES, st.sampled_from(TIMES), SPACES).map("".join)
DAYS = st.integers(0, 6)
ROWS = st.lists(st.tuples(DAYS, PADDED, PADDED), max_size=5)


def of_file(path: Path, rows: list[tuple[int, str, str]]) -> BusinessHours:
    lines = ["store_id,dayOfWeek,start_time_local,end_time_local"]
    lines += [f"{STORE},{day},{start},{end}" for day, start, end in rows]
    path.write_text("\n".join(lines) + "\n")
    store_rows = StoreRows()
    table = Table(path, HOURS)
    list(read_hours(table, store_rows))
    table.close()
    return decode_hours(encode_hours(STORE, store_rows.hours.get(STORE, ()))).hours


def of_dead_letter(source: dict[str, str | int], original: bytes) -> BusinessHours:
    dead_letter = DeadLetter(source, "why", original)
    content = decode_original(dead_letter, stored_at=0, clock=0, tolerance=0).content
    assert isinstance(content, HoursRecord)
    return content.hours


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test_the_same_rows_have_one_digest_from_every_source(
    tmp_path: Path, rows: list[tuple[int, str, str]]
) -> None:
    record = wire({"store_id": STORE, "hours": rows})
    objects = [
        {name: day, "start_time_local": start, "end_time_local": end}
        for (day, start, end), name in zip(rows, ["day", "dayOfWeek"] * 3, strict=False)
    ]
    path = f"/stores/{STORE}/business_hours"
    ways: list[BusinessHours] = [
        decode_hours(record).hours,
        decode_hours(encode_hours(STORE, rows)).hours,
        parse_hours_body({"hours": json.loads(json.dumps(rows))}),
        parse_hours_body({"hours": objects}),
        parse_hours_body({"hours": [[float(day), start, end] for day, start, end in rows]}),
        of_dead_letter({"topic": "store-business-hours"}, record),
        of_dead_letter({"http": "x", "path": path}, wire({"hours": objects})),
    ]
    unique = list(dict.fromkeys((day, start.strip(), end.strip()) for day, start, end in rows))
    if unique == [(day, start.strip(), end.strip()) for day, start, end in rows]:
        # a file keeps one of two equal rows
        ways.append(of_file(tmp_path / "hours.csv", rows))
    stripped = json.dumps(
        [(day, start.strip(), end.strip()) for day, start, end in rows], separators=(",", ":")
    )
    assert {hours.version for hours in ways} == {hours_version(stripped.encode())}
    assert len(set(ways)) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((7, "1:00", "2:00"), "day 7 is not 0"),
        ((0, "24:00", "2:00"), "hours of day 0: 24:00 ends a day"),
        ((0, "9 am", "2:00"), "hours of day 0: not a time of day"),
    ],
)
def test_a_wrong_row_is_refused_everywhere(row: Any, reason: str) -> None:
    good = (0, "09:00", "17:00")
    for rows in ((row,), (good, row)):
        with pytest.raises(RecordError, match=reason):
            BusinessHours(rows)
        with pytest.raises(RecordError, match=reason):
            encode_hours(STORE, rows)
        with pytest.raises(RecordError, match=reason):
            decode_hours(wire({"store_id": STORE, "hours": rows}))


def test_no_hours_at_all_have_a_digest() -> None:
    assert BusinessHours().version == hours_version(None) == hours_version(b"[]")


def test_stored_rows_are_read_back_as_they_were_written() -> None:
    hours = BusinessHours(((0, " 09:00", "17:00"), (6, "22:00", "02:00 ")))

    assert decode_rows(hours.encode()) == [*hours.rows]
    assert decode_rows(encode_rows([])) == []


@pytest.mark.parametrize("value", [b"5", b"[5]", b'[["0","1:00","2:00"]]', b"[[0,1,2]]", b"x"])
def test_bytes_that_are_no_rows_are_an_error(value: bytes) -> None:
    with pytest.raises((TypeError, ValueError)):
        decode_rows(value)
