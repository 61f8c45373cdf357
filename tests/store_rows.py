"""Makes the report rows of one store, and the states behind them, with the product's functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.domain.report_rows import build_columns, build_rows
from stream_app.domain.store_facts import PollRules, StoreFacts
from stream_app.domain.uptime import StoreStates

if TYPE_CHECKING:
    from stream_app.domain.report_rows import ReportColumns, ReportRow
    from stream_app.domain.report_spec import ReportSpec
    from stream_app.settings import Settings


def rules_of(settings: Settings) -> PollRules:
    return PollRules(settings.lookback, settings.default_active, settings.stale_after)


def states_of(facts: StoreFacts, start: int, end: int, rules: PollRules) -> StoreStates:
    """Return the states of one store, which has the number 0."""
    return StoreStates.of_facts([facts], start, end, rules)


def rows_of(
    spec: ReportSpec, store_id: str, facts: StoreFacts, reference: int, rules: PollRules
) -> list[ReportRow]:
    start, end = spec.span(reference)
    (rows,) = build_rows(spec, [store_id], states_of(facts, start, end, rules), [facts.tz])
    return rows


def columns_of(
    spec: ReportSpec, store_id: str, facts: StoreFacts, reference: int, rules: PollRules
) -> ReportColumns:
    """Return the same rows as columns."""
    states = states_of(facts, *spec.span(reference), rules)
    return build_columns(spec, [store_id], states, [facts.tz])
