"""How partitions are taken over: nothing is ours before its whole changelog is read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from faust.types import TP
from stream_app.takeover import MOST_TRIES, Takeover, rewind

from stream_app import takeover as module
from stream_app.agents.committable import Committable
from stream_app.contracts.topics import CONSUMED_TOPICS, REPORT_REQUESTS, STORE_STATUS
from stream_app.errors import TableError
from tests.agent_fakes import Failures, FakeEvent, FakeMessage, settings_with, settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CHANGELOG = TP("changelog", 1)


class Consumer:
    """Remembers where it was sent."""

    def __init__(self, *partitions: int) -> None:
        self.positions: dict[TP, int] = {}
        self._assigned = {TP(spec.name, p) for spec in CONSUMED_TOPICS for p in partitions}

    def assignment(self) -> set[TP]:
        return self._assigned

    async def seek(self, partition: TP, offset: int) -> None:
        self.positions[partition] = offset


class Recovery:
    """Faust's, as far as it can be made to go on."""

    def __init__(self) -> None:
        self.active_offsets: dict[TP, int | None] = {CHANGELOG: 99}
        self.starts = 0
        self.signal_recovery_start = self

    def set(self) -> None:
        self.starts += 1


class Facts:
    """A table that is claimed, and behind as a test says."""

    def __init__(self) -> None:
        self.claimed: list[set[int]] = []
        self.behind_now: dict[TP, tuple[int | None, int]] = {}
        self.error: Exception | None = None
        self.asked = 0

    async def claim(self, partitions: Iterable[int]) -> None:
        if self.error is not None:
            raise self.error
        self.claimed.append(set(partitions))

    def behind(self, partitions: Iterable[int]) -> dict[TP, tuple[int | None, int]]:
        assert set(partitions) in ({1, 3}, {5}, set())
        self.asked += 1
        return dict(self.behind_now)


class Ownership:
    """Keeps what was taken."""

    def __init__(self) -> None:
        self.generation = 0
        self.taken: list[tuple[set[int], dict[Any, int]]] = []

    async def take(self, partitions: Iterable[int], applied: Mapping[Any, int]) -> None:
        self.taken.append((set(partitions), dict(applied)))


class Desk:
    """A takeover of the partitions 1 and 3 among fakes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.consumer = Consumer(1, 3)
        self.recovery = Recovery()
        self.facts = Facts()
        self.ownership = Ownership()
        self.committable = Committable()
        self.failures = Failures()
        self.offsets = {(STORE_STATUS.name, 1): 7}
        self.rebalance_meanwhile = False
        self.takeover = Takeover(
            SimpleNamespace(consumer=self.consumer, tables=SimpleNamespace(recovery=self.recovery)),
            settings_with(),
            self.facts,  # type: ignore[arg-type]
            self.ownership,  # type: ignore[arg-type]
            self.committable,
            self.failures,
        )

        async def resume_offsets(_settings: Any, _partitions: Any) -> Any:
            self.ownership.generation += self.rebalance_meanwhile
            return self.offsets

        monkeypatch.setattr(module, "resume_offsets", resume_offsets)
        monkeypatch.setattr(module, "_PAUSE_SECONDS", 0)
        monkeypatch.setattr(module, "_WATCH_SECONDS", 0)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


async def test_what_is_assigned_is_claimed_and_nothing_is_in_hand(desk: Desk) -> None:
    desk.committable.take(FakeEvent(FakeMessage(b"")))

    await desk.takeover.assigned([TP(REPORT_REQUESTS.name, 5), TP(STORE_STATUS.name, 5)])

    assert desk.facts.claimed == [{5}]
    assert desk.committable.partitions() == []


async def test_a_claim_that_fails_ends_the_worker(desk: Desk) -> None:
    desk.facts.error = error = TableError("locked")

    await desk.takeover.assigned([TP(REPORT_REQUESTS.name, 5)])

    assert desk.failures.errors == [error]


async def test_what_is_recovered_is_taken_at_what_is_committed(desk: Desk) -> None:
    await desk.takeover.recovered()

    assert desk.ownership.taken == [({1, 3}, desk.offsets)]
    assert desk.consumer.positions == {TP(STORE_STATUS.name, 1): 7}
    assert desk.recovery.starts == 0


async def test_a_recovery_that_was_cut_off_goes_on_from_what_the_database_holds(
    desk: Desk,
) -> None:
    """Ending the worker would cause the next rebalance, which cuts the others off: for ever."""
    desk.facts.behind_now = {CHANGELOG: (12, 40)}

    await desk.takeover.recovered()

    assert desk.ownership.taken == []
    assert desk.recovery.active_offsets == {CHANGELOG: 12}
    assert desk.recovery.starts == 1
    assert desk.failures.errors == []

    desk.facts.behind_now = {}
    await desk.takeover.recovered()
    assert len(desk.ownership.taken) == 1


async def test_one_that_never_comes_to_its_end_ends_the_worker(desk: Desk) -> None:
    desk.facts.behind_now = {CHANGELOG: (None, 40)}

    for _ in range(MOST_TRIES + 1):
        await desk.takeover.recovered()

    assert desk.recovery.starts == MOST_TRIES
    (error,) = desk.failures.errors
    assert "partition 1 is at changelog offset None of 40" in str(error)
    # another assignment begins anew
    await desk.takeover.assigned([])
    await desk.takeover.recovered()
    assert desk.recovery.starts == MOST_TRIES + 1


async def test_a_recovery_that_stands_still_ends_the_worker(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk Faust logs a warning a record, and waits for ever."""
    monkeypatch.setattr(module, "STUCK_SECONDS", 0)
    desk.facts.behind_now = {CHANGELOG: (12, 40)}

    await desk.takeover.assigned([TP(REPORT_REQUESTS.name, 5)])
    await settle()

    (error,) = desk.failures.errors
    assert "stands still: partition 1 is at changelog offset 12 of 40" in str(error)


async def test_a_recovery_that_moves_is_let_alone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STUCK_SECONDS", 0)

    def moving(_partitions: Iterable[int]) -> dict[TP, tuple[int | None, int]]:
        desk.facts.asked += 1
        return {CHANGELOG: (desk.facts.asked, 40)} if desk.facts.asked < 40 else {}

    desk.facts.behind = moving  # type: ignore[method-assign]
    await desk.takeover.assigned([TP(REPORT_REQUESTS.name, 5)])
    await settle()

    assert desk.facts.asked == 40
    assert desk.failures.errors == []


async def test_only_the_latest_assignment_is_watched(desk: Desk) -> None:
    desk.facts.behind_now = {CHANGELOG: (12, 40)}
    await desk.takeover.assigned([TP(REPORT_REQUESTS.name, 5)])
    await settle()
    first = desk.takeover._watching

    await desk.takeover.assigned([])
    await settle()

    assert first is not None
    assert first.cancelled()
    assert desk.takeover._watching is not first


async def test_a_rebalance_meanwhile_takes_nothing(desk: Desk) -> None:
    desk.rebalance_meanwhile = True

    await desk.takeover.recovered()

    assert desk.ownership.taken == []
    assert desk.consumer.positions == {}


async def test_a_partition_without_a_committed_offset_is_read_from_its_beginning() -> None:
    """Faust alone stays behind what it has fetched and thrown away: those records were lost."""
    offsets = {(spec.name, 0): number for number, spec in enumerate(CONSUMED_TOPICS)}
    consumer = Consumer()

    await rewind(consumer, offsets)

    assert consumer.positions == {TP(topic, 0): offset for (topic, _), offset in offsets.items()}
    assert 0 in consumer.positions.values()
