"""Where the polls of a store are kept: which bucket a batch goes to, which ones a report reads.

A table write costs the same whatever it writes, up to some kilobytes, so a bulk batch
should touch few buckets and a live ping should rewrite little. Hence two sizes, read as
one union:

- **cold** buckets of a week. A batch that spans more than one hot bucket goes there: one
  write a week that it touches. Slot `week % slots` of a ring longer than the retention: a
  slot's older polls are dropped when much newer ones come in, and no key is ever deleted
  (a table's changelog must not end with a tombstone).
- **hot** buckets of six hours, a ring of five. A ping rewrites at most six hours. When its
  slot is taken by a newer bucket, or is full, the polls that were there move to the cold one
  first, so that a crash between the two writes leaves them in both, never in none.

What is kept depends on the set of polls alone, not on their order or batches: a poll is
dropped only where the same cold slot has polls more than the retention newer.

The retention may be changed on a table that holds polls. Rings come in few sizes, each with
slots of its own; the retention says which one is written, and a report reads them all.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Final

from stream_app.domain.instants import HOUR, WEEK
from stream_app.domain.polls import between, newest, since, union
from stream_app.errors import RecordError, ReportError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HOT_SPAN: Final = 6 * HOUR
HOT_SLOTS: Final = 5
COLD_SPAN: Final = WEEK

RINGS: Final = (4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Sizes of the cold rings in weeks; the ring of `n` has the slots `n` to `2 * n - 1`."""

MAX_HOT_POLLS: Final = 6 * 3600
"""One poll a second: a hot bucket is rewritten by every ping. A full one moves to its week."""

MAX_COLD_POLLS: Final = 7 * 24 * 3600 // 2
"""What batches may fill a week with. Hot buckets that move in come on top, since one that could
not move would block its slot for ever: `COLD_SPAN // HOT_SPAN` of them still fit the record."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """The place of a set of polls within a store: its ring and its slot."""

    cold: bool
    slot: int


@dataclass(frozen=True, slots=True)
class BucketWrite:
    """A bucket's new content."""

    bucket: Bucket
    polls: array[int]


@dataclass(frozen=True, slots=True)
class BucketLayout:
    """The rings of one deployment; `retention` in microseconds."""

    retention: int

    @property
    def cold_slots(self) -> int:
        """Enough weeks that two of one slot are further apart than the retention."""
        weeks = -(-self.retention // COLD_SPAN) + 1
        return next(slots for slots in RINGS if slots >= weeks)

    def hot_bucket(self, instant: int) -> Bucket:
        """The hot bucket that an instant falls in."""
        return Bucket(cold=False, slot=instant // HOT_SPAN % HOT_SLOTS)

    def cold_bucket(self, instant: int) -> Bucket:
        """The cold bucket that an instant falls in."""
        return _cold_bucket(instant // COLD_SPAN, self.cold_slots)

    def writes(self, batch: array[int], read: Callable[[Bucket], array[int]]) -> list[BucketWrite]:
        """What adding a batch to a store writes, in the order in which to write it.

        Args:
            batch: polls to add, not empty.
            read: the content of a bucket now.

        Returns:
            the changed buckets only: polls that are there already cost no write.

        Raises:
            RecordError: a bucket would hold more polls than one record can carry.
        """
        one_span = batch[0] >> 1 >= newest(batch) // HOT_SPAN * HOT_SPAN
        if one_span and len(batch) <= MAX_HOT_POLLS:
            return self._hot_writes(batch, read)
        return list(self._cold_writes(batch, read, MAX_COLD_POLLS))

    def _hot_writes(
        self, batch: array[int], read: Callable[[Bucket], array[int]]
    ) -> list[BucketWrite]:
        bucket = self.hot_bucket(newest(batch))
        there = read(bucket)
        if not there:
            return [BucketWrite(bucket, batch)]
        age = newest(batch) // HOT_SPAN - newest(there) // HOT_SPAN
        if age < 0:
            return list(self._cold_writes(batch, read, MAX_COLD_POLLS))
        if age > 0:
            return [*self._cold_writes(there, read, None), BucketWrite(bucket, batch)]
        merged = union(there, batch)
        if merged == there:
            return []
        if len(merged) > MAX_HOT_POLLS:
            return [*self._cold_writes(there, read, MAX_COLD_POLLS), BucketWrite(bucket, batch)]
        return [BucketWrite(bucket, merged)]

    def _cold_writes(
        self, batch: array[int], read: Callable[[Bucket], array[int]], most: int | None
    ) -> Iterator[BucketWrite]:
        for _, polls in groupby(batch, key=lambda poll: (poll >> 1) // COLD_SPAN):
            week = array("q", polls)
            bucket = self.cold_bucket(newest(week))
            there = read(bucket)
            merged = union(there, week)
            merged = since(merged, newest(merged) - self.retention)
            if merged != there:
                if most is not None and len(merged) > most:
                    raise RecordError(f"more than {most} polls of one store in one week")
                yield BucketWrite(bucket, merged)

    def polls(self, first: int, last: int, read: Callable[[Bucket], array[int]]) -> array[int]:
        """Every poll of a store in `[first, last]`.

        Raises:
            ReportError: some of them have been dropped, because the store has polls more
                than the retention newer.
        """
        hot = [read(Bucket(cold=False, slot=slot)) for slot in range(HOT_SLOTS)]
        found = array("q")
        weeks = range(first // COLD_SPAN, last // COLD_SPAN + 1)
        if len(weeks) > self.cold_slots:
            raise ReportError("the time asked for is longer than the retention")
        for week in weeks:
            # what is still hot would have dropped the same polls, had it moved already
            _refuse_dropped(week, self.cold_slots, *hot)
            for slots in RINGS:
                content = read(_cold_bucket(week, slots))
                _refuse_dropped(week, slots, content)
                found = union(found, content)
        for content in hot:
            found = union(found, content)
        return between(found, first, last)


def _cold_bucket(week: int, slots: int) -> Bucket:
    return Bucket(cold=True, slot=slots + week % slots)


def _refuse_dropped(week: int, slots: int, *contents: array[int]) -> None:
    for content in contents:
        if not content:
            continue
        newest_week = newest(content) // COLD_SPAN
        if newest_week > week and (newest_week - week) % slots == 0:
            raise ReportError(
                "the polls of that time are no longer kept: the store has polls more "
                "than STORE_UPTIME_RETENTION newer"
            )
