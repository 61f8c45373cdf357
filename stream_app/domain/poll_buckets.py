"""Where the polls of a store are kept: which bucket a batch goes to, which ones a report reads.

A table write costs the same whatever it writes, up to some kilobytes, so a bulk batch should
touch few buckets, and a live ping should rewrite little. Hence three levels, read as one union:

- the **tail**: the few polls that came last, rewritten by every ping.
- the **middle**: where a full tail moves to.
- **cold** buckets of a week, where a full middle moves to, and a batch that is larger than a
  tail goes at once: one write a week that it touches. Slot `week % slots` of a ring longer than
  the retention: a slot's older polls are dropped when much newer ones come in.

The upper levels are bounded by the number of polls, not by time, so that a ping costs nearly
the same bytes whether a store sends one a minute or one an hour. What moves is written to its
new place first, so that a crash between the writes leaves it in both, never in none.

What is kept depends on the set of polls alone, not on their order or batches: a poll is
dropped only where the same cold slot has polls more than the retention newer. `late` tells of a
batch which polls come when that is so already: no report will ever see them.

The retention may be changed on a table that holds polls. Rings come in few sizes, each with
slots of its own; the retention says which one is written, and a report reads all that there are.
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

RINGS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes of the cold rings in weeks; the ring of `n` has the slots `n` to `2 * n - 1`."""

MAX_TAIL_POLLS: Final = 32
"""With these two a minute's ping rewrites about 270 bytes, all levels together: the least there
is for three levels and some ten thousand polls a week."""

MAX_MIDDLE_POLLS: Final = 512

MAX_BATCH_WEEK_POLLS: Final = 7 * 24 * 3600 // 2
"""What batches may fill a week with: one poll every two seconds."""

MAX_WEEK_POLLS: Final = 900_000
"""What a week may hold with all that moves there; a changelog record takes so many."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The place of a set of polls within a store: whether in a cold ring, and its slot."""

    cold: bool
    slot: int


TAIL: Final = Bucket(cold=False, slot=0)
MIDDLE: Final = Bucket(cold=False, slot=1)


@dataclass(frozen=True, slots=True)
class BucketWrite:
    """A bucket's new content.

    Attributes:
        bucket: the bucket.
        polls: all that it holds now.
        expired: how many polls it no longer holds, because there are much newer ones.
    """

    bucket: Bucket
    polls: array[int]
    expired: int = field(default=0, compare=False)


def ring_of(bucket: Bucket) -> int:
    """The size of the ring that a cold bucket belongs to."""
    return 1 << (bucket.slot.bit_length() - 1)


