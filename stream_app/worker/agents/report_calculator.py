"""Calculates stores' figures from the facts table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.business_hours import decode_rows, hours_version
from stream_app.domain.business_hours import ALWAYS_OPEN, WeeklyHours
from stream_app.domain.open_time import OpenTimes, opening_edges
from stream_app.domain.poll_buckets import BucketLayout, first_that_drops
from stream_app.domain.poll_sets import PollSets
from stream_app.domain.report_rows import ReportRow, build_columns, build_rows
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.timezones import resolve_timezone, unknown_timezone_name
from stream_app.domain.uptime import StoreStates
from stream_app.errors import ReportError
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    bucket_key,
    bucket_reader,
    fact_content,
    store_id_of,
    store_key,
)
from stream_app.worker.report_document import (
    StoreProvenance,
    chunk_rows,
    common_provenance,
    store_document,
)
from stream_app.worker.store_details import store_details

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytz.tzinfo import BaseTzInfo

    from stream_app.contracts.report_requests import Include
    from stream_app.contracts.report_results import ReportDocument, Row
    from stream_app.domain.poll_sets import Integers
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.settings import Settings
    from stream_app.worker.owned_partitions import OwnedPartition

MAX_TURN_STORES: Final = 500
"""Stores that are calculated at once, in about 10 ms, before other tasks run."""

MAX_TURN_BYTES: Final = 2 << 20
"""Bytes of polls above which a turn takes no more stores."""


@dataclass(frozen=True, slots=True, eq=False)
class Schedule:
    """Weekly hours in a timezone: one object for all stores that share them."""

    hours: WeeklyHours
    tz: BaseTzInfo


@dataclass(frozen=True, slots=True)
class StoreSetup:
    """The facts of a store besides its polls.

    Attributes:
        schedule: its schedule.
        provenance: the facts as reports name them.
    """

    schedule: Schedule
    provenance: StoreProvenance


@dataclass(frozen=True, slots=True)
class _StoredFacts:
    """The facts of some stores as the table holds them.

    Attributes:
        stores: their keys.
        setups: for each store its schedule and provenance.
        polls: for each store the sets of its buckets, one behind the other.
    """

    stores: list[bytes]
    setups: list[StoreSetup]
    polls: list[bytes]


class ReportCalculator:
    """Calculates the figures of a partition's stores, many at once.

    Args:
        settings: retention, lookback and defaults.
        owned: the partition of the stores.
        spec: the figures.
        reference: the reference time of all figures, µs.

    Attributes:
        provenance: the settings and the timezone database of all figures.
        input_offsets: for each source topic, the offset below which the partition was applied.
        lost_input: source records that the log had lost before they were applied.

    Raises:
        ReportError: the spec does not fit the reference time.
    """

    def __init__(
        self,
        settings: Settings,
        owned: OwnedPartition,
        spec: ReportSpec,
        reference: int,
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._rules = PollRules(settings.lookback, settings.default_active, settings.stale_after)
        self._owned = owned
        self._spec = spec
        self._start, self._end = spec.span(reference)
        self._first = max(self._start - settings.lookback, 0)
        self._buckets = self._layout.buckets(self._first, self._end, owned.bucket_kinds)
        of_polls = [bucket_key(b"", bucket) for bucket in self._buckets]
        # the keys of hours and timezone come behind those of polls
        self._suffixes = sorted([*of_polls, HOURS_TAG, TIMEZONE_TAG])
        self._pick_polls = itemgetter(*map(self._suffixes.index, of_polls))
        self.provenance: dict[str, Any] = common_provenance(settings)
        self.input_offsets = {topic: owned.applied(topic) for topic in owned.offset_trackers}
        self.lost_input = [lost.describe() for lost in owned.lost_ranges]

    def calculate_rows(self, stores: Iterable[bytes]) -> Iterator[list[Row]]:
        """Calculate the rows of stores in turns, each of which takes a bounded time and memory.

        Args:
            stores: their keys, in ascending order, read one at a time.

        Raises:
            ReportError: a store is unknown, or its polls of that time were dropped.
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        remaining = iter(stores)
        while (facts := self._read(remaining)).stores:
            columns = build_columns(
                self._spec,
                [store_id_of(store) for store in facts.stores],
                self._states(facts),
                [setup.schedule.tz for setup in facts.setups],
            )
            yield chunk_rows(columns, [setup.provenance for setup in facts.setups])

    def document(self, store_id: str, details: Iterable[Include] = ()) -> ReportDocument:
        """Calculate the whole report of a store.

        Args:
            store_id: the store.
            details: the names of details besides the figures.

        Raises:
            ReportError: the errors of `calculate_rows`, or the details do not fit a record.
            RevokedError: the partition is closed.
            TableError: the database cannot be read.
        """
        store = store_key(store_id)
        facts = self._read(iter((store,)))
        states = self._states(facts)
        (setup,) = facts.setups
        hours, tz = setup.schedule.hours, setup.schedule.tz
        (rows,) = build_rows(self._spec, [store_id], states, [tz])
        whole = rows[0]
        if self._spec.daily:
            whole = ReportRow([], states.poll_counts()[0], states.coverage()[0])
        return store_document(
            self._spec,
            rows,
            setup.provenance,
            whole,
            reference_time=self._end,
            provenance=self.provenance,
            input_offsets={
                topic: {str(self._owned.number): offset}
                for topic, offset in self.input_offsets.items()
            },
            lost_input=self.lost_input,
            details=store_details(
                details,
                StoreFacts(hours, tz, states.polls.set_of(0)),
                states,
                self._rules,
                self._owned.newest_polls.get(store),
            ),
        )

    def _read(self, stores: Iterator[bytes]) -> _StoredFacts:
        """Read the facts of the next stores, as many as one turn takes; none at the end."""
        facts = _StoredFacts([], [], [])
        default = self._settings.default_timezone
        known, pick_polls = self._owned.stores, self._pick_polls
        size = 0
        turn = islice(stores, MAX_TURN_STORES)
        for store, values in self._owned.scan_stores(turn, self._suffixes):
            if store not in known:
                raise ReportError(
                    f"store {store_id_of(store)} is unknown: it has no poll, hours or timezone"
                )
            polls = b"".join(filter(None, pick_polls(values)))
            hours, timezone = map(fact_content, values[-2:])
            facts.stores.append(store)
            facts.setups.append(_setup(hours, timezone, default))
            facts.polls.append(polls)
            size += len(polls)
            if size >= MAX_TURN_BYTES:
                break
        return facts

    def _states(self, facts: _StoredFacts) -> StoreStates:
        polls = PollSets.of_bytes(facts.polls)
        if polls.newest() >= first_that_drops(self._first):
            self._check_kept(facts.stores)
        # each schedule once, however many stores share it
        numbers: dict[Schedule, int] = {}
        schedules = [numbers.setdefault(setup.schedule, len(numbers)) for setup in facts.setups]
        edges = [_edges(schedule, self._start, self._end) for schedule in numbers]
        opened = OpenTimes(edges, self._start, self._end)
        return StoreStates(opened, schedules, polls, self._rules)

    def _check_kept(self, stores: Iterable[bytes]) -> None:
        for store in stores:
            read = bucket_reader(self._owned, store)
            contents = [(bucket, read(bucket)) for bucket in self._buckets]
            try:
                self._layout.check_kept(self._first, self._end, contents)
            except ReportError as error:
                # in a report of many stores the error must name the store
                raise ReportError(f"store {store_id_of(store)}: {error}") from None


@lru_cache(maxsize=16_384)
def _setup(hours: bytes | None, timezone: bytes | None, default_timezone: str) -> StoreSetup:
    name = timezone.decode() if timezone else None
    tz = resolve_timezone(name, default_timezone)
    rows = None if hours is None else decode_rows(hours)
    weekly = ALWAYS_OPEN if rows is None else WeeklyHours.from_rows(rows)
    unknown = unknown_timezone_name(name)
    if unknown is not None:
        # earlier versions accepted names with characters that no header may have
        unknown = "".join(c if c.isprintable() else "\ufffd" for c in unknown)
    provenance = StoreProvenance(str(tz), rows or None, hours_version(hours), unknown)
    return StoreSetup(_schedule(weekly, tz), provenance)


@lru_cache(maxsize=16_384)
def _schedule(hours: WeeklyHours, tz: BaseTzInfo) -> Schedule:
    return Schedule(hours, tz)


@lru_cache(maxsize=4_096)
def _edges(schedule: Schedule, start: int, end: int) -> Integers:
    """Return the open intervals of a schedule; its stores in all partitions share them."""
    return opening_edges(schedule.hours, schedule.tz, start, end)
