"""The buckets of a store's polls: those that a batch writes and those that a report reads.

A table write costs the same whatever it writes, up to some kilobytes, so a large batch should
write few buckets, and a live poll should rewrite few bytes. So there are three levels, and a
report reads their union:

- the **hot** bucket has the few polls that came last; every live poll rewrites it.
- the **warm** bucket receives the polls of a full hot bucket.
- a **cold** bucket has one week. The polls of a full warm bucket go there, and a batch that is
  larger than a hot bucket goes there at once: one write for each week of the batch. The slot is
  `week % slots` of a ring that is longer than the retention: polls that are more than the
  retention older than the newest poll of their slot are dropped.

The hot and the warm bucket are bounded by the number of polls, not by time, so that a live poll
costs nearly the same bytes whether a store sends one a minute or one an hour. Polls that move are
written to their new bucket first, so that a crash between the writes leaves them in both buckets,
never in none.

The stored polls depend on the set of polls alone, not on their order or batches: a poll is dropped
only where its cold slot has polls that are more than the retention newer. `late` finds the polls
of a batch that would be dropped at once: no report will ever read them.

The retention may be changed on a table that has polls. Rings come in few sizes, each with slots
of its own; the retention decides which ring is written, and a report reads every ring that the
store has.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from stream_app.domain.polls import between, newest, parts, since, union
from stream_app.domain.timestamps import WEEK
from stream_app.errors import RecordError, ReportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

COLD_SPAN: Final = WEEK
"""The time that one cold bucket covers, in µs."""

RINGS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes of the cold rings in weeks; the ring of `n` has the slots `n` to `2 * n - 1`."""

MAX_HOT_POLLS: Final = 32
"""Most polls of a hot bucket.

With this number and `MAX_WARM_POLLS`, a store with one poll a minute (ten thousand a week) rewrites
about 270 bytes a poll in all three levels together. No other numbers give less.
"""

MAX_WARM_POLLS: Final = 512
"""Most polls of a warm bucket."""

MAX_BATCH_WEEK_POLLS: Final = 7 * 24 * 3600 // 2
"""Polls of one week above which a batch is rejected: one poll every two seconds."""

MAX_WEEK_POLLS: Final = 900_000
"""Most polls of one week once a full warm bucket has moved there: they fit a changelog record."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The place of a set of polls within a store: whether it is in a cold ring, and its slot."""

    cold: bool
    slot: int


HOT: Final = Bucket(cold=False, slot=0)
WARM: Final = Bucket(cold=False, slot=1)


@dataclass(frozen=True, slots=True)
class BucketWrite:
    """A bucket's new content.

    Attributes:
        bucket: the bucket.
        polls: its whole new content.
        expired: how many polls were dropped from it, because it has much newer ones.
    """

    bucket: Bucket
    polls: array[int]
    expired: int = field(default=0, compare=False)


