"""A worker that kills itself at a named instant of its work.

    python -m tests.faults.crashing_worker POINT worker --name NAME

It is the product's worker, except that it sends itself SIGKILL at POINT, between two instructions.
The product has no code for this.
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
    """Kills the process when it is reached for the `count`-th time."""

    def __init__(self, count: int) -> None:
        self._remaining = count

    def reached(self) -> None:
        self._remaining -= 1
        if self._remaining <= 0:
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
    track = CommitTracker.track

    def crashing_track(self: CommitTracker, event: Any) -> Any:
        tracked = track(self, event)

        def ack() -> None:
            point.reached()
            tracked.ack()

        return replace(tracked, ack=ack)

    CommitTracker.track = crashing_track  # type: ignore[method-assign]


def _before_the_commit(point: CrashPoint) -> None:
    _before(UptimeConsumer, "_commit_offsets", point)


def _after_the_commit(point: CrashPoint) -> None:
    _after_coroutine(UptimeConsumer, "_commit_offsets", point)


def _before_a_store_is_registered(point: CrashPoint) -> None:
    record_applied = OwnedPartitions.record_applied

    def crashing_record_applied(
        self: OwnedPartitions,
        partition: Any,
        stores: Iterable[bytes],
        newest_poll: int | None = None,
    ) -> None:
        if not partition.stores.issuperset(stores):
            point.reached()
        record_applied(self, partition, stores, newest_poll)

    OwnedPartitions.record_applied = crashing_record_applied  # type: ignore[method-assign]


def _claimed_but_not_restored(point: CrashPoint) -> None:
    _after_coroutine(FencedProducer, "claim", point)


def _in_the_middle_of_a_restore(point: CrashPoint) -> None:
    """Die after a write of the restorer, which has more to read before it reaches its claim."""
    apply = Restorer._apply

    def crashing_apply(self: Restorer, fetched: Any, end: int) -> None:
        apply(self, fetched, end)
        if self._database.checkpoint.next_offset < end:
            point.reached()

    Restorer._apply = crashing_apply  # type: ignore[method-assign]
    Restorer._fetch = _fetch_one_batch  # type: ignore[method-assign]


async def _fetch_one_batch(self: Restorer, offset: int, **_: int) -> Any:
    """Fetch little: in a short changelog one full fetch would reach the claim."""
    return await self._log.fetch(self._topic, self._partition, offset, max_bytes=1)


def _restored_but_not_owned(point: CrashPoint) -> None:
    _before(FactsTable, "open", point)


def _before_a_report_is_complete(point: CrashPoint) -> None:
    publish = Publisher.publish_report_event

    async def crashing_publish(
        self: Publisher, event: ReportEvent, topic: TopicSpec = REPORT_RESULTS
    ) -> Any:
        if event.status == "complete":
            point.reached()
        return await publish(self, event, topic)

    Publisher.publish_report_event = crashing_publish  # type: ignore[method-assign]


POINTS: Final[dict[str, tuple[Callable[[CrashPoint], None], int]]] = {
    # the function that installs the point, and the number of the visit at which the worker dies
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
    """Return the command of a worker that dies at a point, for `Deployment.new_worker`."""
    assert point in POINTS
    return [sys.executable, "-m", "tests.faults.crashing_worker", point]


def main() -> None:
    crash, count = POINTS[sys.argv[1]]
    crash(CrashPoint(count))
    sys.argv = ["store-uptime", *sys.argv[2:]]
    store_uptime()


if __name__ == "__main__":
    main()
