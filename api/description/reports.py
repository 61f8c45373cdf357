"""Reports. No `from __future__ import annotations`: pydantic reads the forms."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

from api.description.operation import (
    JSON,
    RETRY,
    Answer,
    Body,
    Header,
    Operation,
    Parameter,
    body_problems,
    problem,
    unavailable,
)
from api.description.stores import NO_STORE, STORE_ID
from api.reports import MAX_BODY_BYTES, MAX_KEY_LENGTH, MAX_OPEN_REPORTS, MAX_STORES_BYTES
from stream_app.contracts.shapes import (
    EXAMPLE_REPORT,
    Count,
    FleetRow,
    Instant,
    ReportId,
    Status,
    StoreIds,
    StoreReport,
    closed,
)
from stream_app.domain.report import CSV_HEADER


@closed
class ReportBody(TypedDict):
    """What the report of a store is wanted for."""

    reference_time: NotRequired[Instant | None]
    """Where the windows end; without it, by the reference clock of the deployment."""


@closed
class FleetReportBody(TypedDict):
    """What a report of many stores is wanted for."""

    reference_time: NotRequired[Instant | None]
    """Where the windows end; without it, by the reference clock of the deployment."""
    store_ids: NotRequired[StoreIds]
    """Without it: all stores."""


@closed
class ReportAsked(TypedDict):
    """The report will be made."""

    report_id: ReportId


@closed
class ReportUnderWay(TypedDict):
    """The report is not done yet."""

    status: Literal["running"]
    parts_done: NotRequired[Count]
    """Of a report of many stores, of which `parts` are to be done."""
    parts: NotRequired[Count]


@closed
class ReportGone(TypedDict):
    """There will be no such report."""

    status: Literal["failed"]
    reason: str | None


@closed
class CompleteStoreReport(StoreReport):
    """The complete report of one store."""

    report_id: ReportId
    status: Literal["complete"]


@closed
class CompleteFleetReport(TypedDict):
    """The complete report of many stores."""

    report_id: ReportId
    status: Literal["complete"]
    reference_time: Instant
    lookback: str
    """How long before the oldest window a poll still counts."""
    default_status: Status
    """What counts where no poll tells."""
    reports: list[FleetRow]
    """In the order of store ids."""


Csv = Annotated[
    str,
    Field(
        description="A header and a row a store: minutes of the hour, hours of the day and week.",
        pattern=f"^{','.join(CSV_HEADER)}\n",
    ),
]

IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "Makes it safe to send the request again: with one key there is one report.",
    Annotated[str, Field(max_length=MAX_KEY_LENGTH, pattern="^[!-~]([ -~]*[!-~])?$")],
)

_ASKED: Final = Answer(
    "The report will be made.",
    {JSON: ReportAsked},
    {"Location": Header(f"Where it can be fetched: `/get_report/{EXAMPLE_REPORT}`."), **RETRY},
)
_REFUSED: Final = problem(
    "No such request, or its Idempotency-Key was used for another one before."
)
_AWAY: Final = unavailable(
    "The broker is out of reach, the workers are behind, or "
    f"{MAX_OPEN_REPORTS:,} reports are waiting already."
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/trigger_report/{store_id}"): Operation(
        parameters=(STORE_ID, IDEMPOTENCY_KEY),
        body=Body("None is needed.", {JSON: ReportBody}, required=False),
        answers={
            202: _ASKED,
            **body_problems(f"The body is larger than {MAX_BODY_BYTES:,} bytes."),
            **NO_STORE,
            422: _REFUSED,
            **_AWAY,
        },
    ),
    ("POST", "/trigger_report"): Operation(
        parameters=(IDEMPOTENCY_KEY,),
        body=Body("None is needed for all stores.", {JSON: FleetReportBody}, required=False),
        answers={
            202: _ASKED,
            **body_problems(f"The body is larger than {MAX_STORES_BYTES:,} bytes."),
            404: problem("Some of the stores are unknown; the first of them are named."),
            422: _REFUSED,
            **_AWAY,
        },
    ),
    ("GET", "/get_report/{report_id}"): Operation(
        text="CSV, or JSON where the Accept header prefers it.",
        parameters=(Parameter("report_id", "path", "The report.", ReportId),),
        answers={
            200: Answer(
                "The report.",
                {"text/csv": Csv, JSON: CompleteStoreReport | CompleteFleetReport},
                {"X-Report-Status": Header("What it is.", Literal["Complete"])},
            ),
            202: Answer("It is not done yet.", {JSON: ReportUnderWay}, RETRY),
            404: problem("The report is unknown or expired."),
            410: Answer("It failed, and why.", {JSON: ReportGone}),
            422: problem("The report id is not a UUID."),
            429: problem("Too many large answers are being written.", retry=True),
            500: problem("The report is complete but its content is gone: trigger a new one."),
            **unavailable("The broker is out of reach."),
        },
    ),
}
