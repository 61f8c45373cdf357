"""Partitions that were added to a topic have no owner; the others stay with their owners."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.contracts.topics import CONSUMED_TOPICS
from stream_app.worker.assignor import StatefulAssignor

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMES = [spec.name for spec in CONSUMED_TOPICS]


class Cluster:
    """The metadata of topics, as the leader of the group sees it."""

    def __init__(self, counts: Mapping[str, int]) -> None:
        self._counts = counts

    def partitions_for_topic(self, topic: str) -> set[int]:
        return set(range(self._counts[topic]))


def owned(counts: Mapping[str, int]) -> dict[str, dict[str, list[int]]]:
    """Assign the partitions to two workers, and return those of each worker by topic."""
    assignor = StatefulAssignor(4, dict, 0, lambda _: None)
    member = SimpleNamespace(subscription=NAMES, user_data=None)
    shares: dict[str, Any] = assignor.assign(Cluster(counts), {"a": member, "b": member})
    return {worker: dict(share.assignment) for worker, share in shares.items()}


@pytest.mark.parametrize("wider", [*NAMES, "all"])
def test_nobody_owns_a_partition_that_was_added(wider: str) -> None:
    counts = {name: 6 if wider in (name, "all") else 4 for name in NAMES}
    for share in owned(counts).values():
        (numbers,) = {tuple(numbers) for numbers in share.values()}
        assert len(numbers) == 2
        assert set(numbers) <= set(range(4))
