"""Compares a report with the figures that the source topics give.

The input offsets of a report are a lower bound: records just after them may be in it too. So if
the figures differ, the next records of the store are added one by one, until the figures agree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal

from stream_app.contracts.business_hours import encode_rows, hours_version
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.timezones import TZDATA_VERSION, find_timezone, resolve_timezone
from stream_app.explain.recompute import recompute, reference_model_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.explain.recompute import Recomputation
    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import ReportedResult
    from stream_app.explain.source_records import PollAtOffset, SourceRecords

MAX_LATER_RECORDS: Final = 100
"""Most records of the store after the input offset that are added, one by one."""

Outcome = Literal["agrees", "differs", "cannot be recomputed"]


@dataclass(slots=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        outcome: whether the report agrees.
        reasons: why the outcome is not `agrees`, one line each.
        notes: remarks that do not change the outcome, one line each.
        hours: the business hours of the recomputation; None if the store is always open.
        recomputation: the recomputed figures; None if they could not be recomputed at all.
        polls: the polls that were counted, by instant.
        compared_up_to: the offset of `store-status` below which polls were counted.
    """

    outcome: Outcome = "agrees"
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hours: Sequence[Row] | None = None
    recomputation: Recomputation | None = None
    polls: dict[int, PollAtOffset] = field(default_factory=dict)
    compared_up_to: int = 0

    def add_finding(self, outcome: Outcome, reason: str) -> None:
        """Set another outcome than `agrees`; `cannot be recomputed` is never replaced."""
        if self.outcome != "cannot be recomputed":
            self.outcome = outcome
        self.reasons.append(reason)


def compare(reported: ReportedResult, records: SourceRecords, default_timezone: str) -> Comparison:
    """Recompute a report from the source records and compare the figures.

    Args:
        reported: the figures of the store in the report.
        records: the records of the store.
        default_timezone: the timezone of stores without a known one.
    """
    comparison = Comparison(compared_up_to=reported.offsets[STORE_STATUS.name])
    if reported.tzdata_version != TZDATA_VERSION:
        comparison.add_finding(
            "cannot be recomputed",
            f"the report was computed with tzdata {reported.tzdata_version} and this program has "
            f"{TZDATA_VERSION}",
        )
    if find_timezone(reported.timezone) is None:
        comparison.add_finding(
            "cannot be recomputed", f"this program has no timezone {reported.timezone[:60]!r}"
        )
    _check_timezone(reported, records, default_timezone, comparison)
    if (
        _choose_hours(reported, records, comparison)
        and find_timezone(reported.timezone) is not None
    ):
        _check_figures(reported, records, comparison)
    return comparison


def _check_timezone(
    reported: ReportedResult, records: SourceRecords, default_timezone: str, comparison: Comparison
) -> None:
    topic = STORE_TIMEZONES.name
    offset = reported.offsets[topic]
    place = f"{topic}/{reported.partition}"
    before = [seen for seen in records.timezones if seen.offset < offset]
    # a record after the offset may be in the report
    after = [seen for seen in records.timezones if seen.offset >= offset]
    if not before and after:
        comparison.notes.append(
            f"{place} holds no timezone below offset {offset} any more, only newer ones"
        )
        return
    candidates = [*before[-1:], *after]
    names = [str(resolve_timezone(seen.name, default_timezone)) for seen in candidates] or [
        default_timezone
    ]
    if reported.timezone not in names:
        comparison.add_finding(
            "differs",
            f"the report's timezone is {reported.timezone}, and by {place} below offset {offset} "
            f"it is {names[0]}",
        )


def _choose_hours(reported: ReportedResult, records: SourceRecords, comparison: Comparison) -> bool:
    """Choose the business hours for the recomputation, and compare the report's with the topic's.

    Returns:
        False if the topic no longer has the business hours of the report.
    """
    topic = STORE_BUSINESS_HOURS.name
    offset = reported.offsets[topic]
    place = f"{topic}/{reported.partition}"
    before = [seen for seen in records.hours if seen.offset < offset]
    after = [seen for seen in records.hours if seen.offset >= offset]
    on_topic: list[list[Row]] = [seen.rows for seen in (*before[-1:], *after)]
    if not before:
        on_topic.insert(0, [])
    match = next((rows for rows in on_topic if _version(rows) == reported.hours_version), None)
    if reported.hours_reported:
        comparison.hours = reported.hours
        if _version(reported.hours or []) != reported.hours_version:
            comparison.add_finding(
                "differs", "hours_version is not that of the report's business hours"
            )
        if match is None and not before and after:
            comparison.notes.append(
                f"{place} holds no business hours below offset {offset} any more, only newer ones"
            )
        elif match is None:
            comparison.add_finding(
                "differs", f"{place} has other business hours below offset {offset}"
            )
        return True
    comparison.hours = match or None
    if match is None:
        comparison.add_finding(
            "cannot be recomputed",
            f"{place} holds no business hours of version {reported.hours_version} any more",
        )
    return match is not None


