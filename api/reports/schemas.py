"""Reports. No `from __future__ import annotations`: pydantic reads the shapes."""

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
    """The receiver of a notice at the report's end, where the operator allows it."""

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
    """A row for each local day of the time, or of the last seven days."""
    exact: NotRequired[NullableFlag]
    """Seconds, without the grid of minutes."""
    # the service checks it, which knows the allow-list
    webhook: NotRequired[
        Annotated[Any, PlainValidator(_as_it_is, json_schema_input_type=WebhookBody | None)]
    ]


@closed
class ReportBody(_Choice):
    """The figures of a store that the report shall have."""


@closed
class FleetReportBody(_Choice):
    """The figures of many stores that the report shall have."""

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
    """The number of finished parts, out of `parts`; only for a report of many stores."""
    parts: NotRequired[Count]


@closed
class ReportGone(TypedDict):
    """There will be no such report."""

    status: Literal["failed"]
    reason: str | None


class _Complete(TypedDict):
    report_id: ReportId
    status: Literal["complete"]


@closed
class CompleteWindowReport(WindowReport, _Complete):
    """The complete report of a store's last hour (minutes), day and week (hours)."""


@closed
class CompleteExactWindowReport(ExactWindowReport, _Complete):
    """The complete report of a store's last hour, day and week in seconds."""


@closed
class CompleteSpanReport(SpanReport, _Complete):
    """The complete report of a span of a store's time in minutes."""


@closed
class CompleteExactSpanReport(ExactSpanReport, _Complete):
    """The complete report of a span of a store's time in seconds."""


@closed
class CompleteDailyReport(DailyReport, _Complete):
    """The complete report of a span of a store's time day by day."""


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
        description="A header and the rows of the stores, in the order of their ids.",
        pattern="^store_id,",
        examples=[",".join(CSV_HEADER) + "\n"],
    ),
]

REPORT_ID: Final = Parameter("report_id", "path", "The report.", ReportId)
UNKNOWN_REPORT: Final = {404: problem("The report is unknown or expired.")}
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
        text="CSV, or JSON or Parquet where the Accept header prefers it.",
        parameters=(
            REPORT_ID,
            Parameter(
                "columns",
                "query",
                "Further columns of CSV and Parquet, behind the usual ones; JSON has all of them. "
                "`unknown`: for each figure, the part that no poll covers. The file is named "
                "after the reference time then.",
                Annotated[list[OptionalColumn], Field(min_length=1)],
            ),
        ),
        answers={
            200: Answer(
                "The report.",
                {CSV: Csv, JSON: CompleteReport, PARQUET: Any},
                {
                    "X-Report-Status": Header("What it is.", Literal["Complete"]),
                    **{
                        header_of(name): Header(
                            f"`{name}` of the JSON form, where this is another one.", always=False
                        )
                        for name in (*PROVENANCE, "input_offsets", "lost_input")
                    },
                },
            ),
            202: Answer("It is not done yet.", {JSON: ReportUnderWay}, RETRY),
            **UNKNOWN_REPORT,
            410: Answer("It failed, and why.", {JSON: ReportGone}),
            422: problem("The report id is not a UUID, or there is no such column."),
            429: problem("Too many large answers are being written.", retry=True),
            500: problem("The report is complete but its content is gone: trigger a new one."),
            **unavailable("The broker is out of reach."),
        },
    ),
}
