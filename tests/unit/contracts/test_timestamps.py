from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.domain.timestamps import (
    LATEST,
    check_instant,
    format_instant,
    from_datetime,
    parse_instant,
    to_datetime,
)
from stream_app.errors import RecordError
from tests.unit.contracts.wire import instants

if TYPE_CHECKING:
    from collections.abc import Iterator

SECOND = 1_000_000
NEW_YEAR = 1_704_067_200 * SECOND  # 2024-01-01T00:00:00Z


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-01T00:00:00Z",
        "2024-01-01 00:00:00Z",
        "2024-01-01t00:00:00z",
        "2024-01-01T00:00:00",
        "2024-01-01 00:00:00",
        "2024-01-01T00:00",
        "2024-01-01T00:00:00.000000Z",
        "2024-01-01T00:00:00+00:00",
        "2024-01-01T05:45:00+05:45",
        "2023-12-31T18:00:00-06:00",
        "2023-12-31 18:00:00 -06:00",
        "20240101T000000Z",
        "2024-W01-1T00:00:00Z",
        "2024-01-01 00:00:00 UTC",
        "2024-01-01 00:00:00.000000 UTC",
        "2024-01-01 00:00:00UTC",
        "2024-01-01 00:00:00 utc",
        "2024-01-01T00:00:00 GMT",
        "  2024-01-01 00:00:00 UTC\t",
    ],
)
def test_every_accepted_form_names_the_same_instant(text: str) -> None:
    assert parse_instant(text) == NEW_YEAR


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [(".5", 500_000), (".09", 90_000), (".397", 397_000), (".000001", 1), (".3", 300_000)],
)
@pytest.mark.parametrize("zone", ["", "Z", " UTC"])
def test_fractions_of_any_length_are_exact(fraction: str, microseconds: int, zone: str) -> None:
    assert parse_instant(f"2024-01-01 00:00:00{fraction}{zone}") == NEW_YEAR + microseconds


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2024-01-01T00:00:00Z UTC", "two timezones"),
        ("2024-01-01 00:00:00+01:00 UTC", "two timezones"),
        ("2024-01-01T00:00:00+00:00 GMT", "two timezones"),
        ("2024-01-01T00:00:00Z Z", "not a time"),
        ("2024-01-01", "not a time"),
        ("2024-01-01 UTC", "not a time"),
        ("2024-01-01T", "not a time"),
        ("00:00:00", "not a time"),
        ("", "not a time"),
        ("   ", "not a time"),
        ("UTC", "not a time"),
        ("yesterday at noon", "not a time"),
        ("1704067200", "not a time"),
        ("1704067200000000", "not a time"),
        ("2024-02-30T00:00:00Z", "not a time"),
        ("2023-02-29T00:00:00Z", "not a time"),
        ("2024-01-01T24:00:01Z", "not a time"),
        ("2024-01-01T12:60:00Z", "not a time"),
        ("2024-01-01T12:00:60Z", "not a time"),
        ("2024-01-01T00:00:00+25:00", "not a time"),
        ("2024-01-01T00:00:00 CET", "not a time"),
        ("2024-01-01x00:00:00", "not a time"),
        ("2024-01-01500:00:00", "not a time"),
        ("2024-01-01-00:00:00", "not a time"),
        ("0000-01-01T00:00:00Z", "not a time"),
        ("\ud800" * 20, "not a time"),
        ("2024-01-01T00:00:00" + "0" * 1_000_000, "not a time"),
        ("1969-12-31T23:59:59.999999Z", "outside 1970 to 2100"),
        ("1970-01-01T00:00:00+01:00", "outside 1970 to 2100"),
        ("0001-01-01T00:00:00+14:00", "outside 1970 to 2100"),
        ("2100-01-01T00:00:00Z", "outside 1970 to 2100"),
        ("9999-12-31T23:59:59-14:00", "outside 1970 to 2100"),
        (None, "not a text but NoneType"),
        (NEW_YEAR, "not a text but int"),
        (1.7e15, "not a text but float"),
        (True, "not a text but bool"),
        ([], "not a text but list"),
        (b"2024-01-01T00:00:00Z", "not a text but bytes"),
    ],
)
def test_anything_else_is_refused_with_a_short_reason(text: Any, reason: str) -> None:
    with pytest.raises(RecordError, match=reason) as refusal:
        parse_instant(text)
    assert len(str(refusal.value)) < 200


def test_the_ends_of_the_range() -> None:
    assert parse_instant("1970-01-01T00:00:00Z") == 0
    assert parse_instant("2099-12-31T23:59:59.999999Z") == LATEST - 1


@pytest.mark.parametrize("instant", [-1, LATEST, 2**63, 10**400, -(10**400)])
def test_an_instant_outside_the_range_is_refused(instant: int) -> None:
    with pytest.raises(RecordError, match="outside 1970 to 2100"):
        check_instant(instant)


@given(st.text())
def test_no_text_raises_another_error(text: str) -> None:
    try:
        instant = parse_instant(text)
    except RecordError:
        return
    assert check_instant(instant) == instant


@given(instants)
def test_a_written_instant_reads_back(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant
    assert from_datetime(to_datetime(instant)) == instant


@given(instants, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_any_offset_names_the_same_instant(instant: int, minutes: int) -> None:
    local = to_datetime(instant).astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(local.isoformat()) == instant


@given(instants)
def test_the_form_of_the_sample_data_is_read(instant: int) -> None:
    moment = to_datetime(instant)
    assert parse_instant(f"{moment:%Y-%m-%d %H:%M:%S.%f} UTC") == instant


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (NEW_YEAR, "2024-01-01T00:00:00Z"),
        (NEW_YEAR + 1, "2024-01-01T00:00:00.000001Z"),
    ],
)
def test_an_instant_is_written_in_one_form(instant: int, text: str) -> None:
    assert format_instant(instant) == text


def test_a_naive_datetime_is_utc() -> None:
    aware = datetime(2024, 1, 1, tzinfo=UTC)
    assert from_datetime(aware.replace(tzinfo=None)) == from_datetime(aware) == NEW_YEAR


@pytest.fixture
def _machine_in_chicago(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as changed:
        changed.setenv("TZ", "America/Chicago")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_machine_in_chicago")
def test_the_timezone_of_the_machine_does_not_count() -> None:
    assert parse_instant("2024-01-01 00:00:00") == NEW_YEAR
    assert from_datetime(datetime(2024, 1, 1)) == NEW_YEAR  # noqa: DTZ001  the test needs a naive time
    assert format_instant(NEW_YEAR) == "2024-01-01T00:00:00Z"
