"""Calculates a store's figures from the facts table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from stream_app.contracts.business_hours import decode_rows, hours_version
from stream_app.domain.business_hours import ALWAYS_OPEN, WeeklyHours
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.report_spec import ReportRow, build_rows
from stream_app.domain.timezones import resolve_timezone, unknown_timezone_name
from stream_app.domain.uptime import observe
from stream_app.errors import ReportError
from stream_app.worker.facts.keys import (
    HOURS_TAG,
    TIMEZONE_TAG,
    bucket_reader,
    decode_fact,
    store_key,
)
from stream_app.worker.report_document import (
    StoreProvenance,
    common_provenance,
    store_document,
)
from stream_app.worker.store_details import store_details

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytz.tzinfo import BaseTzInfo

    from stream_app.contracts.report_requests import Include
    from stream_app.contracts.report_results import ReportDocument
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.domain.uptime import StoreObservation
    from stream_app.settings import Settings
    from stream_app.worker.owned_partitions import OwnedPartition


@dataclass(frozen=True, slots=True)
class StoreReport:
    """The figures of a store, and the facts that they were calculated from.

    Attributes:
        rows: the rows of the spec.
        observed: the state of the store over their time.
        tz: the store's timezone.
        provenance: the other facts of the store.
    """

    rows: list[ReportRow]
    observed: StoreObservation
    tz: BaseTzInfo
    provenance: StoreProvenance

    def whole(self) -> ReportRow:
        """Return the polls and coverage of the whole time."""
        if len(self.rows) == 1:
            return self.rows[0]
        span = (self.observed.start, self.observed.end)
        return ReportRow([], len(self.observed.polls), self.observed.coverage([span]))


class ReportCalculator:
    """Calculates the figures of a partition's stores, in about a tenth of a millisecond a store.

    Args:
        settings: retention, lookback and defaults.
        owned: the partition of the stores.
        spec: the figures.
        reference: the reference time of all figures, µs.

    Attributes:
        provenance: the settings and the timezone database of all figures.
        input_offsets: of each source topic, the offset below which the partition was applied.
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
        self._owned = owned
        self._spec = spec
        self._start, self._end = spec.span(reference)
        self._first = max(self._start - settings.lookback, 0)
        self._buckets = self._layout.buckets(self._first, self._end, owned.bucket_kinds)
        self.provenance: dict[str, Any] = common_provenance(settings)
        self.input_offsets = {topic: owned.applied(topic) for topic in owned.offset_trackers}
        self.lost_input = [lost.describe() for lost in owned.lost]

    def calculate(self, store_id: str) -> StoreReport:
        """Calculate the figures of a store.

        Raises:
            ReportError: the store is unknown, or its polls of that time were dropped.
            TableError: the database cannot be read.
        """
        store = store_key(store_id)
        if store not in self._owned.stores:
            raise ReportError(f"store {store_id} is unknown: no poll, hours or zone names it")
        settings, owned = self._settings, self._owned
        read = bucket_reader(owned, store)
        contents = [(bucket, read(bucket)) for bucket in self._buckets]
        _, hours = decode_fact(owned.get(store + HOURS_TAG))
        _, name = decode_fact(owned.get(store + TIMEZONE_TAG))
        timezone_name = name.decode() if name else None
        tz = resolve_timezone(timezone_name, settings.default_timezone)
        try:
            polls = self._layout.polls(self._first, self._end, contents)
        except ReportError as error:
            # in a report of many stores the error must name the store
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
        rows = build_rows(self._spec, store_id, observed, tz)
        provenance = _store_provenance(str(tz), hours, unknown_timezone_name(timezone_name))
        return StoreReport(rows, observed, tz, provenance)

    def document(self, store_id: str, details: Iterable[Include] = ()) -> ReportDocument:
        """Calculate the whole report of a store.

        Args:
            store_id: the store.
            details: the names of details besides the figures.

        Raises:
            ReportError: as `calculate`, or the details do not fit a record.
            TableError: the database cannot be read.
        """
        report = self.calculate(store_id)
        newest_poll = self._owned.newest_polls.get(store_key(store_id))
        return store_document(
            self._spec,
            report.rows,
            report.provenance,
            report.whole(),
            reference_time=self._end,
            provenance=self.provenance,
            input_offsets={
                topic: {str(self._owned.number): offset}
                for topic, offset in self.input_offsets.items()
            },
            lost_input=self.lost_input,
            details=store_details(details, report.observed, report.tz, newest_poll),
        )


@lru_cache(maxsize=16_384)
def _weekly_hours(value: bytes) -> WeeklyHours:
    return WeeklyHours.from_rows(decode_rows(value))


@lru_cache(maxsize=16_384)
def _store_provenance(timezone: str, hours: bytes | None, unknown: str | None) -> StoreProvenance:
    rows = None if hours is None else decode_rows(hours) or None
    if unknown is not None:
        # earlier versions accepted names with characters that no header may have
        unknown = "".join(c if c.isprintable() else "\ufffd" for c in unknown)
    return StoreProvenance(timezone, rows, hours_version(hours), unknown)
