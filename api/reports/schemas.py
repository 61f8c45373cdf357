"""Calls on reports. pydantic reads the types: no `from __future__ import annotations`."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, NotRequired

from pydantic import Field, PlainValidator
from typing_extensions import TypedDict

from api.openapi.operation import (
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
from api.reports.representations import CSV, PARQUET, OptionalColumn, header_of
from api.reports.service import MAX_OPEN_REPORTS
from api.stores.schemas import NO_STORE, STORE_ID
from api.webhooks.allowlist import MAX_URL_LENGTH
from stream_app.contracts.fields import EXAMPLE_REPORT, Count, Instant, ReportId, closed
from stream_app.contracts.report_requests import (
    MAX_STORES_NAMED,
    NullableDuration,
    NullableFlag,
    NullableInstant,
    StoreIds,
)
from stream_app.contracts.report_results import PROVENANCE
from stream_app.contracts.report_schemas import (
    DailyReport,
    ExactSpanReport,
    ExactWindowReport,
    FleetRow,
    InputOffsets,
    LostInput,
    SettingsUsed,
    SpanReport,
    WindowReport,
)
from stream_app.domain.report import CSV_HEADER

MAX_BODY_BYTES: Final = 65_536
"""Largest body of a request for the report of one store."""

MAX_STORES_BYTES: Final = 64 * MAX_STORES_NAMED
"""Largest body of a request for the report of many stores."""

MAX_KEY_LENGTH: Final = 255
"""Longest Idempotency-Key, in characters."""


@closed
class WebhookBody(TypedDict):
    """The receiver of a notification when the report has ended; the operator lists allowed ones."""

    url: Annotated[str, Field(pattern="^https?://", max_length=MAX_URL_LENGTH)]


def _as_it_is(webhook: object) -> object:
    return webhook


class _Choice(TypedDict):
    reference_time: NotRequired[NullableInstant]
    """The end of the time range; without it, the reference clock of the deployment decides."""
    end: NotRequired[NullableInstant]
    """Another name of `reference_time`; only one of the two may be given."""
    start: NotRequired[NullableInstant]
    """The start of the time range; without it and `duration`, the last hour, day and week."""
    duration: NotRequired[NullableDuration]
    """The length of the time range (ISO 8601, without years and months), instead of `start`."""
    daily: NotRequired[NullableFlag]
    """If true, the report has a row for each local day of the time range, or of the last 7 days."""
    exact: NotRequired[NullableFlag]
    """If true, the figures are in seconds, and are not rounded to minutes."""
    # the service checks it, which knows the allow-list
    webhook: NotRequired[
        Annotated[Any, PlainValidator(_as_it_is, json_schema_input_type=WebhookBody | None)]
    ]


@closed
class ReportBody(_Choice):
    """The figures that the report of a store should have."""


@closed
class FleetReportBody(_Choice):
    """The figures and the stores that a report of many stores should have."""

    store_ids: NotRequired[StoreIds]
    """The stores of the report; without it, all stores."""


@closed
class ReportAsked(TypedDict):
    """The report will be made."""

    report_id: ReportId


@closed
class ReportUnderWay(TypedDict):
    """The report is not complete yet."""

    status: Literal["running"]
    parts_done: NotRequired[Count]
    """The number of finished parts, out of `parts`; only for a report of many stores."""
    parts: NotRequired[Count]


@closed
class ReportGone(TypedDict):
    """The report has failed and will not be made."""

    status: Literal["failed"]
    reason: str | None


class _Complete(TypedDict):
    report_id: ReportId
    status: Literal["complete"]


@closed
class CompleteWindowReport(WindowReport, _Complete):
    """The complete report of a store's last hour (in minutes), day and week (in hours)."""


@closed
class CompleteExactWindowReport(ExactWindowReport, _Complete):
    """The complete report of a store's last hour, day and week in seconds."""


@closed
class CompleteSpanReport(SpanReport, _Complete):
    """The complete report of a time range of a store in minutes."""


@closed
class CompleteExactSpanReport(ExactSpanReport, _Complete):
    """The complete report of a time range of a store in seconds."""


@closed
class CompleteDailyReport(DailyReport, _Complete):
    """The complete report of a time range of a store, day by day."""


