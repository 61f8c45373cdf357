"""Assigns partitions to workers: evenly, and first to those that have their state on disk.

Every worker says, when it joins the group, how much of which partitions' changelogs it holds.
The group's leader shares the partitions out evenly. Within the even shares, each partition goes to
the worker that holds the most of it. With standbys the leader also names, for each partition, the
workers that keep a copy of its state up to date.

Kafka's own sticky assignor knows who owned a partition, and not who holds its state on disk. It
would give no priority to a worker that comes back after a stop, or that keeps a standby.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)

from stream_app.contracts.topics import REPORT_REQUESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_VERSION: Final = 0


class Copy(NamedTuple):
    """A worker's copy of a partition's state; the worker with the greatest copy should own it.

    Attributes:
        offset: the changelog offset that it has reached.
        owned: whether the worker owned the partition until this rebalance.
    """

    offset: int
    owned: bool = False


Copies = Mapping[int, Copy]
"""Copies of one worker, by partition."""

_NO_COPY: Final = Copy(-1)


class StatefulAssignor(AbstractPartitionAssignor):
    """The assignor of one worker; all its methods run in the consumer's thread.

    Args:
        partitions: how many partitions are owned by workers; one that somebody added to a topic has
            no state and no owner.
        copies: returns the copies of partitions that this worker has.
        standbys: how many workers besides the owner keep a copy of each partition's state.
        on_standby: called with the partitions that this worker shall keep a copy of.
    """

    def __init__(
        self,
        partitions: int,
        copies: Callable[[], Copies],
        standbys: int,
        on_standby: Callable[[frozenset[int]], None],
    ) -> None:
        self._partitions = partitions
        self._copies = copies
        self._standbys = standbys
        self._on_standby = on_standby

    @property
    def name(self) -> str:
        """Return the protocol that all members of the group must share."""
        return "store-uptime"

    def metadata(self, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """Return the copies of this worker, for the group's leader."""
        copies = {str(partition): list(copy) for partition, copy in self._copies().items()}
        return ConsumerProtocolMemberMetadata(
            _VERSION, sorted(topics), orjson.dumps({"held": copies})
        )

    def assign(self, cluster: Any, members: Mapping[str, Any]) -> dict[str, Any]:
        """Share the partitions out; called in the group's leader alone."""
        topics = sorted({topic for member in members.values() for topic in member.subscription})
        counts = {topic: len(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        copies = {name: _copies_in(member.user_data) for name, member in members.items()}
        partitions = range(min(counts.get(REPORT_REQUESTS.name, 0), self._partitions))
        owners = share_out(partitions, copies)
        standbys = standbys_of(owners, copies, self._standbys)
        return {
            name: ConsumerProtocolMemberAssignment(
                _VERSION,
                [
                    (topic, [p for p in owners[name] if p < count])
                    for topic, count in counts.items()
                ],
                orjson.dumps({"standby": sorted(standbys[name])}),
            )
            for name in members
        }

    def on_assignment(self, assignment: Any) -> None:
        """Set the partitions of which this worker follows the changelog."""
        self._on_standby(_standby_in(assignment.user_data))


def share_out(partitions: Iterable[int], copies: Mapping[str, Copies]) -> dict[str, list[int]]:
    """Return the owners of all partitions: shares differ by one at the most.

    Args:
        partitions: the partition numbers.
        copies: the copies of each worker.

    Returns:
        the sorted partitions of each worker.
    """
    workers = sorted(copies)
    owned: dict[str, list[int]] = {worker: [] for worker in workers}
    numbers = sorted(partitions)
    if not workers:
        return owned
    share, larger_shares = divmod(len(numbers), len(workers))
    unassigned = set(numbers)
    # the workers with a copy of each partition, the best copy first; ties go by name
    best = {
        partition: sorted(
            (worker for worker in workers if partition in copies[worker]),
            key=lambda worker: copies[worker][partition],
            reverse=True,
        )
        for partition in numbers
    }
    for rank in range(len(workers)):
        for partition in numbers:
            if partition not in unassigned or len(best[partition]) <= rank:
                continue
            worker = best[partition][rank]
            room = share
            if len(owned[worker]) == share and larger_shares:
                room += 1
            if len(owned[worker]) < room:
                larger_shares -= len(owned[worker]) == share
                owned[worker].append(partition)
                unassigned.discard(partition)
    for partition in sorted(unassigned):
        worker = min(workers, key=lambda name: (len(owned[name]), name))
        owned[worker].append(partition)
    return {worker: sorted(shares) for worker, shares in owned.items()}


def standbys_of(
    owners: Mapping[str, Iterable[int]], copies: Mapping[str, Copies], count: int
) -> dict[str, set[int]]:
    """Return the partitions of which each worker keeps a copy besides those that it owns.

    Args:
        owners: the partitions that each worker owns.
        copies: the copies that each worker has now.
        count: how many workers besides the owner keep a copy of each partition.
    """
    standbys: dict[str, set[int]] = {worker: set() for worker in owners}
    owner_of = {partition: worker for worker, owned in owners.items() for partition in owned}
    for partition, owner in sorted(owner_of.items()):
        others = sorted(
            (worker for worker in standbys if worker != owner),
            key=lambda worker: (
                len(standbys[worker]) - (partition in copies[worker]),
                -copies[worker].get(partition, _NO_COPY).offset,
                worker,
            ),
        )
        for worker in others[:count]:
            standbys[worker].add(partition)
    return standbys


def _copies_in(user_data: bytes | None) -> Copies:
    """Return the copies that a member reports; none if it sent something else."""
    try:
        copies = orjson.loads(user_data or b"{}").get("held", {})
        return {
            int(partition): Copy(int(offset), bool(owned))
            for partition, (offset, owned) in copies.items()
        }
    except (AttributeError, TypeError, ValueError):
        return {}


def _standby_in(user_data: bytes | None) -> frozenset[int]:
    """Return the partitions of which the leader wants a copy here; none if it is not clear."""
    try:
        standby = orjson.loads(user_data or b"{}").get("standby", ())
        return frozenset(p for p in standby if type(p) is int and p >= 0)
    except (AttributeError, TypeError, ValueError):
        return frozenset()
