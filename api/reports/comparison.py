"""Compares a complete report with the same report made again."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from api.reports.diff import MAX_CHANGES, changed_settings, differences
from api.reports.rows import named_rows
from api.reports.service import content_lost
from stream_app.errors import OverloadedError, ReportConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from api.http.memory_budget import MemoryBudget
    from api.reports.diff import Change
    from api.reports.service import ReportService
    from api.reports.view import ReportState
    from stream_app.contracts.report_results import ReportDocument

_YIELD_EVERY_ROWS: Final = 500
"""Rows that are compared before other requests get their turn."""


class ReportComparison:
    """Makes reports again and compares them.

    Args:
        reports: finds the report, and asks the workers for the new one.
        budget: memory for the rows of reports of many stores.
    """

    def __init__(self, reports: ReportService, budget: MemoryBudget) -> None:
        self._reports = reports
        self._budget = budget

    async def compare(self, report_id: str) -> dict[str, Any]:
        """Return the differences between a report and the same one made now.

        Raises:
            ReportNotFoundError: no request names the report, or it has expired.
            ReportConflictError: it is not complete, or its request is not known any more.
            ReportContentLostError: its content is gone.
            OverloadedReportsError: as many reports are pending and running as may be.
            OverloadedError: too much memory is in use by large answers.
        """
        before = await self._reports.require(report_id)
        if before.status != "complete":
            raise ReportConflictError(
                f"report {before.report_id} is {before.status}, only a complete one can be compared"
            )
        request = self._reports.request_of(before.report_id)
        old = before.document
        if old is None:
            raise content_lost(before.report_id)
        if request is None:
            raise ReportConflictError("what this report was asked for is not known any more")
        self._reports.require_capacity()
        after = await self._reports.answer(
            replace(
                request,
                report_id=str(uuid4()),
                reference_time=old.reference_time,
                requested_at=None,
            )
        )
        new = after.document
        if new is None:
            raise content_lost(after.report_id)
        size = self._size(before) + self._size(after)
        if not self._budget.try_acquire(size):
            raise OverloadedError("too many large answers are being written: try again in a moment")
        try:
            rows = self._rows(before, old), self._rows(after, new)
            changes, more = await _collect(differences(*rows, old.columns))
        finally:
            self._budget.release(size)
        settings = changed_settings(old.provenance, new.provenance)
        return {
            "report_id": before.report_id,
            "reference_time": old.fields["reference_time"],
            "same": not changes and not settings,
            "settings": settings,
            "changed": len(changes) + more,
            "changes": changes,
        }

    def _rows(self, state: ReportState, document: ReportDocument) -> Iterable[dict[str, Any]]:
        if state.parts is not None:
            return named_rows(document, self._reports.stored_rows(state.report_id).parts)
        return document.rows()

    def _size(self, state: ReportState) -> int:
        return (
            0 if state.parts is None else self._reports.stored_rows(state.report_id).bytes_in_memory
        )


async def _collect(changed: Iterable[Change | None]) -> tuple[list[dict[str, Any]], int]:
    """Return the rows that changed, and the number of further ones."""
    changes: list[dict[str, Any]] = []
    more = 0
    for number, change in enumerate(changed):
        if number % _YIELD_EVERY_ROWS == 0:
            # a large report must not keep other requests waiting
            await asyncio.sleep(0)
        if change is None:
            continue
        if len(changes) < MAX_CHANGES:
            changes.append(change.content())
        else:
            more += 1
    return changes, more
