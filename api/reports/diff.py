"""What a report would say today: its rows beside those of the same report made again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

Row = dict[str, Any]

KEY_COLUMNS: Final = ("store_id", "date")

_CAUSES: Final = {
    "polls_counted": "polls",
    "hours_version": "business_hours",
    "timezone": "timezone",
}
"""What a row rests on, and the cause that it tells."""

SETTINGS: Final = ("lookback", "default_status", "tzdata_version")
"""What all figures rest on."""

_NO_FIGURES: Final = ("store_id", "date", "start", "end")


@dataclass(frozen=True, slots=True)
class Change:
    """One row that is not as it was.

    Attributes:
        key: the store, and of a daily report the day.
        figures: those that differ: what each was, and is.
        causes: what they rest on and is not as it was.
        kind: changed, or added or removed where only one report has the row.
    """

    key: dict[str, Any]
    figures: dict[str, tuple[Any, Any]]
    causes: list[dict[str, Any]]
    kind: str = "changed"

    def content(self) -> dict[str, Any]:
        """As answers have it."""
        return {
            **self.key,
            "change": self.kind,
            "figures": {name: {"was": was, "is": now} for name, (was, now) in self.figures.items()},
            "causes": self.causes,
        }


def changed_settings(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What all figures rest on and is not as it was."""
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
        for every row a change, or None where it is as it was.
    """
    figures = [column for column in columns if column not in _NO_FIGURES]
    old, new = iter(before), iter(after)
    was, now = next(old, None), next(new, None)
    while was is not None or now is not None:
        if now is None or (was is not None and _key(was) < _key(now)):
            assert was is not None  # noqa: S101  one of them is there
            yield _alone(was, "removed", figures)
            was = next(old, None)
        elif was is None or _key(now) < _key(was):
            yield _alone(now, "added", figures)
            now = next(new, None)
        else:
            yield _compare(was, now, figures)
            was, now = next(old, None), next(new, None)


def _key(row: Row) -> tuple[str, str]:
    return row["store_id"], row.get("date", "")


def _named(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in KEY_COLUMNS if name in row}


def _alone(row: Row, kind: str, figures: list[str]) -> Change:
    told = {name: (None, row[name]) if kind == "added" else (row[name], None) for name in figures}
    return Change(_named(row), told, [], kind)


def _compare(was: Row, now: Row, figures: list[str]) -> Change | None:
    differing = {name: (was[name], now[name]) for name in figures if was[name] != now[name]}
    causes = [
        {"cause": cause, "was": was[name], "is": now[name]}
        for name, cause in _CAUSES.items()
        if name in was and name in now and was[name] != now[name]
    ]
    if differing and not causes:
        # a poll that says inactive took the place of one that said active at the same instant
        causes = [{"cause": "polls", "was": was.get("polls_counted"), "is": now["polls_counted"]}]
    return Change(_named(was), differing, causes) if differing or causes else None
