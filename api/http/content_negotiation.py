"""The form of an answer that a client prefers."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def best_of(accept: list[str], offered: Sequence[str]) -> str:
    """Return the preferred form: by weight, then by how exactly it is named, then by our order.

    Args:
        accept: the `Accept` headers of a request.
        offered: media types.
    """
    preferences = ",".join(accept)
    return max(offered, key=lambda media: _preference(preferences, media))


def _preference(accept: str, offered: str) -> tuple[float, int]:
    """Return a media type's weight in Accept, and how exactly it is named (RFC 9110, 12.5.1)."""
    ranges = ("*/*", offered.partition("/")[0] + "/*", offered)
    weight, exactness = 0.0, -1
    for part in accept.split(","):
        media, *parameters = (piece.strip().lower() for piece in part.split(";"))
        if media in ranges and ranges.index(media) > exactness:
            weight, exactness = _weight(parameters), ranges.index(media)
    # weight 0 forbids: as if it were not named
    return (weight, exactness) if weight > 0 else (0.0, -1)


def _weight(parameters: list[str]) -> float:
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return float(parameter[2:])
            except ValueError:
                return 0.0
    return 1.0
