"""The scripts of DuckDB and polars compute the figures of the domain, for every store and rule."""

from __future__ import annotations

import csv
import importlib.util
from collections import defaultdict
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import pytest

from benchmarks.bench import Bench
from benchmarks.csv_figures import read_figures, require_equal
from benchmarks.errors import BenchmarkError
from benchmarks.inputs import Inputs
from benchmarks.lines.csv_reports import OURS, TOOLS, MeasuredWay, compare, run_tool
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import poll_set
from stream_app.domain.report import csv_text
from stream_app.domain.report_rows import build_rows
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, MINUTE, SECOND, WEEK, from_datetime
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.uptime import StoreStates

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CHICAGO = "America/Chicago"
DAILY = range(7)

Hours = list[tuple[int, str, str]]


class Store(NamedTuple):
    polls: list[tuple[int, bool]]
    hours: Sequence[tuple[int, str, str]] = ()
    zone: str | None = CHICAGO


def store_id(number: int) -> str:
    return str(UUID(int=number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128)))


def text_of(instant: int) -> str:
    moment = datetime.fromtimestamp(instant // SECOND, UTC)
    fraction = f".{instant % SECOND:06}" if instant % SECOND else ""
    return f"{moment:%Y-%m-%d %H:%M:%S}{fraction} UTC"


def write(path: Path, rows: list[tuple[Any, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return path


def files_of(folder: Path, stores: list[Store]) -> Inputs:
    named = [(store_id(number), store) for number, store in enumerate(stores)]
    polls = [
        (name, ("inactive", "active")[up], text_of(instant))
        for name, store in named
        for instant, up in store.polls
    ]
    # rows come in any order
    Random(1).shuffle(polls)
    hours = [(name, *row) for name, store in named for row in store.hours]
    zones = [(name, store.zone) for name, store in named if store.zone is not None]
    return Inputs(
        write(folder / "status.csv", [("store_id", "status", "timestamp_utc"), *polls]),
        write(
            folder / "hours.csv",
            [("store_id", "dayOfWeek", "start_time_local", "end_time_local"), *hours],
        ),
        write(folder / "zones.csv", [("store_id", "timezone_str"), *zones]),
        len(stores),
        len(polls),
    )


def expected(stores: list[Store]) -> str:
    reference = max(instant for store in stores for instant, _ in store.polls)
    rules = PollRules(lookback=HOUR, default_active=False, stale_after=2 * HOUR)
    facts = [
        StoreFacts(
            WeeklyHours.from_rows(store.hours),
            resolve_timezone(store.zone, CHICAGO),
            poll_set(store.polls),
        )
        for store in stores
    ]
    states = StoreStates.of_facts(facts, reference - WEEK, reference, rules)
    ids = [store_id(number) for number in range(len(stores))]
    built = build_rows(ReportSpec(), ids, states, [each.tz for each in facts])
    rows = [row.values for of_store in built for row in of_store]
    return csv_text(rows)


async def figures_of(tool: str, folder: Path, stores: list[Store]) -> str:
    # only `make bench` installs it
    if importlib.util.find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed: make bench installs it")
    await run_tool(tool, files_of(folder, stores), folder)
    return (folder / f"{tool}.csv").read_text()


def at(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=UTC))


def always_up(reference: int) -> list[tuple[int, bool]]:
    """Return an active poll before the week and its lookback, and one at the reference time."""
    return [(reference - WEEK - HOUR, True), (reference, True)]


def every_day(start: str, end: str) -> Hours:
    return [(day, start, end) for day in DAILY]


WORKED = [
    # (reference, hours): the clock repeats an hour, skips one, midnights, unions, odd times
    ("2024-11-04T05:59:00", [(6, "00:00", "04:00")]),
    ("2024-11-04T06:00:00", [(6, "00:00", "01:30"), (6, "01:30", "05:00")]),
    ("2024-03-11T05:00:00", [(6, "00:00", "04:00")]),
    ("2024-03-11T05:00:00", [(6, "02:30", "05:00"), (5, "22:00", "06:00")]),
    ("2024-03-11T05:00:00", [(6, "02:15", "02:45")]),
    ("2024-11-04T06:00:00", [(5, "22:00", "06:00")]),
    ("2024-10-12T06:00:00", [(4, "22:00", "02:00")]),
    ("2024-10-12T07:30:00", [(4, "22:00", "02:00")]),
    (
        "2024-10-12T06:00:00",
        [(0, a, b) for a, b in (("09:00", "12:00"), ("11:00", "14:00"), ("14:00", "18:00"))]
        + [(0, "10:00", "11:00"), (0, "09:00", "12:00")],
    ),
    ("2024-10-12T06:00:18", every_day("00:00:00", "23:59:59")),
    ("2024-10-12T06:00:18", every_day("00:00:00", "23:59:59.999999")),
    ("2024-10-12T06:00:18", every_day("00:00", "23:59")),
    ("2024-10-12T06:00:18", every_day("00:00", "24:00")),
    ("2024-10-12T06:00:18.000001", every_day("09:00", "09:00")),
    ("2024-10-13T16:00:00", [(day, "09:00", "17:00") for day in range(5)]),
    ("2024-10-13T16:00:00", every_day("22:00", "00:00")),
]


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("number", range(len(WORKED)))
async def test_a_worked_case_has_the_domains_figures(
    tool: str, number: int, tmp_path: Path
) -> None:
    moment, hours = WORKED[number]
    reference = at(moment)
    stores = [
        Store(always_up(reference), hours),
        Store([(reference - 3 * HOUR, True)]),
        # a store without polls, and one whose poll is before the lookback
        Store([], hours),
        Store([(reference - WEEK - HOUR - 1, True)]),
        # two polls at one instant, in either order
        Store([(reference - HOUR, True), *((reference - 30 * MINUTE, up) for up in (True, False))]),
        Store([(reference - 30 * MINUTE, up) for up in (False, True)], zone=None),
        Store(always_up(reference), hours, "Mars/Olympus"),
        Store(always_up(reference), hours, "Australia/Lord_Howe"),
    ]

    assert await figures_of(tool, tmp_path, stores) == expected_sorted(stores)


def expected_sorted(stores: list[Store]) -> str:
    header, *rows = expected(stores).splitlines()
    return "\n".join([header, *sorted(rows)]) + "\n"


ZONES = (
    CHICAGO,
    "America/Phoenix",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "UTC",
    "no/zone",
    None,
)


def random_store(chance: Random, reference: int) -> Store:
    minutes = chance.choice((1, 15, 60))
    times = [f"{n // 60:02}:{n % 60:02}" for n in range(0, 1440, minutes)]
    rows = [
        (chance.randrange(7), chance.choice(times), chance.choice([*times, "24:00", "23:59:59"]))
        for _ in range(chance.choice((0, 0, 1, 7, 12)))
    ]
    polls = [
        (reference - chance.randrange(8 * DAY) // 7 * 7, chance.random() < 0.6)
        for _ in range(chance.choice((0, 1, 30, 200)))
    ]
    return Store(polls, rows, chance.choice(ZONES))


@pytest.mark.parametrize("tool", TOOLS)
@pytest.mark.parametrize("moment", ["2024-03-12T03:04:05.678901", "2024-11-05T23:59:59.999999"])
async def test_many_random_stores_have_the_domains_figures(
    tool: str, moment: str, tmp_path: Path
) -> None:
    chance, reference = Random(moment), at(moment)
    stores = [random_store(chance, reference) for _ in range(300)]
    stores.append(Store([(reference, True)]))
    # a store without polls, hours and timezone does not exist
    stores = [store for store in stores if store.polls or store.hours or store.zone is not None]

    assert await figures_of(tool, tmp_path, stores) == expected_sorted(stores)


def measured(figures: dict[str, tuple[float, ...]], seconds: float = 1) -> MeasuredWay:
    return MeasuredWay(seconds, 2.0, 100.0, 800.0, figures)


REPORT: dict[str, tuple[float, ...]] = {
    store_id(n): (60.0, 24.0, 168.0, 0.0, 0.0, 0.0) for n in (1, 2)
}


def a_bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, print)


def test_a_tool_whose_figures_are_equal_is_compared(tmp_path: Path) -> None:
    bench = a_bench(tmp_path)
    ways = {OURS: measured(REPORT, 3), "duckdb": measured(dict(REPORT), 2)}

    figures = compare(bench, ways, polls=100)

    assert bench.problems == []
    assert figures["checked_stores"] == 2
    assert figures["ours_to_best"] == 1.5
    assert figures["duckdb_written_per_poll"] == 8
    assert figures["duckdb_cpu_per_million"] == 20_000


def changed(**figures: float) -> dict[str, tuple[float, ...]]:
    values = defaultdict(float, figures)
    return REPORT | {store_id(2): (60.0, 24.0, 168.0, values["down"], 0.0, 0.0)}


@pytest.mark.parametrize(
    "theirs",
    [
        changed(down=0.01),
        {store_id(1): REPORT[store_id(1)]},
        REPORT | {store_id(3): REPORT[store_id(1)]},
    ],
)
def test_a_tool_with_one_wrong_missing_or_additional_store_has_no_figures(
    theirs: dict[str, tuple[float, ...]], tmp_path: Path
) -> None:
    bench = a_bench(tmp_path)

    figures = compare(bench, {OURS: measured(REPORT), "polars": measured(theirs)}, polls=100)

    assert not [name for name in figures if name.startswith("polars")]
    assert "1 of " in bench.problems[0]
    assert "stores differ" in bench.problems[0]


def test_nothing_is_compared_without_our_report(tmp_path: Path) -> None:
    assert compare(a_bench(tmp_path), {"duckdb": measured(REPORT)}, polls=100) == {"polls": 100}


def test_reports_with_other_columns_without_rows_or_with_double_rows_are_refused() -> None:
    header = csv_text([]).strip()
    row = f"{store_id(1)},60,24.0,168.0,0,0.0,0.0"
    assert read_figures(f"{header}\n{row}\n") == {store_id(1): REPORT[store_id(1)]}
    for text in ("store_id,up\n", header, f"{header}\n{row}\n{row}\n", ""):
        with pytest.raises(BenchmarkError):
            read_figures(text)
    assert require_equal(REPORT, REPORT) == 2


async def test_a_tool_that_fails_is_an_error_with_its_exit_code(tmp_path: Path) -> None:
    missing = tmp_path / "missing.csv"
    with pytest.raises(BenchmarkError, match="ended with 1"):
        await run_tool("polars", Inputs(missing, missing, missing, 0, 0), tmp_path)