@closed
class CompleteFleetReport(SettingsUsed, _Complete):
    """The complete report of many stores."""

    reference_time: Instant
    """The reference time of all figures."""
    input_offsets: InputOffsets
    """The applied offsets that the figures include, by source topic and partition."""
    lost_input: NotRequired[list[LostInput]]
    """The lost records of all partitions, if there are any: the figures may lack them."""
    columns: list[str]
    """The columns of the CSV, in their order."""
    reports: list[FleetRow]
    """The rows of the report, in the order of store ids."""


CompleteReport = (
    CompleteWindowReport
    | CompleteExactWindowReport
    | CompleteSpanReport
    | CompleteExactSpanReport
    | CompleteDailyReport
    | CompleteFleetReport
)

Csv = Annotated[
    str,
    Field(
        description="A header line and the rows of the stores, in the order of store ids.",
        pattern="^store_id,",
        examples=[",".join(CSV_HEADER) + "\n"],
    ),
]

REPORT_ID: Final = Parameter("report_id", "path", "The report.", ReportId)
UNKNOWN_REPORT: Final = {404: problem("The report is unknown or expired.")}
IDEMPOTENCY_KEY: Final = Parameter(
    "Idempotency-Key",
    "header",
    "A key that makes it safe to send the request again: one key makes one report.",
    Annotated[str, Field(max_length=MAX_KEY_LENGTH, pattern="^[!-~]([ -~]*[!-~])?$")],
)

_REQUESTED: Final = Answer(
    "The report will be made.",
    {JSON: ReportAsked},
    {"Location": Header(f"The address of the report: `/get_report/{EXAMPLE_REPORT}`."), **RETRY},
)
_UNPROCESSABLE: Final = problem(
    "The request cannot be used, or another request has used its Idempotency-Key."
)
_UNAVAILABLE: Final = unavailable(
    "The broker is out of reach, the workers are behind, or "
    f"{MAX_OPEN_REPORTS:,} reports are waiting already."
)

OPERATIONS: Final[Mapping[tuple[str, str], Operation]] = {
    ("POST", "/trigger_report/{store_id}"): Operation(
        parameters=(STORE_ID, IDEMPOTENCY_KEY),
        body=Body("The body may be left out.", {JSON: ReportBody}, required=False),
        answers={
            202: _REQUESTED,
            **body_problems(f"The body is larger than {MAX_BODY_BYTES:,} bytes."),
            **NO_STORE,
            422: _UNPROCESSABLE,
            **_UNAVAILABLE,
        },
    ),
    ("POST", "/trigger_report"): Operation(
        parameters=(IDEMPOTENCY_KEY,),
        body=Body(
            "The body may be left out for a report of all stores.",
            {JSON: FleetReportBody},
            required=False,
        ),
        answers={
            202: _REQUESTED,
            **body_problems(f"The body is larger than {MAX_STORES_BYTES:,} bytes."),
            404: problem("Some of the stores are unknown; the first of them are named."),
            422: _UNPROCESSABLE,
            **_UNAVAILABLE,
        },
    ),
    ("GET", "/get_report/{report_id}"): Operation(
        text="The report is CSV, or JSON or Parquet if the Accept header prefers it.",
        parameters=(
            REPORT_ID,
            Parameter(
                "columns",
                "query",
                "Further columns of CSV and Parquet, after the usual ones; JSON has all columns. "
                "`unknown`: for each figure, the part that no poll covers. With this parameter the "
                "file has the reference time in its name.",
                Annotated[list[OptionalColumn], Field(min_length=1)],
            ),
        ),
        answers={
            200: Answer(
                "The report.",
                {CSV: Csv, JSON: CompleteReport, PARQUET: Any},
                {
                    "X-Report-Status": Header("The status of the report.", Literal["Complete"]),
                    **{
                        header_of(name): Header(
                            f"`{name}` of the JSON form; not in an answer in JSON.", always=False
                        )
                        for name in (*PROVENANCE, "input_offsets", "lost_input")
                    },
                },
            ),
            202: Answer("The report is not complete yet.", {JSON: ReportUnderWay}, RETRY),
            **UNKNOWN_REPORT,
            410: Answer("The report has failed; `reason` says why.", {JSON: ReportGone}),
            422: problem("The report id is not a UUID, or there is no such column."),
            429: problem("Too many large answers are being sent at the moment.", retry=True),
            500: problem("The report is complete, but its content is gone: trigger a new report."),
            **unavailable("The broker is out of reach."),
        },
    ),
}
