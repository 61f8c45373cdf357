"""A store's figures from what the table knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stream_app.contracts.business_hours import hours_version
from stream_app.contracts.report_results import StoreBasis, basis_of, report_content
from stream_app.domain.business_hours import ALWAYS_OPEN, WeeklyHours
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.report_spec import ReportRow, build_rows
from stream_app.domain.timezones import unknown_name, zone
from stream_app.domain.uptime import observe
from stream_app.errors import ReportError
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    ZONE_TAG,
    bucket_reader,
    decode_fact,
    decode_rows,
    store_key,
)

if TYPE_CHECKING:
    from pytz.tzinfo import BaseTzInfo

    from stream_app.domain.report_spec import ReportSpec
    from stream_app.domain.uptime import StoreObservation
    from stream_app.settings import Settings
    from stream_app.worker.owned_partitions import OwnedPartition


@dataclass(frozen=True, slots=True)
class Calculated:
    """The figures of a store, and what they rest on.

    Attributes:
        rows: of the form asked for.
        observed: the time that they are of.
        tz: the store's zone.
        store: what else they rest on.
    """

    rows: list[ReportRow]
    observed: StoreObservation
    tz: BaseTzInfo
    store: StoreBasis

    def whole(self) -> ReportRow:
        """Polls and coverage of the whole time."""
        if len(self.rows) == 1:
            return self.rows[0]
        span = (self.observed.start, self.observed.end)
        return ReportRow([], len(self.observed.polls), self.observed.coverage([span]))


class Calculation:
    """Reads and measures, synchronously: about a tenth of a millisecond a store.

    Args:
        settings: retention, lookback, defaults.
        owned: the partition of the stores.
        form: which figures.
        reference: the reference time of all figures, µs.

    Attributes:
        basis: what all figures rest on.
        input_offsets: of each source topic, the offset below which the partition is applied.
        lost_input: source records that the log had lost before they were applied.

    Raises:
        ReportError: the form does not go with the reference time.
    """

    def __init__(
        self,
        settings: Settings,
        owned: OwnedPartition,
        form: ReportSpec,
        reference: int,
    ) -> None:
        self._settings = settings
        self._layout = BucketLayout(settings.retention)
        self._owned = owned
        self._form = form
        self._start, self._end = form.span(reference)
        self._first = max(self._start - settings.lookback, 0)
        self._buckets = self._layout.buckets(self._first, self._end, owned.bucket_kinds)
        self.basis: dict[str, Any] = basis_of(settings)
        self.input_offsets = {topic: owned.applied(topic) for topic in owned.offset_trackers}
        self.lost_input = [lost.describe() for lost in owned.lost]

    def of(self, store_id: str) -> Calculated:
        """The figures of a store.

        Raises:
            ReportError: the store is unknown, or its polls of that time are no longer kept.
            TableError: the database cannot be read.
        """
        store = store_key(store_id)
        if store not in self._owned.stores:
            raise ReportError(f"store {store_id} is unknown: no poll, hours or zone names it")
        settings, owned = self._settings, self._owned
        read = bucket_reader(owned, store)
        contents = [(bucket, read(bucket)) for bucket in self._buckets]
        _, hours = decode_fact(owned.get(store + HOURS_TAG))
        _, name = decode_fact(owned.get(store + ZONE_TAG))
        given = name.decode() if name else None
        tz = zone(given, settings.default_timezone)
        try:
            polls = self._layout.polls(self._first, self._end, contents)
        except ReportError as error:
            # of many stores it is this one that has no figures
            raise ReportError(f"store {store_id}: {error}") from None
        observed = observe(
            ALWAYS_OPEN if hours is None else _weekly_hours(hours),
            tz,
            polls,
            self._start,
            self._end,
            lookback=settings.lookback,
            default_active=settings.default_active,
            stale_after=settings.stale_after,
        )
        rows = build_rows(self._form, store_id, observed, tz)
        return Calculated(rows, observed, tz, _basis(str(tz), hours, unknown_name(given)))

    def report(self, store_id: str) -> dict[str, Any]:
        """The report of a store, as readers get it.

        Raises:
            ReportError: as `of`.
            TableError: as `of`.
        """
        return self.content(self.of(store_id))

    def content(self, calculated: Calculated) -> dict[str, Any]:
        """The report of figures that were calculated here."""
        content = report_content(
            self._form,
            calculated.rows,
            self._end,
            calculated.store,
            self.basis,
            {
                topic: {str(self._owned.number): offset}
                for topic, offset in self.input_offsets.items()
            },
            calculated.whole(),
        )
        return content | {"lost_input": self.lost_input} if self.lost_input else content


@lru_cache(maxsize=16_384)
def _weekly_hours(value: bytes) -> WeeklyHours:
    return WeeklyHours.from_rows(decode_rows(value))


@lru_cache(maxsize=16_384)
def _basis(timezone: str, hours: bytes | None, unknown: str | None) -> StoreBasis:
    rows = None if hours is None else decode_rows(hours) or None
    if unknown is not None:
        # earlier versions took names with characters that no header may have
        unknown = "".join(c if c.isprintable() else "\ufffd" for c in unknown)
    return StoreBasis(timezone, rows, hours_version(hours), unknown)