def ring_size(bucket: Bucket) -> int:
    """Return the size of the ring that a cold bucket belongs to."""
    return 1 << (bucket.slot.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class BucketLayout:
    """The buckets of one deployment.

    Attributes:
        retention: the least time for which polls are stored, µs.
        hot: the most polls of a hot bucket.
        warm: the most polls of a warm bucket.
    """

    retention: int
    hot: int = MAX_HOT_POLLS
    warm: int = MAX_WARM_POLLS

    @property
    def cold_slots(self) -> int:
        """Return the size of the ring: weeks of one slot are at least the retention apart."""
        return _ring_for(self.retention)

    def cold_bucket(self, instant: int) -> Bucket:
        """Return the cold bucket that an instant falls in."""
        return _cold_bucket(instant // COLD_SPAN, self.cold_slots)

    def writes(self, batch: array[int], read: Callable[[Bucket], array[int]]) -> list[BucketWrite]:
        """Plan the writes that add a batch to a store, in the order in which to make them.

        Args:
            batch: polls to add, not empty.
            read: returns the present content of a bucket.

        Returns:
            the changed buckets only: polls cost no write if the bucket that they go to has all of
            them already.

        Raises:
            RecordError: a week would have more polls than one record can carry.
        """
        if len(batch) > self.hot:
            return list(self._cold_writes(batch, read, MAX_BATCH_WEEK_POLLS))
        current = read(HOT)
        merged = union(current, batch)
        if merged == current:
            return []
        if len(merged) <= self.hot:
            return [BucketWrite(HOT, merged)]
        try:
            return [*self._warm_writes(current, read), BucketWrite(HOT, batch)]
        except RecordError:
            # one week is full: its polls stay in the warm bucket, and the other weeks go on
            return list(self._cold_writes(batch, read, MAX_BATCH_WEEK_POLLS))

    def late(self, batch: array[int], read: Callable[[Bucket], array[int]]) -> array[int]:
        """Return the polls of a batch that would be dropped at once, whatever bucket they go to.

        Args:
            batch: polls to add, not empty.
            read: returns the present content of a bucket.
        """
        # the polls of the hot and the warm bucket move to these slots later
        newest_of_slot: dict[Bucket, int] = {}
        for week in parts(union(union(read(HOT), read(WARM)), batch), COLD_SPAN):
            newest_of_slot[self.cold_bucket(newest(week))] = newest(week)
        late = array("q")
        for week in parts(batch, COLD_SPAN):
            bucket = self.cold_bucket(newest(week))
            current = read(bucket)
            last = max(newest_of_slot[bucket], newest(current) if current else 0)
            late += between(week, 0, last - self.retention - 1)
        return late

    def _warm_writes(
        self, polls: array[int], read: Callable[[Bucket], array[int]]
    ) -> list[BucketWrite]:
        current = read(WARM)
        merged = union(current, polls)
        if merged == current:
            return []
        if len(merged) <= self.warm:
            return [BucketWrite(WARM, merged)]
        return [*self._cold_writes(current, read, MAX_WEEK_POLLS), BucketWrite(WARM, polls)]

    def _cold_writes(
        self, batch: array[int], read: Callable[[Bucket], array[int]], max_polls: int
    ) -> Iterator[BucketWrite]:
        for week in parts(batch, COLD_SPAN):
            bucket = self.cold_bucket(newest(week))
            current = read(bucket)
            both = union(current, week)
            merged = since(both, newest(both) - self.retention)
            if merged != current:
                if len(merged) > max_polls:
                    raise RecordError(f"more than {max_polls} polls of one store in one week")
                yield BucketWrite(bucket, merged, len(both) - len(merged))

    def buckets(self, first: int, last: int, kinds: Iterable[Bucket]) -> list[Bucket]:
        """Return the buckets that may have polls in `[first, last]`, nearly in order of time.

        Args:
            first: the first instant of the requested range, µs.
            last: the last one, µs.
            kinds: the results of `ring_of_bucket` for the buckets that a store may have besides
                those of this layout.

        Raises:
            ReportError: the range is longer than the retention.
        """
        weeks = range(first // COLD_SPAN, last // COLD_SPAN + 1)
        if len(weeks) > self.cold_slots:
            raise ReportError("the requested range is longer than the retention")
        all_kinds = {HOT, WARM, Bucket(cold=True, slot=self.cold_slots), *kinds}
        rings = sorted(kind.slot for kind in all_kinds if kind.cold)
        recent = sorted((kind.slot for kind in all_kinds if not kind.cold), reverse=True)
        return [
            *(_cold_bucket(week, ring) for ring in rings for week in weeks),
            *(Bucket(cold=False, slot=slot) for slot in recent),
        ]

    def all_buckets(self, kinds: Iterable[Bucket]) -> Iterator[Bucket]:
        """Yield every bucket that may have polls of a store, of this layout and of these kinds."""
        for kind in {HOT, WARM, Bucket(cold=True, slot=self.cold_slots), *kinds}:
            if kind.cold:
                ring = ring_size(kind)
                yield from (Bucket(cold=True, slot=slot) for slot in range(ring, 2 * ring))
            else:
                yield kind

    def check_kept(
        self, first: int, last: int, contents: Iterable[tuple[Bucket, array[int]]]
    ) -> None:
        """Check that no poll of a store in `[first, last]` was dropped for a newer one.

        Args:
            first: the first instant of the requested range, µs.
            last: the last one, µs.
            contents: the content of the buckets that `buckets` returned; an empty one may be left
                out.

        Raises:
            ReportError: some of them have been dropped, because the store has polls more
                than the retention newer.
        """
        for bucket, content in contents:
            if content and newest(content) >= first_that_drops(first):
                self._check_dropped(first, last, bucket, content)

    def _check_dropped(self, first: int, last: int, bucket: Bucket, content: array[int]) -> None:
        """Raise an error for a time range whose polls were dropped for newer ones of a bucket.

        Raises:
            ReportError: some were dropped.
        """
        # hot and warm polls move to a cold bucket later, and would drop the same polls there
        slots = ring_size(bucket) if bucket.cold else self.cold_slots
        weeks_with_polls = [newest(week) // COLD_SPAN for week in parts(content, COLD_SPAN)]
        for week in range(first // COLD_SPAN, last // COLD_SPAN + 1):
            if any(other > week and (other - week) % slots == 0 for other in weeks_with_polls):
                raise ReportError(
                    "the polls of that time are no longer kept: the store has polls more "
                    "than STORE_UPTIME_RETENTION newer"
                )


def first_that_drops(first: int) -> int:
    """Return the earliest time of a poll that may have dropped a poll at `first`; both in µs."""
    return (first // COLD_SPAN + RINGS[0]) * COLD_SPAN


def ring_of_bucket(bucket: Bucket) -> Bucket:
    """Return the bucket that stands for a whole cold ring; a hot or warm one stands for itself."""
    return Bucket(cold=True, slot=ring_size(bucket)) if bucket.cold else bucket


@lru_cache(maxsize=64)
def _ring_for(retention: int) -> int:
    weeks = -(-retention // COLD_SPAN) + 1
    return next(slots for slots in RINGS if slots >= weeks)


@lru_cache(maxsize=4096)
def _cold_bucket(week: int, slots: int) -> Bucket:
    return Bucket(cold=True, slot=slots + week % slots)
