"""Whether a report agrees with what the topics say.

The input offsets of a report are a lower bound: what lay just beyond them may be in it too. So
where the figures differ, the store's next polls are added one record after the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson

from stream_app.contracts.report_results import hours_version
from stream_app.contracts.topics import STORE_BUSINESS_HOURS, STORE_STATUS, STORE_TIMEZONES
from stream_app.domain.timezones import TZDATA_VERSION, find_zone, zone
from stream_app.explain.recompute import recount, walk_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from stream_app.explain.recompute import Recount
    from stream_app.explain.reference_model import Row
    from stream_app.explain.reported import Claim
    from stream_app.explain.source_records import Evidence, SeenPoll

MAX_RECORDS_BEYOND: Final = 100
"""Of the store, tried beyond the input offset."""

Outcome = Literal["agrees", "differs", "cannot be recomputed"]


@dataclass(slots=True)
class Verdict:
    """What came of it.

    Attributes:
        outcome: in a word.
        reasons: why it is not `agrees`, one line each.
        notes: what else is worth to know, one line each.
        hours: rows that were counted with; None: always open.
        recount: the figures; None where they could not be recomputed at all.
        polls: what was counted, by instant.
        up_to: the offset of `store-status` below which polls were taken.
    """

    outcome: Outcome = "agrees"
    reasons: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hours: Sequence[Row] | None = None
    recount: Recount | None = None
    polls: dict[int, SeenPoll] = field(default_factory=dict)
    up_to: int = 0

    def refuse(self, outcome: Outcome, reason: str) -> None:
        """Not `agrees`; what cannot be recomputed is not said to differ."""
        if self.outcome != "cannot be recomputed":
            self.outcome = outcome
        self.reasons.append(reason)


def judge(claim: Claim, evidence: Evidence, default_timezone: str) -> Verdict:
    """Recompute a claim from the evidence and compare.

    Args:
        claim: what the report says.
        evidence: what the topics say.
        default_timezone: of stores without a known one.
    """
    verdict = Verdict(up_to=claim.offsets[STORE_STATUS.name])
    if claim.tzdata_version != TZDATA_VERSION:
        verdict.refuse(
            "cannot be recomputed",
            f"the report rests on tzdata {claim.tzdata_version} and this program has "
            f"{TZDATA_VERSION}",
        )
    if find_zone(claim.timezone) is None:
        verdict.refuse("cannot be recomputed", f"no zone is named {claim.timezone[:60]!r} here")
    _check_zone(claim, evidence, default_timezone, verdict)
    if _settle_hours(claim, evidence, verdict) and find_zone(claim.timezone) is not None:
        _check_figures(claim, evidence, verdict)
    return verdict


def _check_zone(claim: Claim, evidence: Evidence, default_timezone: str, verdict: Verdict) -> None:
    topic = STORE_TIMEZONES.name
    offset = claim.offsets[topic]
    place = f"{topic}/{claim.partition}"
    before = [seen for seen in evidence.zones if seen.offset < offset]
    # one beyond the offset may be in
    after = [seen for seen in evidence.zones if seen.offset >= offset]
    if not before and after:
        verdict.notes.append(
            f"{place} holds no zone below offset {offset} any more, only newer ones"
        )
        return
    candidates = [*before[-1:], *after]
    names = [str(zone(seen.name, default_timezone)) for seen in candidates] or [default_timezone]
    if claim.timezone not in names:
        verdict.refuse(
            "differs",
            f"the report's zone is {claim.timezone}, and by {place} below offset {offset} it is "
            f"{names[0]}",
        )


def _settle_hours(claim: Claim, evidence: Evidence, verdict: Verdict) -> bool:
    """Find the hours to count with, and hold those that the report names against the topic's."""
    topic = STORE_BUSINESS_HOURS.name
    offset = claim.offsets[topic]
    place = f"{topic}/{claim.partition}"
    before = [seen for seen in evidence.hours if seen.offset < offset]
    after = [seen for seen in evidence.hours if seen.offset >= offset]
    on_topic: list[list[Row]] = [seen.rows for seen in (*before[-1:], *after)]
    if not before:
        on_topic.insert(0, [])
    match = next((rows for rows in on_topic if _version(rows) == claim.hours_version), None)
    if claim.hours_told:
        verdict.hours = claim.hours
        if _version(claim.hours or []) != claim.hours_version:
            verdict.refuse("differs", "hours_version is not that of the report's business hours")
        if match is None and not before and after:
            verdict.notes.append(
                f"{place} holds no business hours below offset {offset} any more, only newer ones"
            )
        elif match is None:
            verdict.refuse("differs", f"{place} has other business hours below offset {offset}")
        return True
    verdict.hours = match or None
    if match is None:
        verdict.refuse(
            "cannot be recomputed",
            f"{place} holds no business hours of version {claim.hours_version} any more",
        )
    return match is not None


