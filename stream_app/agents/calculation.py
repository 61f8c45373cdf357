"""A store's figures from what the table knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from stream_app.domain.buckets import BucketLayout
from stream_app.domain.hours import ALWAYS_OPEN, WeeklyHours
from stream_app.domain.instants import WEEK
from stream_app.domain.report import StoreReport
from stream_app.domain.uptime import measure
from stream_app.domain.zones import zone
from stream_app.errors import ReportError
from stream_app.tables import HOURS_TAG, ZONE_TAG, bucket_reader, decode_rows, store_key

if TYPE_CHECKING:
    from stream_app.agents.ownership import OwnedPartition
    from stream_app.settings import Settings
    from stream_app.tables import FactsTable


@dataclass(frozen=True, slots=True)
class Calculated:
    """The figures of a store, and what they rest on.

    Attributes:
        report: the figures.
        timezone: the zone that counts, of the store or the default one.
        polls_counted: polls in the windows and the lookback before them.
    """

    report: StoreReport
    timezone: str
    polls_counted: int


class Calculation:
    """Reads and measures, synchronously: about a tenth of a millisecond a store.

    Args:
        settings: retention, lookback, defaults.
        facts: the table.
        owned: the partition of the stores.
        reference: the reference time of all figures, µs.
    """

    def __init__(
        self, settings: Settings, facts: FactsTable, owned: OwnedPartition, reference: int
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._facts = facts
        self._owned = owned
        self._reference = reference
        self._first = reference - WEEK - settings.lookback
        self._buckets = self._layout.buckets(self._first, reference, owned.kinds)

    def of(self, store_id: str) -> Calculated:
        """The figures of a store.

        Raises:
            ReportError: the store is unknown, or its polls of that time are no longer kept.
            TableError: the database cannot be read.
        """
        store = store_key(store_id)
        if store not in self._owned.stores:
            raise ReportError(f"store {store_id} is unknown: no poll, hours or zone names it")
        settings, partition, reference = self._settings, self._owned.number, self._reference
        read = bucket_reader(self._facts, partition, store)
        contents = [(bucket, read(bucket)) for bucket in self._buckets]
        polls = self._layout.polls(self._first, reference, contents)
        hours = self._facts.get(partition, store + HOURS_TAG)
        name = self._facts.get(partition, store + ZONE_TAG)
        tz = zone(name.decode() if name else None, settings.default_timezone)
        figures = measure(
            ALWAYS_OPEN if hours is None else _weekly_hours(hours),
            tz,
            polls,
            reference,
            lookback=settings.lookback,
            default_active=settings.default_active,
        )
        report = StoreReport.from_figures(store_id, reference, figures)
        return Calculated(report, str(tz), figures.polls_counted)


@lru_cache(maxsize=16_384)
def _weekly_hours(value: bytes) -> WeeklyHours:
    return WeeklyHours.from_rows(decode_rows(value))
