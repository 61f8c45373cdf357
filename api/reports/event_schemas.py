"""Events of a report. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Final, Literal, NotRequired

from pydantic import Json
from typing_extensions import TypedDict

from api.http.event_stream import MAX_STREAMS
from api.openapi.operation import STREAM, Answer, Operation, problem, unavailable
from api.reports.schemas import REPORT_ID, UNKNOWN_REPORT
from stream_app.contracts.fields import Count, ReportId, closed


@closed
class ReportProgress(TypedDict):
    """The progress of a report."""

    report_id: ReportId
    status: Literal["running", "complete", "failed"]
    parts_done: NotRequired[Count]
    """The number of finished parts, out of `parts`; only for a report of many stores."""
    parts: NotRequired[Count]
    reason: NotRequired[str | None]
    """The reason why the report failed."""


@closed
class ReportStep(TypedDict):
    """An event of the stream."""

    event: Literal["report"]
    data: Json[ReportProgress]


OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("GET", "/reports/{report_id}/events"): Operation(
        text="Server-sent events. The first one comes at once.",
        parameters=(REPORT_ID,),
        answers={
            200: Answer("The stream of events.", {STREAM: ReportStep}),
            **UNKNOWN_REPORT,
            422: problem("The report id is not a UUID."),
            **unavailable(
                f"The broker is out of reach, or {MAX_STREAMS} streams are open already."
            ),
        },
    ),
}
