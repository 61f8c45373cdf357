"""The worker chooses the offset at which it reads a source partition after an assignment."""

from __future__ import annotations

import pytest

from stream_app.contracts.topics import STORE_STATUS
from stream_app.kafka.start_offsets import GroupOffsets
from stream_app.worker.facts.partition_records import SourcePosition
from stream_app.worker.source_positions import source_position, start_offset

POLLS = STORE_STATUS.name


def group(committed: int | None = None, beginning: int = 10, end: int = 100) -> GroupOffsets:
    place = (POLLS, 0)
    return GroupOffsets(
        {} if committed is None else {place: committed},
        {place: beginning},
        {place: end},
        {POLLS: "id"},
    )


def known(offset: int, topic_id: str = "id") -> SourcePosition:
    return SourcePosition(topic_id, offset)


STARTS: dict[str, tuple[SourcePosition | None, GroupOffsets, bool, int]] = {
    "no worker was ever here: from offset 0, and lost records are reported": (
        None,
        group(),
        True,
        0,
    ),
    "an earlier version was here: from the first offset": (None, group(), False, 10),
    "an earlier version committed": (None, group(30), False, 30),
    "a commit and no facts": (None, group(30), True, 30),
    "the position alone": (known(40), group(), False, 40),
    "a commit beyond the position": (known(40), group(60), False, 40),
    "a commit below the position": (known(40), group(20), False, 20),
    "the position at the end": (known(100), group(), False, 100),
    "a position below the beginning: lost records are reported": (known(5), group(), False, 5),
    "a commit below the beginning: what was applied is not lost": (known(40), group(5), False, 10),
    "a commit and a position below the beginning": (known(5), group(3), False, 5),
    "a position beyond the end": (known(101), group(), False, 10),
    "a commit beyond the end": (None, group(101), False, 10),
    "a position beyond the end and a commit within": (known(101), group(60), False, 10),
    "the topic was made anew": (known(40, "another"), group(30), False, 10),
    "the topic was made anew and has outgrown it": (known(40, "another"), group(), False, 10),
    "an id that is not known": (known(40, ""), group(), False, 40),
    "brokers that return no id": (
        known(40),
        GroupOffsets({}, {(POLLS, 0): 10}, {(POLLS, 0): 100}, {}),
        False,
        40,
    ),
}


@pytest.mark.parametrize(
    ("position", "offsets", "first_claim", "start"), STARTS.values(), ids=STARTS
)
def test_a_source_is_read_from_the_offset_that_the_case_names(
    position: SourcePosition | None, offsets: GroupOffsets, first_claim: bool, start: int
) -> None:
    place = (POLLS, 0)
    current = source_position(*place, position, offsets, first_claim=first_claim)
    committed = offsets.committed.get(place)
    assert start_offset(committed, offsets.beginnings[place], current) == start


def test_requests_are_read_from_the_groups_commit_on() -> None:
    assert start_offset(None, 10, None) == 10
    assert start_offset(30, 10, None) == 30


def test_reading_again_from_the_beginning_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    source_position(POLLS, 0, known(101), group(), first_claim=False)
    source_position(POLLS, 0, known(40, "another"), group(), first_claim=False)

    assert caplog.messages == [
        "store-status/0 ends at offset 100 and was read up to 101: it is read from its beginning",
        "store-status was deleted and made anew: it is read from its beginning",
    ]
