"""Badges: small SVG pictures that say how a store or the fleet is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.fleet_view import StoreNow

Window = Literal["hour", "day", "week"]
WINDOWS: Final[tuple[Window, ...]] = ("week", "day", "hour")

_GOOD: Final = "#2f6fc4"
_POOR: Final = "#a65f00"
_BAD: Final = "#b3320b"
_NEUTRAL: Final = "#5b6675"
_LABEL: Final = "#2b313b"

GOOD_SHARE: Final = 0.99
POOR_SHARE: Final = 0.95

_LETTER: Final = 6.6
"""Width of a letter in px, about: text is stretched to what is reckoned, so no font overflows."""

_PADDING: Final = 12


def uptime_share(figures: Mapping[str, float] | None, window: Window) -> float | None:
    """The share of a window's open time that a store was up, 0 to 1.

    Returns:
        None where it is not open in it, or not known.
    """
    if figures is None:
        return None
    up, down = figures[f"uptime_last_{window}"], figures[f"downtime_last_{window}"]
    return up / (up + down) if up + down else None


def store_badge(store: StoreNow | None, window: Window) -> str:
    """How long a store was up in a window."""
    label = f"uptime {window}"
    share = None if store is None else uptime_share(store.figures, window)
    if share is None:
        known = store is not None and store.figures is not None
        return _svg(label, "not open" if known else "unknown", _NEUTRAL)
    # never rounded up to what it is not
    text = "100%" if share == 1 else f"{int(share * 10_000) / 100:.2f}%"
    return _svg(label, text, _colour(share))


def fleet_badge(counts: Mapping[str, int]) -> str:
    """How many of the stores that are open are up."""
    opened = counts["total"] - counts["closed"]
    if not opened:
        return _svg("stores up", "all closed" if counts["total"] else "none", _NEUTRAL)
    return _svg("stores up", f"{counts['up']} of {opened}", _colour(counts["up"] / opened))


def _colour(share: float) -> str:
    return _GOOD if share >= GOOD_SHARE else _POOR if share >= POOR_SHARE else _BAD


def _svg(label: str, text: str, colour: str) -> str:
    left, right = (round(len(part) * _LETTER) + _PADDING for part in (label, text))
    told = escape(f"{label}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
        f'role="img" aria-label="{told}"><title>{told}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="{_LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        'text-anchor="middle">'
        f"{_text(label, left / 2, left - _PADDING)}"
        f"{_text(text, left + right / 2, right - _PADDING)}</g></svg>"
    )


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width}">{escape(text)}</text>'
