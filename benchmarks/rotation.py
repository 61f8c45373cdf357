"""Rotates the order of measurements, so that each run begins with another one."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")


def rotated(items: Sequence[T], run: int) -> list[T]:
    """Return all items in their order; run 0 begins with the first, run 1 with the second."""
    start = run % len(items)
    return [*items[start:], *items[:start]]
