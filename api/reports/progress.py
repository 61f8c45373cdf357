"""The progress of a report, as answers and events show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from api.reports.view import ReportState


def progress_of(state: ReportState) -> dict[str, Any]:
    """Return the status of a report: running and the parts done, complete, or failed and why."""
    if state.status == "failed":
        return {"status": "failed", "reason": state.reason}
    progress: dict[str, Any] = {"status": "complete" if state.status == "complete" else "running"}
    if state.parts is not None:
        progress["parts_done"], progress["parts"] = state.parts
    return progress
