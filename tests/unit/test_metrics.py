"""Worker and API share the labels of their metrics."""

from __future__ import annotations

from array import array

import pytest

from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.polls import ahead_of_clock
from stream_app.contracts.topics import STORE_STATUS
from stream_app.domain.poll_buckets import BucketLayout
from stream_app.domain.timestamps import DAY
from stream_app.errors import RecordError
from stream_app.metrics import reason_label

STATUS = STORE_STATUS.name


def class_of(reason: str) -> str:
    return reason_label(DeadLetter({"topic": STATUS, "partition": 1, "offset": 2}, reason, None))


def test_reasons_of_the_product_have_their_classes() -> None:
    ahead = ahead_of_clock(2 * DAY, 0, 0)
    assert ahead is not None
    assert class_of(ahead) == "ahead_of_clock"
    assert class_of(f"1 polls refused: {ahead}") == "ahead_of_clock"
    assert class_of("internal error: KeyError()") == "internal"
    assert class_of("too large to pass on: 1 belongs to partition 2") == "too_large"
    assert class_of("lost: the records of a/1 from offset 3 to 4 were deleted") == "lost"
    assert class_of("not a UUID: 'x'") == "invalid"


def test_too_many_polls_of_a_week_have_their_own_class() -> None:
    polls = array("q", [2000 * DAY << 1, (2000 * DAY + 1) << 1])
    with pytest.raises(RecordError) as rejected:
        list(BucketLayout(400 * DAY)._cold_writes(polls, lambda _: array("q"), max_polls=1))
    assert class_of(str(rejected.value)) == "too_many_polls"
