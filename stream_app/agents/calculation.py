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
    """

    def __init__(self, settings: Settings, facts: FactsTable) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._facts = facts

    def of(self, owned: OwnedPartition, store_id: str, reference: int) -> Calculated:
        """The figures of a store of an owned partition.

        Args:
            owned: the partition.
            store_id: the store.
            reference: µs.

        Raises:
            ReportError: the store is unknown, or its polls of that time are no longer kept.
            TableError: the database cannot be read.
        """
        store = store_key(store_id)
        if store not in owned.stores:
            raise ReportError(f"store {store_id} is unknown: no poll, hours or zone names it")
        settings = self._settings
        first = reference - WEEK - settings.lookback
        asked = self._layout.buckets(first, reference, owned.kinds)
        read = bucket_reader(self._facts, owned.number, store)
        polls = self._layout.polls(first, reference, [(bucket, read(bucket)) for bucket in asked])
        hours = self._facts.get(owned.number, store + HOURS_TAG)
        name = self._facts.get(owned.number, store + ZONE_TAG)
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
