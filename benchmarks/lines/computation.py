"""Measures the computation of reports alone: a week of polls, the published hours and timezones."""

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
from stream_app.domain.report_rows import build_columns
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timestamps import HOUR, WEEK, from_datetime
from stream_app.domain.timezones import resolve_timezone
from stream_app.domain.uptime import StoreStates
from stream_app.worker.agents.report_calculator import MAX_TURN_STORES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.bench import Bench

POLLS: Final = 170
_ROUNDS: Final = 5
_SPEC: Final = ReportSpec()
_ZONE: Final = "America/Chicago"


def facts_of_stores(count: int = STORES, polls: int = POLLS) -> list[StoreFacts]:
    """Return the hours, the timezone and hourly polls of each store."""
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
        StoreFacts(
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
    """Measure the CPU time of all stores in a warm process; the quickest of some rounds counts."""
    bench.say("computing the figures of every store")
    stores = facts_of_stores()
    ids = store_ids(len(stores))
    reference = from_datetime(END)
    rules = PollRules(lookback=HOUR, default_active=False, stale_after=2 * HOUR)
    rounds = []
    for _ in range(_ROUNDS):
        begin = time.process_time()
        for first in range(0, len(stores), MAX_TURN_STORES):
            facts = stores[first : first + MAX_TURN_STORES]
            states = StoreStates.of_facts(facts, reference - WEEK, reference, rules)
            build_columns(
                _SPEC, ids[first : first + len(facts)], states, [each.tz for each in facts]
            )
        rounds.append((time.process_time() - begin) / len(stores))
    return {"per_store": min(rounds) * 1000}


LINE: Final = Line(
    name="computation",
    title=f"the computation alone, {POLLS} polls a week",
    figures=(Figure("per_store", "three windows and coverage of one store", "ms", target_max=0.1),),
    measure=measure,
)
