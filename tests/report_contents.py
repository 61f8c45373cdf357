"""Reports of each form, as a worker makes their contents."""

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
from tests.store_rows import rows_of, rules_of, states_of

if TYPE_CHECKING:
    from api.reports.view import ReportState
    from stream_app.contracts.report_requests import ReportRequestRecord
    from stream_app.domain.report_rows import ReportRow

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
NOON = 1_710_072_000_000_000  # 2024-03-10T12:00:00Z
ZONE = pytz.timezone("America/Chicago")
ROWS = [(day, "00:00", "20:00") for day in range(7)]
BASIS = StoreProvenance(str(ZONE), ROWS, hours_version(b"hours"))
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
    # down for some hours of each day, and silent for some
    polls = array(
        "q", (t << 1 | (t // HOUR % 5 > 1) for t in range(start, end, HOUR) if t // HOUR % 12 > 3)
    )
    return StoreFacts(WeeklyHours.from_rows(ROWS), ZONE, polls)


def rows(form: ReportSpec) -> list[ReportRow]:
    return rows_of(form, STORE, facts(form), NOON, rules_of(SETTINGS))


def details(form: ReportSpec) -> dict[str, Any]:
    """All details of one store."""
    rules = rules_of(SETTINGS)
    states = states_of(facts(form), *form.span(NOON), rules)
    return store_details(DETAILS, facts(form), states, rules, 2 * NOON + 1)


def store_content(form: ReportSpec, *, detailed: bool = False) -> dict[str, Any]:
    """The `report` of one store."""
    offsets = {topic: {"3": offset} for topic, offset in OFFSETS.items()}
    found = rows(form)
    return store_document(
        form,
        found,
        BASIS,
        found[0],
        reference_time=NOON,
        provenance=common_provenance(SETTINGS),
        input_offsets=offsets,
        lost_input=[],
        details=details(form) if detailed else {},
    ).fields


def fleet_content(form: ReportSpec) -> tuple[dict[str, Any], list[list[Any]]]:
    """The head of a report of many stores, and its rows."""
    head = {
        "reference_time": format_instant(NOON),
        **common_provenance(SETTINGS),
        "input_offsets": {topic: {"3": offset} for topic, offset in OFFSETS.items()},
        "columns": form.columns,
        "further": extra_columns(form),
    }
    return head, chunk_rows(rows(form), BASIS)


def fleet_piece(form: ReportSpec, **further: Any) -> ResultChunk:
    """The only piece of a report of many stores, with further fields."""
    head, found = fleet_content(form)
    return ResultChunk(
        part=0,
        parts=1,
        attempt="one",
        chunk=0,
        chunks=1,
        reference_time=7,
        rows=found,
        provenance={name: head[name] for name in ("lookback", "default_status")},
        input_offsets={"store-status": 7},
        columns=head["columns"],
        **further,
    )


class AnsweringGateway(FakeGateway):
    """One whose workers answer every query, with a report of a store of theirs."""

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
