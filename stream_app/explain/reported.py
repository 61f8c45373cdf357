"""The figures that a report has of one store, with their provenance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.fields import field_of, parse_status, parse_uuid, shown
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.report_results import names_in, objects_of
from stream_app.contracts.topics import SOURCE_TOPICS, STORE_STATUS
from stream_app.domain.report import CSV_HEADER
from stream_app.domain.report_spec import unknown_columns_of
from stream_app.domain.timestamps import WEEK, parse_instant
from stream_app.durations import parse_duration
from stream_app.errors import RecordError, StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.explain.reference_model import Row

EXACT_WINDOWS: Final = "uptime_last_hour_seconds"
"""A column of the exact figures of the three windows."""


@dataclass(frozen=True, slots=True)
class ReportedResult:
    """The figures of one store in a report, and the facts that they were computed from.

    Attributes:
        store_id: the store.
        start: the start of their time without the lookback, µs.
        end: their reference time, µs.
        lookback: µs.
        stale_after: µs.
        default_active: the status before the first poll.
        timezone: name of the timezone.
        tzdata_version: the version of the timezone database.
        hours: rows of business hours; None: always open, or not reported.
        hours_reported: whether the report has the business hours; one of many stores has none.
        hours_version: the digest of the business hours.
        partition: the partition of the store.
        offsets: the input offset of the partition in each source topic.
        columns: names of the figures.
        unknown_columns: names of the values that say how much of each figure no poll covers; empty
            where the report has none.
        rows: the figures by column, with `polls_counted` and `coverage` of each row.
        whole: `polls_counted` and `coverage` of the whole time, where the report has them.
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
    columns: tuple[str, ...]
    unknown_columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    whole: dict[str, Any] | None

    @property
    def daily(self) -> bool:
        """Whether it has a row a local day."""
        return "date" in self.columns

    @property
    def windows(self) -> bool:
        """Whether it has the figures of the last hour, day and week."""
        return "start" not in self.columns

    @property
    def exact(self) -> bool:
        """Whether it has seconds without the grid of minutes."""
        return EXACT_WINDOWS in self.columns or "uptime_seconds" in self.columns


def reported_result(content: dict[str, Any], store: str | None, partitions: int) -> ReportedResult:
    """Read the JSON form of a report.

    Args:
        content: as `GET /get_report` answers it.
        store: the store that is meant; needed where the report has many.
        partitions: of the topics by store.

    Raises:
        StoreUptimeError: the store is not in it, or it does not tell enough to be recomputed.
    """
    try:
        of_many = "reports" in content
        rows, told = (_rows_of_many if of_many else _rows_of_one)(content, store)
        return _result(content, rows, told, partitions, of_many=of_many)
    except (RecordError, ValueError, TypeError, AttributeError) as error:
        raise StoreUptimeError(
            f"the report does not tell enough to be recomputed: {error}"
        ) from None


def _rows_of_one(
    content: dict[str, Any], store: str | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    store_id = parse_uuid(field_of(content, "store_id"))
    if store not in (None, store_id):
        raise StoreUptimeError(f"the report is of store {store_id}, not of {store}")
    return objects_of(content), content


def _rows_of_many(
    content: dict[str, Any], store: str | None
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    if store is None:
        raise StoreUptimeError(
            f"the report is of {len({row['store_id'] for row in content['reports']})} stores: say "
            "which one with --store"
        )
    rows = [row for row in content["reports"] if row["store_id"] == store]
    if not rows:
        raise StoreUptimeError(f"store {store} is not in the report")
    return rows, content | rows[0]


def _result(
    content: dict[str, Any],
    rows: list[dict[str, Any]],
    told: dict[str, Any],
    partitions: int,
    *,
    of_many: bool,
) -> ReportedResult:
    columns = names_in(content, "columns", CSV_HEADER)
    store_id = parse_uuid(told["store_id"])
    end = parse_instant(field_of(content, "reference_time"))
    start = end - WEEK
    if "start" in columns:
        start = min(parse_instant(field_of(row, "start")) for row in rows)
    for row in rows:
        for name in (*columns, "polls_counted", "coverage"):
            field_of(row, name)
    partition = partition_of(store_id.encode(), partitions)
    hours = told.get("business_hours")
    return ReportedResult(
        store_id=store_id,
        start=start,
        end=end,
        lookback=parse_duration(field_of(content, "lookback")),
        stale_after=parse_duration(field_of(content, "stale_after")),
        default_active=parse_status(field_of(content, "default_status")),
        timezone=str(field_of(told, "timezone")),
        tzdata_version=str(field_of(content, "tzdata_version")),
        hours=None if hours is None else [(day, opens, closes) for day, opens, closes in hours],
        hours_reported=not of_many,
        hours_version=str(field_of(told, "hours_version")),
        partition=partition,
        offsets=_offsets(field_of(content, "input_offsets"), partition),
        columns=columns,
        # an earlier version told none of them
        unknown_columns=tuple(
            name for name in unknown_columns_of(columns) if any(name in row for row in rows)
        ),
        rows=rows,
        # of many stores by days nothing tells of the whole time
        whole=told if not of_many or "date" not in columns else None,
    )


def _offsets(told: dict[str, dict[str, int]], partition: int) -> dict[str, int]:
    offsets = {}
    for topic in SOURCE_TOPICS:
        offset = told.get(topic.name, {}).get(str(partition), 0)
        if type(offset) is not int:
            raise RecordError(f"an input offset is no number: {shown(offset)}")
        offsets[topic.name] = offset
    if not any(str(partition) in by_partition for by_partition in told.values()):
        raise RecordError(
            f"it has no input offset of partition {partition} of {STORE_STATUS.name}: "
            "STORE_UPTIME_PARTITIONS may be another here"
        )
    return offsets
