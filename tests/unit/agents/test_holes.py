"""A partition is moved on where it rests before offsets that no record has, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from stream_app.agents.holes import Holes

from stream_app.agents import holes as module
from tests.agent_fakes import settings_with

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ONE, TWO = ("store-status", 0), ("store-status", 1)


class Ownership:
    """Where the partitions rest, and where they were moved."""

    def __init__(self) -> None:
        self.idle: dict[tuple[str, int], int] = {}
        self.skipped: list[tuple[str, int, int, int]] = []

    def idle_offsets(self) -> dict[tuple[str, int], int]:
        return dict(self.idle)

    def skip(self, topic: str, number: int, first: int, end: int) -> None:
        self.skipped.append((topic, number, first, end))


class Desk:
    """Holes over a log of which a test says where it ends and what is in it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ownership = Ownership()
        self.ends: dict[tuple[str, int], int] = {}
        self.empty: set[tuple[str, int]] = set()
        self.looked_at: list[dict[tuple[str, int], tuple[int, int]]] = []
        self.holes = Holes(
            settings_with(),
            self.ownership,  # type: ignore[arg-type]
            self,  # type: ignore[arg-type]
        )

        async def empty_ranges(_settings: Any, ranges: Mapping[Any, tuple[int, int]]) -> Any:
            self.looked_at.append(dict(ranges))
            return self.empty & ranges.keys()

        monkeypatch.setattr(module, "empty_ranges", empty_ranges)

    async def ask(self, partitions: Iterable[Any]) -> dict[Any, int]:
        return {partition: self.ends[partition] for partition in partitions}


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


async def test_a_hole_is_skipped_at_the_second_look(desk: Desk) -> None:
    desk.ownership.idle, desk.ends, desk.empty = {ONE: 5}, {ONE: 8}, {ONE}

    await desk.holes.look()
    assert desk.looked_at == [], "a record may be on its way"
    await desk.holes.look()

    assert desk.ownership.skipped == [(*ONE, 5, 8)]


async def test_records_that_are_still_to_come_are_waited_for(desk: Desk) -> None:
    desk.ownership.idle, desk.ends, desk.empty = {ONE: 5, TWO: 5}, {ONE: 8, TWO: 9}, {TWO}

    for _ in range(2):
        await desk.holes.look()

    assert desk.ownership.skipped == [(*TWO, 5, 9)]


async def test_what_moves_or_is_at_the_end_costs_no_look(desk: Desk) -> None:
    desk.ends = {ONE: 8, TWO: 100}
    for offset in range(5):
        desk.ownership.idle = {ONE: 8, TWO: offset}
        await desk.holes.look()

    assert desk.looked_at == []