@dataclass(frozen=True, slots=True)
class BucketLayout:
    """The buckets of one deployment.

    Attributes:
        retention: how long polls are kept at least, µs.
        tail: polls that a tail holds.
        middle: polls that a middle holds.
    """

    retention: int
    tail: int = MAX_TAIL_POLLS
    middle: int = MAX_MIDDLE_POLLS

    @property
    def cold_slots(self) -> int:
        """Enough weeks that two of one slot are further apart than the retention."""
        return _ring_for(self.retention)

    def cold_bucket(self, instant: int) -> Bucket:
        """The cold bucket that an instant falls in."""
        return _cold_bucket(instant // COLD_SPAN, self.cold_slots)

    def writes(self, batch: array[int], read: Callable[[Bucket], array[int]]) -> list[BucketWrite]:
        """What adding a batch to a store writes, in the order in which to write it.

        Args:
            batch: polls to add, not empty.
            read: the content of a bucket now.

        Returns:
            the changed buckets only: polls that are there already cost no write, as long as
            the bucket that they would go to has them.

        Raises:
            RecordError: a week would hold more polls than one record can carry.
        """
        if len(batch) > self.tail:
            return list(self._cold_writes(batch, read, MAX_BATCH_WEEK_POLLS))
        there = read(TAIL)
        merged = union(there, batch)
        if merged == there:
            return []
        if len(merged) <= self.tail:
            return [BucketWrite(TAIL, merged)]
        try:
            return [*self._middle_writes(there, read), BucketWrite(TAIL, batch)]
        except RecordError:
            # a week is full beyond all measure: what is there stays, and other weeks go on
            return list(self._cold_writes(batch, read, MAX_BATCH_WEEK_POLLS))

    def late(self, batch: array[int], read: Callable[[Bucket], array[int]]) -> array[int]:
        """The polls of a batch that would be dropped at once, wherever they are put first.

        Args:
            batch: polls to add, not empty.
            read: the content of a bucket now.
        """
        # what the upper levels hold moves to these slots later
        newest_of_slot: dict[Bucket, int] = {}
        for week in parts(union(union(read(TAIL), read(MIDDLE)), batch), COLD_SPAN):
            newest_of_slot[self.cold_bucket(newest(week))] = newest(week)
        found = array("q")
        for week in parts(batch, COLD_SPAN):
            bucket = self.cold_bucket(newest(week))
            there = read(bucket)
            last = max(newest_of_slot[bucket], newest(there) if there else 0)
            found += between(week, 0, last - self.retention - 1)
        return found

    def _middle_writes(
        self, polls: array[int], read: Callable[[Bucket], array[int]]
    ) -> list[BucketWrite]:
        there = read(MIDDLE)
        merged = union(there, polls)
        if merged == there:
            return []
        if len(merged) <= self.middle:
            return [BucketWrite(MIDDLE, merged)]
        return [*self._cold_writes(there, read, MAX_WEEK_POLLS), BucketWrite(MIDDLE, polls)]

    def _cold_writes(
        self, batch: array[int], read: Callable[[Bucket], array[int]], most: int
    ) -> Iterator[BucketWrite]:
        for week in parts(batch, COLD_SPAN):
            bucket = self.cold_bucket(newest(week))
            there = read(bucket)
            both = union(there, week)
            merged = since(both, newest(both) - self.retention)
            if merged != there:
                if len(merged) > most:
                    raise RecordError(f"more than {most} polls of one store in one week")
                yield BucketWrite(bucket, merged, len(both) - len(merged))

    def buckets(self, first: int, last: int, kinds: Iterable[Bucket]) -> list[Bucket]:
        """The buckets that may hold polls in `[first, last]`.

        Args:
            first: µs.
            last: µs.
            kinds: those that a store may have besides this layout's own, as `kind_of` tells them.

        Raises:
            ReportError: that time is longer than what is kept.
        """
        weeks = range(first // COLD_SPAN, last // COLD_SPAN + 1)
        if len(weeks) > self.cold_slots:
            raise ReportError("the time asked for is longer than the retention")
        found = []
        for kind in {TAIL, MIDDLE, Bucket(cold=True, slot=self.cold_slots), *kinds}:
            if kind.cold:
                found += [_cold_bucket(week, kind.slot) for week in weeks]
            else:
                found.append(kind)
        return found

    def all_buckets(self, kinds: Iterable[Bucket]) -> Iterator[Bucket]:
        """Every bucket that may hold polls of a store, of this layout and of these kinds."""
        for kind in {TAIL, MIDDLE, Bucket(cold=True, slot=self.cold_slots), *kinds}:
            if kind.cold:
                ring = ring_of(kind)
                yield from (Bucket(cold=True, slot=slot) for slot in range(ring, 2 * ring))
            else:
                yield kind

    def polls(
        self, first: int, last: int, contents: Iterable[tuple[Bucket, array[int]]]
    ) -> array[int]:
        """Every poll of a store in `[first, last]`.

        Args:
            first: µs.
            last: µs.
            contents: what `buckets` asked for; what is empty may be left out.

        Raises:
            ReportError: some of them have been dropped, because the store has polls more
                than the retention newer.
        """
        found = []
        for bucket, content in contents:
            if not content:
                continue
            if newest(content) // COLD_SPAN - first // COLD_SPAN >= RINGS[0]:
                self._refuse_dropped(first, last, bucket, content)
            inside = between(content, first, last)
            if inside:
                found.append(inside)
        found.sort(key=_first)
        polls = array("q")
        for inside in found:
            polls = union(polls, inside)
        return polls

    def _refuse_dropped(self, first: int, last: int, bucket: Bucket, content: array[int]) -> None:
        """Whether a bucket has polls for which such of that time were dropped."""
        # what has yet to move to a cold bucket would have dropped the same polls
        slots = ring_of(bucket) if bucket.cold else self.cold_slots
        held = [newest(week) // COLD_SPAN for week in parts(content, COLD_SPAN)]
        for week in range(first // COLD_SPAN, last // COLD_SPAN + 1):
            if any(other > week and (other - week) % slots == 0 for other in held):
                raise ReportError(
                    "the polls of that time are no longer kept: the store has polls more "
                    "than STORE_UPTIME_RETENTION newer"
                )


def kind_of(bucket: Bucket) -> Bucket:
    """A bucket that stands for all of its ring; one that is in no ring stands for itself."""
    return Bucket(cold=True, slot=ring_of(bucket)) if bucket.cold else bucket


@lru_cache(maxsize=64)
def _ring_for(retention: int) -> int:
    weeks = -(-retention // COLD_SPAN) + 1
    return next(slots for slots in RINGS if slots >= weeks)


@lru_cache(maxsize=4096)
def _cold_bucket(week: int, slots: int) -> Bucket:
    return Bucket(cold=True, slot=slots + week % slots)


def _first(polls: array[int]) -> int:
    return polls[0]
