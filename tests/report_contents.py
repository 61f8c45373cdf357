"""Makes the contents of reports of each form with the worker's own functions."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import orjson
import pytz

from api.reports.service import QUERY_SECONDS
from stream_app.contracts.business_hours import hours_version
from stream_app.contracts.report_requests import DETAILS, ReportRequest
from stream_app.contracts.report_results import ResultChunk
from stream_app.domain.business_hours import WeeklyHours
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.store_facts import StoreFacts
from stream_app.domain.timestamps import DAY, HOUR, format_instant
from stream_app.worker.report_document import (
    StoreProvenance,
    chunk_rows,
    common_provenance,
    extra_columns,
    store_document,
)
from stream_app.worker.store_details import store_details
from tests.fakes import SETTINGS, FakeGateway
from tests.store_rows import columns_of, rows_of, rules_of, states_of

if TYPE_CHECKING:
    from api.reports.view import ReportState
    from stream_app.contracts.report_requests import ReportRequestRecord
    from stream_app.domain.report_rows import ReportRow

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
ZONE = pytz.timezone("America/Chicago")
ROWS = [(day, "00:00", "20:00") for day in range(7)]
PROVENANCE = StoreProvenance(str(ZONE), ROWS, hours_version(b"hours"))
OFFSETS = {"store-status": 17, "store-business-hours": 0, "store-timezones": 3}

FORMS = {
    f"{name}{' exact' * exact}": ReportSpec(duration=duration, daily=daily, exact=exact)
    for name, duration, daily in (
        ("window", None, False),
        ("span", 3 * DAY, False),
        ("daily", 3 * DAY, True),
    )
    for exact in (False, True)
}


def facts(form: ReportSpec) -> StoreFacts:
    start, end = form.span(NOON)
    # the store is down in some hours of each day, and has no poll in others
    polls = array(
        "q", (t << 1 | (t // HOUR % 5 > 1) for t in range(start, end, HOUR) if t // HOUR % 12 > 3)
    )
    return StoreFacts(WeeklyHours.from_rows(ROWS), ZONE, polls)


def rows(form: ReportSpec) -> list[ReportRow]:
    return rows_of(form, STORE, facts(form), NOON, rules_of(SETTINGS))


def details(form: ReportSpec) -> dict[str, Any]:
    """Return all details of one store."""
    rules = rules_of(SETTINGS)
    states = states_of(facts(form), *form.span(NOON), rules)
    return store_details(DETAILS, facts(form), states, rules, 2 * NOON + 1)


def store_content(form: ReportSpec, *, detailed: bool = False) -> dict[str, Any]:
    """Return the document of a report of one store."""
    offsets = {topic: {"3": offset} for topic, offset in OFFSETS.items()}
    report_rows = rows(form)
    return store_document(
        form,
        report_rows,
        PROVENANCE,
        report_rows[0],
        reference_time=NOON,
        provenance=common_provenance(SETTINGS),
        input_offsets=offsets,
        lost_input=[],
        details=details(form) if detailed else {},
    ).fields


def fleet_content(form: ReportSpec) -> tuple[dict[str, Any], list[list[Any]]]:
    """Return the document of a report of many stores, which has no rows, and its rows."""
    head = {
        "reference_time": format_instant(NOON),
        **common_provenance(SETTINGS),
        "input_offsets": {topic: {"3": offset} for topic, offset in OFFSETS.items()},
        "columns": form.columns,
        "further": extra_columns(form),
    }
    columns = columns_of(form, STORE, facts(form), NOON, rules_of(SETTINGS))
    return head, chunk_rows(columns, [PROVENANCE])


def fleet_chunk(form: ReportSpec, **further: Any) -> ResultChunk:
    """Return the only chunk of a report of many stores, with further fields."""
    head, report_rows = fleet_content(form)
    return ResultChunk(
        part=0,
        parts=1,
        attempt="one",
        chunk=0,
        chunks=1,
        reference_time=7,
        rows=report_rows,
        provenance={name: head[name] for name in ("lookback", "default_status")},
        input_offsets={"store-status": 7},
        columns=head["columns"],
        **further,
    )


class AnsweringGateway(FakeGateway):
    """A gateway that answers every query with a complete report."""

    async def answer(
        self, request: ReportRequestRecord, *, patience: float = QUERY_SECONDS
    ) -> ReportState:
        if isinstance(request, ReportRequest):
            content = store_content(request.spec, detailed=True)
            self.answers.append({**content, "store_id": request.store_id})
        else:
            head, rows = fleet_content(request.spec)
            self.rows[request.report_id] = [[orjson.dumps(rows)]]
            self.answers.append(head)
        return await super().answer(request, patience=patience)
