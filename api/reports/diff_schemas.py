"""Compared reports. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.openapi.operation import JSON, Answer, Operation, problem, unavailable
from api.reports.diff import MAX_CHANGES
from api.reports.schemas import REPORT_ID, UNKNOWN_REPORT
from stream_app.contracts.fields import Count, Instant, ReportId, StoreId, closed

# "is" is a keyword of Python: a type with such a field needs this form

WasIs = TypedDict("WasIs", {"was": float | None, "is": float | None})
"""A figure in the report, and in the same report made now; null if it has no such row."""

closed(WasIs)

_Cause = Literal[
    "polls", "business_hours", "timezone", "lookback", "default_status", "tzdata_version"
]
_Ground = str | int | None
"""The value of a cause: for polls their number, for business hours the digest of their rows."""

Cause = TypedDict("Cause", {"cause": _Cause, "was": _Ground, "is": _Ground})
"""A ground of the figures that has changed, as it was and as it is."""

closed(Cause)


@closed
class Change(TypedDict):
    """A row of the report that is different now."""

    store_id: StoreId
    date: NotRequired[str]
    """The local day of the row; only in a daily report."""
    change: Literal["changed", "added", "removed"]
    figures: dict[str, WasIs]
    """The figures that differ, by name."""
    causes: list[Cause]


@closed
class ReportDiff(TypedDict):
    """The differences between a report and the same report made now."""

    report_id: ReportId
    reference_time: Instant
    same: bool
    settings: list[Cause]
    """The settings of all figures that have changed since the report."""
    changed: Count
    """The number of rows that differ."""
    changes: Annotated[list[Change], Field(max_length=MAX_CHANGES)]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/reports/{report_id}/diff"): Operation(
        text="The report itself does not change.",
        parameters=(REPORT_ID,),
        answers={
            200: Answer("The differences.", {JSON: ReportDiff}),
            **UNKNOWN_REPORT,
            409: problem("The report is not complete, or its request is not known any more."),
            422: problem("The report id is not a UUID, or the report cannot be made any more."),
            429: problem("Too many large answers are being sent at the moment.", retry=True),
            **unavailable("The broker is out of reach, or no worker answered in time."),
        },
    ),
}
