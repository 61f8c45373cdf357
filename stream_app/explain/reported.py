"""The figures of one store in a report, with their provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stream_app.contracts.fields import field_of, parse_status, parse_uuid, shown
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import WEEK, parse_instant
from stream_app.durations import parse_duration
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.contracts.report_results import ReportDocument
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.explain.reference_model import Row


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """The figures of one store in a report, and the facts that they were computed from.

    Attributes:
        store_id: the store.
        start: the start of the time range of the figures, without the lookback, µs.
        end: the reference time of the figures, µs.
        lookback: how long before the start a poll still counts, µs.
        stale_after: how long a poll covers the time after it, µs.
        default_active: the status before the first poll.
        timezone: name of the timezone.
        tzdata_version: the version of the timezone database.
        hours: rows of business hours; None if the store is always open, or if the report does not
            have its business hours.
        hours_reported: whether the report has the business hours; a report of many stores has none.
        hours_version: the digest of the business hours.
        partition: the partition of the store.
        offsets: the input offset of the partition in each source topic.
        spec: the figures that the report has.
        columns: names of the figures.
        unknown_columns: names of the values that say how much of each figure no poll covers; empty
            if the report has no such values.
        rows: the figures by column, with `polls_counted` and `coverage` of each row.
        whole: `polls_counted` and `coverage` of the whole time range; None if the report does not
            have them.
    """

    store_id: str
    start: int
    end: int
    lookback: int
    stale_after: int
    default_active: bool
    timezone: str
    tzdata_version: str
    hours: Sequence[Row] | None
    hours_reported: bool
    hours_version: str
    partition: int
    offsets: dict[str, int]
    spec: ReportSpec
    columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    whole: dict[str, Any] | None


def reported_result(document: ReportDocument, store: str | None, partitions: int) -> ReportedResult:
    """Find the figures of one store in a report.

    Args:
        document: the report.
        store: the id of the store; None for the only store of the report.
        partitions: the number of partitions of the source topics.

    Raises:
        StoreUptimeError: the report has no such store, or lacks fields that a recomputation needs.
    """
    try:
        if "store_id" not in document.fields:
            rows = _rows_of_store(document, store)
            # each row of the store has the provenance of the store
            return _result(document, rows, document.fields | rows[0], partitions, of_many=True)
        store_id = parse_uuid(document.fields["store_id"])
        if store not in (None, store_id):
            raise StoreUptimeError(f"the report is of store {store_id}, not of {store}")
        return _result(document, document.rows(), document.fields, partitions, of_many=False)
    except (RecordError, ValueError, TypeError, AttributeError) as error:
        raise StoreUptimeError(
            f"the report does not tell enough to be recomputed: {error}"
        ) from None


def _rows_of_store(document: ReportDocument, store: str | None) -> list[dict[str, Any]]:
    if store is None:
        raise StoreUptimeError(
            f"the report is of {len({row['store_id'] for row in document.rows()})} stores: say "
            "which one with --store"
        )
    rows = [row for row in document.rows() if row["store_id"] == store]
    if not rows:
        raise StoreUptimeError(f"store {store} is not in the report")
    return rows


def _result(
    document: ReportDocument,
    rows: list[dict[str, Any]],
    fields: dict[str, Any],
    partitions: int,
    *,
    of_many: bool,
) -> ReportedResult:
    columns, spec = document.columns, document.spec
    store_id = parse_uuid(fields["store_id"])
    end = document.reference_time
    start = end - WEEK
    if not spec.windows:
        start = min(parse_instant(field_of(row, "start")) for row in rows)
    for row in rows:
        for name in (*columns, "polls_counted", "coverage"):
            field_of(row, name)
    partition = partition_of(store_id.encode(), partitions)
    hours = fields.get("business_hours")
    return ReportedResult(
        store_id=store_id,
        start=start,
        end=end,
        lookback=parse_duration(field_of(fields, "lookback")),
        stale_after=parse_duration(field_of(fields, "stale_after")),
        default_active=parse_status(field_of(fields, "default_status")),
        timezone=str(field_of(fields, "timezone")),
        tzdata_version=str(field_of(fields, "tzdata_version")),
        hours=None if hours is None else [(day, opens, closes) for day, opens, closes in hours],
        hours_reported=not of_many,
        hours_version=str(field_of(fields, "hours_version")),
        partition=partition,
        offsets=_offsets(field_of(fields, "input_offsets"), partition),
        spec=spec,
        columns=columns,
        # an earlier version wrote none of them
        unknown_columns=tuple(
            name for name in unknown_columns_of(columns) if any(name in row for row in rows)
        ),
        rows=rows,
        # a daily report of many stores has no totals of the whole time
        whole=None if of_many and spec.daily else fields,
    )


def _offsets(input_offsets: dict[str, dict[str, int]], partition: int) -> dict[str, int]:
    offsets = {}
    for topic in SOURCE_TOPICS:
        offset = input_offsets.get(topic.name, {}).get(str(partition), 0)
        if type(offset) is not int:
            raise RecordError(f"an input offset is no number: {shown(offset)}")
        offsets[topic.name] = offset
    if not any(str(partition) in by_partition for by_partition in input_offsets.values()):
        raise RecordError(
            f"it has no input offset of partition {partition} of {STORE_STATUS.name}: "
            "STORE_UPTIME_PARTITIONS may be another here"
        )
    return offsets
