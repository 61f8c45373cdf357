"""The arithmetic of a report alone: a week of hourly polls, the published hours and zones."""

from __future__ import annotations

import csv
import gzip
import time
from collections import defaultdict
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.inputs import DATA, END, SEED, STORES, store_ids
from benchmarks.line import Figure, Line
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.polls import poll_set
from stream_app.domain.report_spec import ReportSpec, build_rows
from stream_app.domain.timestamps import HOUR, WEEK, from_datetime
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.uptime import observe

if TYPE_CHECKING:
    from array import array
    from collections.abc import Mapping

    from pytz.tzinfo import BaseTzInfo

    from benchmarks.bench import Bench

POLLS: Final = 170
_ROUNDS: Final = 5
_FORM: Final = ReportSpec()
_ZONE: Final = "America/Chicago"

Facts = tuple[WeeklyHours, "BaseTzInfo", "array[int]"]


def facts_of_stores(count: int = STORES, polls: int = POLLS) -> list[Facts]:
    """Make the hours, the timezone and that many hourly polls of each store."""
    rows: defaultdict[str, list[tuple[int, str, str]]] = defaultdict(list)
    with gzip.open(DATA / "menu_hours.csv.gz", "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            day = row.get("dayOfWeek") or row["day"]
            rows[row["store_id"]].append((int(day), row["start_time_local"], row["end_time_local"]))
    with gzip.open(DATA / "timezones.csv.gz", "rt", encoding="utf-8", newline="") as file:
        zones = {row["store_id"]: row["timezone_str"] for row in csv.DictReader(file)}
    chance = Random(SEED)  # noqa: S311  sample data, no secret
    end = from_datetime(END)
    return [
        (
            WeeklyHours.from_rows(rows[store_id]),
            resolve_timezone(zones.get(store_id), _ZONE),
            poll_set(
                (end - number * HOUR - chance.randrange(HOUR), chance.random() < 0.9)
                for number in range(polls)
            ),
        )
        for store_id in store_ids(count)
    ]


async def measure(bench: Bench) -> Mapping[str, float]:
    """Measure every store once in a warm process; the quickest of some rounds, in CPU time."""
    bench.say("computing the figures of every store")
    stores = facts_of_stores()
    reference = from_datetime(END)
    rounds = []
    for _ in range(_ROUNDS):
        begin = time.process_time()
        for hours, tz, polls in stores:
            observed = observe(
                hours,
                tz,
                polls,
                reference - WEEK,
                reference,
                lookback=HOUR,
                default_active=False,
                stale_after=2 * HOUR,
            )
            build_rows(_FORM, "a store", observed, tz)
        rounds.append((time.process_time() - begin) / len(stores))
    return {"per_store": min(rounds) * 1000}


LINE: Final = Line(
    name="computation",
    title=f"the computation alone, {POLLS} polls a week",
    figures=(Figure("per_store", "three windows and coverage of one store", "ms", most=0.1),),
    measure=measure,
)