def _version(rows: Sequence[Row]) -> str:
    return hours_version(encode_rows(rows))


def _check_figures(
    reported: ReportedResult, records: SourceRecords, comparison: Comparison
) -> None:
    offset = reported.offsets[STORE_STATUS.name]
    place = f"{STORE_STATUS.name}/{reported.partition}"
    before = records.polls_below(offset)
    recomputation = _recompute_with(reported, before, comparison)
    differences = list(_differences(reported, recomputation))
    if not differences:
        if records.oldest:
            comparison.notes.append(
                f"{place} begins at offset {records.oldest}; it still holds all polls that count"
            )
        return
    if _agrees_with_later_polls(reported, records, comparison):
        return
    present, counted = _poll_count(reported, comparison.polls), _reported_poll_count(reported)
    if records.oldest and present < counted:
        comparison.add_finding(
            "cannot be recomputed",
            f"{place} begins at offset {records.oldest}: of the {counted} polls that the report "
            f"counts it still holds {present}",
        )
        return
    for difference in differences:
        comparison.add_finding("differs", difference)


def _recompute_with(
    reported: ReportedResult, polls: Sequence[PollAtOffset], comparison: Comparison
) -> Recomputation:
    """Recompute the figures with some polls and set them in the comparison."""
    counted: dict[int, PollAtOffset] = {}
    for poll in polls:
        known = counted.get(poll.instant)
        if known is None or (known.active and not poll.active):
            counted[poll.instant] = poll
    comparison.polls = counted
    model = reference_model_of(
        reported, comparison.hours, ((poll.instant, poll.active) for poll in polls)
    )
    comparison.recomputation = recompute(reported, model)
    return comparison.recomputation


def _agrees_with_later_polls(
    reported: ReportedResult, records: SourceRecords, comparison: Comparison
) -> bool:
    """Return whether the report agrees if some polls after its input offset are added.

    If so, the comparison gets these polls and their figures.
    """
    offset = reported.offsets[STORE_STATUS.name]
    later_offsets = {p.offset for p in records.polls if p.offset >= offset}
    removed_at = (removal.revision.position for removal in records.removals)
    later_offsets |= {position for position in removed_at if position >= offset}
    for number, last in enumerate(sorted(later_offsets)):
        if number == MAX_LATER_RECORDS:
            break
        polls = records.polls_below(last + 1)
        trial = Comparison(hours=comparison.hours)
        # comparing the number of polls is quick, so few trials need a recomputation
        if _poll_count(reported, {poll.instant for poll in polls}) != _reported_poll_count(
            reported
        ):
            continue
        recomputation = _recompute_with(reported, polls, trial)
        if not any(_differences(reported, recomputation)):
            comparison.recomputation = recomputation
            comparison.polls, comparison.compared_up_to = trial.polls, last + 1
            comparison.notes.append(
                f"it agrees with the polls of {STORE_STATUS.name}/{reported.partition} up to "
                f"offset {last + 1}; the report's input offset, {offset}, is a lower bound"
            )
            return True
    return False


def _reported_poll_count(reported: ReportedResult) -> int:
    """Return how many polls the report has counted."""
    if reported.whole is not None:
        return int(reported.whole["polls_counted"])
    return sum(int(row["polls_counted"]) for row in reported.rows)


def _poll_count(reported: ReportedResult, instants: Iterable[int]) -> int:
    """Return how many of these polls the report would count; a row of a day has no lookback."""
    if reported.whole is not None:
        return len(list(instants))
    return sum(reported.start <= instant < reported.end for instant in instants)


def _differences(reported: ReportedResult, recomputation: Recomputation) -> Iterator[str]:
    if len(recomputation.rows) != len(reported.rows):
        yield (
            f"the report has {len(reported.rows)} rows and recomputed it has "
            f"{len(recomputation.rows)}"
        )
        return
    # the counts that explain a difference of the figures come first
    names = [*reported.columns, "polls_counted", "coverage", *reported.unknown_columns]
    pairs = [
        (name, row.get("date"), reported_row.get(name), row.get(name))
        for reported_row, row in zip(reported.rows, recomputation.rows, strict=True)
        for name in names
    ]
    whole: list[tuple[str, Any, Any, Any]] = []
    if reported.spec.daily and reported.whole is not None:
        whole = [
            ("polls_counted", None, reported.whole["polls_counted"], recomputation.polls_counted),
            ("coverage", None, reported.whole["coverage"], recomputation.coverage),
        ]
    for name, date, in_report, recomputed in chain(pairs, whole):
        if in_report != recomputed:
            of_day = f" of {date}" if date else ""
            yield f"{name}{of_day} is {in_report} in the report and {recomputed} recomputed"
