"""Badges: small SVG pictures that say how a store or the fleet is."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from api.fleet.state import StoreState

Window = Literal["hour", "day", "week"]
WINDOWS: Final[tuple[Window, ...]] = ("week", "day", "hour")

_GOOD: Final = "#2f6fc4"
_POOR: Final = "#a65f00"
_BAD: Final = "#b3320b"
_NEUTRAL: Final = "#5b6675"
_LABEL: Final = "#2b313b"

GOOD_SHARE: Final = 0.99
POOR_SHARE: Final = 0.95

MIN_COVERAGE: Final = 0.01
"""The coverage below which a badge shows "no data" instead of a share."""

Parts = tuple[float, float, float]
"""Time that was up, down, and without data."""

_UP_PART: Final = "#8fbaff"
_DOWN_PART: Final = "#ff7a45"

_CHARACTER: Final = 6.6
"""Approximate width of a character in px; text is stretched to it, so that no font overflows."""

_PADDING: Final = 12


def uptime_share(figures: Mapping[str, float] | None, window: Window) -> float | None:
    """Return the share of a window's open time that a store was up, 0 to 1.

    Returns:
        None if the store was not open in the window, or the figures are not known.
    """
    if figures is None:
        return None
    up, down = figures[f"uptime_last_{window}"], figures[f"downtime_last_{window}"]
    return up / (up + down) if up + down else None


def covered_share(figures: Mapping[str, float] | None, window: Window) -> float | None:
    """Return the share of a window's open time that polls cover, 0 to 1.

    Returns:
        None if the store was not open in the window, or the figures are not known.
    """
    if uptime_share(figures, window) is None:
        return None
    up, down, unknown = _parts(figures or {}, window)
    return (up + down) / (up + down + unknown)


def store_badge(store: StoreState | None, window: Window) -> str:
    """Draw how long a store was up in a window, and for how long there is no data."""
    label = f"uptime {window}"
    share = None if store is None else uptime_share(store.figures, window)
    if share is None or store is None or store.figures is None:
        known = store is not None and store.figures is not None
        return _svg(label, "not open" if known else "unknown", _NEUTRAL)
    up, down, unknown = parts = _parts(store.figures, window)
    covered = (up + down) / sum(parts)
    if covered < MIN_COVERAGE:
        return _svg(label, "no data", _NEUTRAL, parts)
    # rounded down: 99.999% must not become 100%
    text = "100%" if share == 1 else f"{int(share * 10_000) / 100:.2f}%"
    if unknown / sum(parts) >= MIN_COVERAGE:
        text += f", {int(unknown / sum(parts) * 100)}% no data"
    # downtime that no poll covers is no reason for red
    return _svg(label, text, _colour(up / (up + down)), parts)


def _parts(figures: Mapping[str, float], window: Window) -> Parts:
    """Return how long polls say that it was up and down, and how long there is no data."""
    up, down = (
        max(0.0, figures[f"{side}_last_{window}"] - figures.get(f"unknown_{side}_last_{window}", 0))
        for side in ("uptime", "downtime")
    )
    counted = figures[f"uptime_last_{window}"] + figures[f"downtime_last_{window}"]
    return up, down, max(0.0, counted - up - down)


def fleet_badge(counts: Mapping[str, int]) -> str:
    """Draw how many of the stores that are open are up."""
    opened = counts["total"] - counts["closed"]
    if not opened:
        return _svg("stores up", "all closed" if counts["total"] else "none", _NEUTRAL)
    return _svg("stores up", f"{counts['up']} of {opened}", _colour(counts["up"] / opened))


def _colour(share: float) -> str:
    return _GOOD if share >= GOOD_SHARE else _POOR if share >= POOR_SHARE else _BAD


def _svg(label: str, text: str, colour: str, parts: Parts | None = None) -> str:
    left, right = (round(len(part) * _CHARACTER) + _PADDING for part in (label, text))
    title = escape(f"{label}: {text}")
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" '
        f'role="img" aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="{_LABEL}"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{colour}"/>'
        f"{_bar(left, right, parts)}</g>"
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" '
        'text-anchor="middle">'
        f"{_text(label, left / 2, left - _PADDING)}"
        f"{_text(text, left + right / 2, right - _PADDING)}</g></svg>"
    )


def _bar(left: int, width: int, parts: Parts | None) -> str:
    """Draw the time up, down and without data (hatched) along the lower edge."""
    if parts is None:
        return ""
    drawn = [
        '<pattern id="h" width="4" height="4" patternUnits="userSpaceOnUse" '
        'patternTransform="rotate(45)"><rect width="2" height="4" fill="#fff"/></pattern>'
        f'<rect x="{left}" y="17" width="{width}" height="3" fill="{_LABEL}"/>'
    ]
    at = float(left)
    for part, fill in zip(parts, (_UP_PART, _DOWN_PART, "url(#h)"), strict=True):
        length = width * part / sum(parts)
        if part:
            drawn.append(
                f'<rect x="{at:.1f}" y="17" width="{length:.1f}" height="3" fill="{fill}"/>'
            )
        at += length
    return "".join(drawn)


def _text(text: str, middle: float, width: int) -> str:
    return f'<text x="{middle:g}" y="14" textLength="{width}">{escape(text)}</text>'
