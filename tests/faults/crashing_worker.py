"""A worker that kills itself at a named instant of its work.

    python -m tests.faults.crashing_worker POINT worker --name NAME

It is the product's worker, except that POINT is its end: SIGKILL, as by the kernel, between two
instructions. The product itself knows nothing of this.
"""

from __future__ import annotations

import functools
import os
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NoReturn

from stream_app.cli.main import main as store_uptime
from stream_app.contracts.topics import REPORT_RESULTS
from stream_app.kafka.fenced_producer import FencedProducer
from stream_app.worker.commit_tracker import CommitTracker
from stream_app.worker.consumer import UptimeConsumer
from stream_app.worker.facts.restorer import Restorer
from stream_app.worker.facts.table import FactsTable, OpenPartition
from stream_app.worker.owned_partitions import OwnedPartitions
from stream_app.worker.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stream_app.contracts.report_results import ReportEvent
    from stream_app.contracts.topics import TopicSpec


class CrashPoint:
    """Counts how often it is reached, and ends the process at the right time."""

    def __init__(self, count: int) -> None:
        self._left = count

    def reached(self) -> None:
        self._left -= 1
        if self._left <= 0:
            _die()


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    signal.pause()
    raise AssertionError


def _before(owner: type, name: str, point: CrashPoint) -> None:
    """Die instead of calling a method."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def crashing(*args: Any, **kwargs: Any) -> Any:
        point.reached()
        return original(*args, **kwargs)

    setattr(owner, name, crashing)


def _after(owner: type, name: str, point: CrashPoint) -> None:
    """Die when a method has done its work."""
    original = getattr(owner, name)

    @functools.wraps(original)
    def crashing(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        point.reached()
        return result

    setattr(owner, name, crashing)


def _after_coroutine(owner: type, name: str, point: CrashPoint) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def crashing(*args: Any, **kwargs: Any) -> Any:
        result = await original(*args, **kwargs)
        point.reached()
        return result

    setattr(owner, name, crashing)


def _handed_to_the_changelog(point: CrashPoint) -> None:
    _after(OpenPartition, "put", point)


def _in_the_changelog_but_not_local(point: CrashPoint) -> None:
    _before(OpenPartition, "_on_acknowledged", point)


def _local_but_not_acknowledged(point: CrashPoint) -> None:
    _after(OpenPartition, "_on_acknowledged", point)


def _before_the_acknowledgement(point: CrashPoint) -> None:
    take = CommitTracker.track

    def crashing_take(self: CommitTracker, event: Any) -> Any:
        taken = take(self, event)

        def ack() -> None:
            point.reached()
            taken.ack()

        return replace(taken, ack=ack)

    CommitTracker.track = crashing_take  # type: ignore[method-assign]


def _before_the_commit(point: CrashPoint) -> None:
    _before(UptimeConsumer, "_commit_offsets", point)


def _after_the_commit(point: CrashPoint) -> None:
    _after_coroutine(UptimeConsumer, "_commit_offsets", point)


def _before_a_store_is_registered(point: CrashPoint) -> None:
    applied = OwnedPartitions.record_applied

    def crashing_applied(
        self: OwnedPartitions,
        partition: Any,
        stores: Iterable[bytes],
        newest_poll: int | None = None,
    ) -> None:
        if not partition.stores.issuperset(stores):
            point.reached()
        applied(self, partition, stores, newest_poll)

    OwnedPartitions.record_applied = crashing_applied  # type: ignore[method-assign]


def _claimed_but_not_restored(point: CrashPoint) -> None:
    _after_coroutine(FencedProducer, "claim", point)


def _in_the_middle_of_a_restore(point: CrashPoint) -> None:
    """Behind a write of the restorer, which has more to read before it reaches its claim."""
    apply = Restorer._apply

    def crashing_apply(self: Restorer, fetched: Any, end: int) -> None:
        apply(self, fetched, end)
        if self._database.checkpoint.next_offset < end:
            point.reached()

    Restorer._apply = crashing_apply  # type: ignore[method-assign]
    Restorer._fetch = _fetch_one_batch  # type: ignore[method-assign]


async def _fetch_one_batch(self: Restorer, offset: int, **_: int) -> Any:
    """In a short changelog one fetch would reach the claim."""
    return await self._log.fetch(self._topic, self._partition, offset, max_bytes=1)


def _restored_but_not_owned(point: CrashPoint) -> None:
    _before(FactsTable, "open", point)


def _before_a_report_is_complete(point: CrashPoint) -> None:
    report = Publisher.publish_report_event

    async def crashing_report(
        self: Publisher, event: ReportEvent, topic: TopicSpec = REPORT_RESULTS
    ) -> Any:
        if event.status == "complete":
            point.reached()
        return await report(self, event, topic)

    Publisher.publish_report_event = crashing_report  # type: ignore[method-assign]


POINTS: Final[dict[str, tuple[Callable[[CrashPoint], None], int]]] = {
    # what makes the worker die there, and the how manieth time it comes there
    "claimed, not restored": (_claimed_but_not_restored, 1),
    "in the middle of a restore": (_in_the_middle_of_a_restore, 2),
    "restored, not owned": (_restored_but_not_owned, 1),
    "before a store is registered": (_before_a_store_is_registered, 1),
    "handed to the changelog": (_handed_to_the_changelog, 30),
    "in the changelog, not local": (_in_the_changelog_but_not_local, 30),
    "local, not acknowledged": (_local_but_not_acknowledged, 30),
    "before the acknowledgement": (_before_the_acknowledgement, 30),
    "before the commit": (_before_the_commit, 2),
    "after the commit": (_after_the_commit, 2),
    "before a report is complete": (_before_a_report_is_complete, 2),
}


def program(point: str) -> list[str]:
    """The command of such a worker, for `Deployment.new_worker`."""
    assert point in POINTS
    return [sys.executable, "-m", "tests.faults.crashing_worker", point]


def main() -> None:
    crash, count = POINTS[sys.argv[1]]
    crash(CrashPoint(count))
    sys.argv = ["store-uptime", *sys.argv[2:]]
    store_uptime()


if __name__ == "__main__":
    main()
