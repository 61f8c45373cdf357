"""The next owner of a partition knows which records beyond an incomplete one are complete."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.kafka.offset_tracker import (
    MAX_METADATA_CHARACTERS,
    MAX_METADATA_OFFSETS,
    ResumableOffsetTracker,
)


def test_the_position_waits_for_the_lowest_incomplete_offset() -> None:
    tracker = ResumableOffsetTracker(5)
    assert (tracker.position, tracker.metadata) == (5, "")
    assert all(tracker.start(offset) for offset in (5, 6, 7, 9))
    tracker.complete(6)
    assert (tracker.position, tracker.metadata) == (5, "5:0,2,2")
    tracker.complete(5)
    assert (tracker.position, tracker.metadata) == (7, "3:0,2")
    tracker.complete(7)
    tracker.complete(9)
    assert (tracker.position, tracker.metadata) == (10, "")


def test_the_next_owner_starts_only_the_incomplete_records() -> None:
    tracker = ResumableOffsetTracker(7, "33:0,2")
    assert [offset for offset in range(7, 42) if tracker.start(offset)] == [7, 9, 40, 41]


def test_the_next_owner_commits_what_an_earlier_owner_committed() -> None:
    tracker = ResumableOffsetTracker(7, "33:0,2")
    assert (tracker.position, tracker.metadata) == (7, "33:0,2")
    tracker.start(7)
    assert (tracker.position, tracker.metadata) == (7, "33:0,2")
    tracker.complete(7)
    assert (tracker.position, tracker.metadata) == (9, "31:0")
    tracker.start(9)
    tracker.complete(9)
    assert (tracker.position, tracker.metadata) == (40, "")


@pytest.mark.parametrize(
    "metadata",
    ["", "x", "5", ":", "5:x", "5:1,", "-1:0", "9" * 99 + ":", "5:1x999999", "5:1x", "5:x3"],
)
def test_metadata_that_is_not_understood_is_ignored(metadata: str) -> None:
    tracker = ResumableOffsetTracker(3, metadata)
    assert all(tracker.start(offset) for offset in range(3, 9))


def test_only_the_beginning_of_metadata_that_is_too_long_is_committed() -> None:
    tracker = ResumableOffsetTracker(0)
    opened = {offset for offset in range(10_000) if offset * offset % 7 < 2}
    for offset in range(10_000):
        tracker.start(offset)
        if offset not in opened:
            tracker.complete(offset)
    metadata = tracker.metadata
    assert MAX_METADATA_CHARACTERS - 20 < len(metadata) <= MAX_METADATA_CHARACTERS
    later = ResumableOffsetTracker(0, metadata)
    restarted = [offset for offset in range(10_000) if later.start(offset)]
    assert opened <= set(restarted)
    assert 1000 < 10_000 - len(restarted) < 9_000


@pytest.mark.parametrize("every", [1, 2, 10])
def test_many_incomplete_records_at_regular_distances_are_short_metadata(every: int) -> None:
    """One receiver that is down does not lead to repeated deliveries to the others."""
    tracker = ResumableOffsetTracker(0)
    end = 9_000 * every
    for offset in range(end + 5_000):
        tracker.start(offset)
        if offset >= end or offset % every:
            tracker.complete(offset)
    assert tracker.metadata == f"{end + 5_000}:0,{every}x8999"
    later = ResumableOffsetTracker(0, tracker.metadata)
    assert sum(later.start(offset) for offset in range(end + 5_000)) == 9_000


def test_metadata_is_encoded_again_only_after_a_change() -> None:
    tracker = ResumableOffsetTracker(0)
    tracker.start(0)
    first = tracker.metadata
    assert tracker.metadata is first
    tracker.start(1)
    assert tracker.metadata == "2:0,1"
    tracker.complete(1)
    assert tracker.metadata == "2:0"
    tracker.skip_to(5)
    assert tracker.metadata == "5:0"


def test_no_more_incomplete_offsets_are_committed_than_the_limit() -> None:
    tracker = ResumableOffsetTracker(0)
    for offset in range(MAX_METADATA_OFFSETS + 500):
        tracker.start(offset)
    assert tracker.metadata == f"{MAX_METADATA_OFFSETS}:0,1x{MAX_METADATA_OFFSETS - 1}"


@given(st.integers(0, 10**9), st.data())
def test_any_series_of_owners_completes_all_records_and_repeats_no_committed_one(
    first: int, data: st.DataObject
) -> None:
    end = first + data.draw(st.integers(0, 30))
    offset, metadata = first, ""
    committed_done: set[int] = set()
    for _ in range(4):
        tracker = ResumableOffsetTracker(offset, metadata)
        done = set(committed_done)
        for record in range(offset, data.draw(st.integers(offset, max(offset, end)))):
            if tracker.start(record):
                assert record not in committed_done
                if data.draw(st.booleans()):
                    tracker.complete(record)
                    done.add(record)
        if data.draw(st.booleans()):
            offset, metadata, committed_done = tracker.position, tracker.metadata, done
            assert set(range(first, offset)) <= committed_done
    tracker = ResumableOffsetTracker(offset, metadata)
    for record in range(offset, end):
        if tracker.start(record):
            assert record not in committed_done
            tracker.complete(record)
            committed_done.add(record)
    assert committed_done == set(range(first, end))
    assert (tracker.position, tracker.metadata) == (end, "")
