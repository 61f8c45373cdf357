from __future__ import annotations

import itertools

import pytest
import pytz

from stream_app.domain.timestamps import DAY, HOUR, LATEST, MINUTE, parse_instant
from stream_app.domain.timezones import constant_offset_segments, find_timezone, resolve_timezone
from stream_app.errors import SettingsError
from tests.strategies import ZONES, clock_changes, offset_at


def test_a_timezone_is_found_by_its_exact_name() -> None:
    assert resolve_timezone("Asia/Kathmandu", "UTC").zone == "Asia/Kathmandu"
    assert resolve_timezone("UTC", "America/Chicago") is pytz.utc


@pytest.mark.parametrize(
    "name",
    [None, "", " ", "Mars/Olympus", "america/new_york", "utc", "../../etc/passwd", "Zürich", "é"],
)
def test_any_other_name_is_the_default(name: str) -> None:
    assert find_timezone(name) is None
    assert resolve_timezone(name, "Europe/Paris").zone == "Europe/Paris"


def test_an_unknown_default_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="'nowhere'"):
        resolve_timezone(None, "nowhere")


def test_a_span_without_a_change_is_one_segment() -> None:
    start = parse_instant("2024-07-01T00:00")

    segments = constant_offset_segments(
        resolve_timezone("America/Chicago", "UTC"), start, start + DAY
    )

    assert segments == [(start, start + DAY, -5 * HOUR)]


@pytest.mark.parametrize("name", ["UTC", "Etc/GMT+12", "Etc/UTC"])
def test_a_timezone_without_clock_changes_is_one_segment(name: str) -> None:
    assert len(constant_offset_segments(resolve_timezone(name, "UTC"), 0, LATEST)) == 1


def test_an_empty_span_has_no_segment() -> None:
    assert constant_offset_segments(pytz.utc, 5, 5) == []
    assert constant_offset_segments(pytz.utc, 5, 4) == []


# Chicago, 2024-11-03, 07:00Z:  -5 h ... | ... -6 h
def test_a_change_at_the_edges_of_a_span() -> None:
    change = parse_instant("2024-11-03T07:00")
    chicago = resolve_timezone("America/Chicago", "UTC")
    before, after = -5 * HOUR, -6 * HOUR

    assert constant_offset_segments(chicago, change - HOUR, change) == [
        (change - HOUR, change, before)
    ]
    assert constant_offset_segments(chicago, change, change + HOUR) == [
        (change, change + HOUR, after)
    ]
    assert constant_offset_segments(chicago, change - 1, change + 1) == [
        (change - 1, change, before),
        (change, change + 1, after),
    ]


def test_lord_howe_changes_by_half_an_hour() -> None:
    start = parse_instant("2024-04-06T00:00")

    segments = constant_offset_segments(
        resolve_timezone("Australia/Lord_Howe", "UTC"), start, start + DAY
    )

    assert [offset for _, _, offset in segments] == [11 * HOUR, 10 * HOUR + 30 * MINUTE]


def test_apia_skips_a_day() -> None:
    start = parse_instant("2011-12-30T00:00")

    segments = constant_offset_segments(resolve_timezone("Pacific/Apia", "UTC"), start, start + DAY)

    assert [offset for _, _, offset in segments] == [-10 * HOUR, 14 * HOUR]


# The tests below compare the one module that reads pytz's internals with pytz's public conversions.


@pytest.mark.parametrize("name", ZONES)
def test_every_change_that_probing_finds_begins_a_segment(name: str) -> None:
    first, last = parse_instant("1992-01-01T00:00"), parse_instant("2029-12-31T00:00")

    segments = constant_offset_segments(resolve_timezone(name, "UTC"), first, last)

    assert [start for start, _, _ in segments[1:]] == clock_changes(name)


def test_every_segment_of_every_zone_agrees_with_conversion() -> None:
    for name in pytz.all_timezones:
        segments = constant_offset_segments(pytz.timezone(name), 0, LATEST)

        assert (segments[0][0], segments[-1][1]) == (0, LATEST)
        for (_, end, _), (start, _, _) in itertools.pairwise(segments):
            assert end == start
        for start, end, offset in segments:
            for instant in (start, (start + end) // 2, end - 1):
                assert offset_at(name, instant) == offset, (name, instant)