def _version(rows: Sequence[Row]) -> str:
    return hours_version(orjson.dumps(rows))


def _check_figures(claim: Claim, evidence: Evidence, verdict: Verdict) -> None:
    offset = claim.offsets[STORE_STATUS.name]
    place = f"{STORE_STATUS.name}/{claim.partition}"
    before = evidence.polls_below(offset)
    _count(claim, before, verdict)
    assert verdict.recount is not None  # noqa: S101  for the type: it has just been made
    differences = list(_differences(claim, verdict.recount))
    if not differences:
        if evidence.oldest:
            verdict.notes.append(
                f"{place} begins at offset {evidence.oldest}; it still holds all polls that count"
            )
        return
    if _agrees_beyond(claim, evidence, verdict):
        return
    found, counted = _number(claim, verdict.polls), _number_told(claim)
    if evidence.oldest and found < counted:
        verdict.refuse(
            "cannot be recomputed",
            f"{place} begins at offset {evidence.oldest}: of the {counted} polls that the report "
            f"counts it still holds {found}",
        )
        return
    for difference in differences:
        verdict.refuse("differs", difference)


def _count(claim: Claim, polls: Sequence[SeenPoll], verdict: Verdict) -> None:
    counted: dict[int, SeenPoll] = {}
    for poll in polls:
        known = counted.get(poll.instant)
        if known is None or (known.active and not poll.active):
            counted[poll.instant] = poll
    verdict.polls = counted
    walk = walk_of(claim, verdict.hours, ((poll.instant, poll.active) for poll in polls))
    verdict.recount = recount(claim, walk)


def _agrees_beyond(claim: Claim, evidence: Evidence, verdict: Verdict) -> bool:
    """Whether it agrees with some polls more; the verdict is of those then."""
    offset = claim.offsets[STORE_STATUS.name]
    beyond = {p.offset for p in evidence.polls if p.offset >= offset}
    beyond |= {r.revision.position for r in evidence.removals if r.revision.position >= offset}
    for number, last in enumerate(sorted(beyond)):
        if number == MAX_RECORDS_BEYOND:
            break
        polls = evidence.polls_below(last + 1)
        trial = Verdict(hours=verdict.hours)
        # a look at the number alone is quick, and leaves few to be counted
        if _number(claim, {poll.instant for poll in polls}) != _number_told(claim):
            continue
        _count(claim, polls, trial)
        if trial.recount is not None and not any(_differences(claim, trial.recount)):
            verdict.recount, verdict.polls, verdict.up_to = trial.recount, trial.polls, last + 1
            verdict.notes.append(
                f"it agrees with the polls of {STORE_STATUS.name}/{claim.partition} up to offset "
                f"{last + 1}; the report's input offset, {offset}, is a lower bound"
            )
            return True
    return False


def _number_told(claim: Claim) -> int:
    """How many polls the report counts."""
    if claim.whole is not None:
        return int(claim.whole["polls_counted"])
    return sum(int(row["polls_counted"]) for row in claim.rows)


def _number(claim: Claim, instants: Iterable[int]) -> int:
    """How many of these polls the report would count; days have no lookback."""
    if claim.whole is not None:
        return len(list(instants))
    return sum(claim.start <= instant < claim.end for instant in instants)


def _differences(claim: Claim, found: Recount) -> Iterator[str]:
    if len(found.rows) != len(claim.rows):
        yield f"the report has {len(claim.rows)} rows and recomputed it has {len(found.rows)}"
        return
    # what the figures rest on before what is a part of them
    names = [*claim.columns, "polls_counted", "coverage", *claim.unknown_columns]
    pairs = [
        (name, row.get("date"), told.get(name), row.get(name))
        for told, row in zip(claim.rows, found.rows, strict=True)
        for name in names
    ]
    whole: list[tuple[str, Any, Any, Any]] = []
    if claim.daily and claim.whole is not None:
        whole = [
            ("polls_counted", None, claim.whole["polls_counted"], found.polls_counted),
            ("coverage", None, claim.whole["coverage"], found.coverage),
        ]
    for name, date, told, recomputed in chain(pairs, whole):
        if told != recomputed:
            of_day = f" of {date}" if date else ""
            yield f"{name}{of_day} is {told} in the report and {recomputed} recomputed"
