"""The differences between a report and the same report made again: rows, and their causes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]

MAX_CHANGES: Final = 1_000
"""Changed rows in one answer; of further ones the answer has the number alone."""

KEY_COLUMNS: Final = ("store_id", "date")

_CAUSES: Final = {
    "polls_counted": "polls",
    "hours_version": "business_hours",
    "timezone": "timezone",
}
"""The cause of a change by the field of a row that differs."""

SETTINGS: Final = ("lookback", "default_status", "tzdata_version")
"""The settings, and the timezone database, that all figures are computed with."""

_NO_FIGURES: Final = ("store_id", "date", "start", "end")


@dataclass(frozen=True, slots=True)
class Change:
    """One row that differs.

    Attributes:
        key: the store, and in a daily report the day.
        figures: the figures that differ, before and after.
        causes: the facts and settings that differ.
        kind: changed, or added or removed where only one report has the row.
    """

    key: dict[str, Any]
    figures: dict[str, tuple[Any, Any]]
    causes: list[dict[str, Any]]
    kind: str = "changed"

    def content(self) -> dict[str, Any]:
        """Return the JSON of the change."""
        return {
            **self.key,
            "change": self.kind,
            "figures": {name: {"was": was, "is": now} for name, (was, now) in self.figures.items()},
            "causes": self.causes,
        }


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the settings that differ."""
    return [
        {"cause": name, "was": before[name], "is": after.get(name)}
        for name in SETTINGS
        if name in before and before[name] != after.get(name)
    ]


def differences(
    before: Iterable[Row], after: Iterable[Row], columns: Iterable[str]
) -> Iterator[Change | None]:
    """Compare the rows of two reports of one form, both in the order of their keys.

    Returns:
        a change for every row, or None where it is the same.
    """
    figures = [column for column in columns if column not in _NO_FIGURES]
    old, new = iter(before), iter(after)
    was, now = next(old, None), next(new, None)
    while was is not None and now is not None:
        if _key(was) < _key(now):
            yield _alone(was, "removed", figures)
            was = next(old, None)
        elif _key(now) < _key(was):
            yield _alone(now, "added", figures)
            now = next(new, None)
        else:
            yield _compare(was, now, figures)
            was, now = next(old, None), next(new, None)
    while was is not None:
        yield _alone(was, "removed", figures)
        was = next(old, None)
    while now is not None:
        yield _alone(now, "added", figures)
        now = next(new, None)


def _key(row: Row) -> tuple[str, str]:
    return row["store_id"], row.get("date", "")


def _named(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in KEY_COLUMNS if name in row}


def _alone(row: Row, kind: str, figures: list[str]) -> Change:
    changed = {
        name: (None, row[name]) if kind == "added" else (row[name], None) for name in figures
    }
    return Change(_named(row), changed, [], kind)


def _compare(was: Row, now: Row, figures: list[str]) -> Change | None:
    differing = {name: (was[name], now[name]) for name in figures if was[name] != now[name]}
    causes = [
        {"cause": cause, "was": was[name], "is": now[name]}
        for name, cause in _CAUSES.items()
        if name in was and name in now and was[name] != now[name]
    ]
    if differing and not causes:
        # an inactive poll has replaced an active one of the same instant
        causes = [{"cause": "polls", "was": was.get("polls_counted"), "is": now["polls_counted"]}]
    return Change(_named(was), differing, causes) if differing or causes else None
