from __future__ import annotations

import pytest

from producers.csv_replay.summary import KindCount, Summary
from producers.record_sink import SinkCount


def summary(*, rejected: int = 0, acknowledged: int = 10, dead_letters: int = 0) -> Summary:
    made = Summary(
        topics={
            "store-status": SinkCount(
                records=2,
                rows=10,
                acknowledged_records=2,
                acknowledged_rows=acknowledged,
            ),
            "dead-letters": SinkCount(acknowledged_records=dead_letters),
        },
        seconds=2.0,
    )
    made.kinds["polls"] = KindCount(files=1, rows=13 + rejected, duplicates=3, rejected=rejected)
    return made


def test_is_complete_when_every_good_row_was_acknowledged() -> None:
    assert summary().complete
    assert summary(rejected=4, dead_letters=4).complete


@pytest.mark.parametrize(
    "made", [summary(acknowledged=9), summary(rejected=4, dead_letters=3), summary(rejected=4)]
)
def test_is_not_complete_while_anything_lacks_its_acknowledgement(made: Summary) -> None:
    assert not made.complete
    assert list(made.lines())[-1].startswith("not every good row was acknowledged")


def test_is_not_complete_when_it_was_interrupted() -> None:
    made = summary()
    made.interrupted = True
    assert not made.complete
    assert list(made.lines())[-1].startswith("stopped before the end")


def test_shows_a_row_a_kind_that_had_files() -> None:
    header, polls, total = summary(rejected=4, dead_letters=4).lines()
    assert header.split() == ["files", "rows", "acknowledged", "duplicates", "rejected", "records"]
    assert polls.split() == ["polls", "1", "17", "10", "3", "4", "2"]
    assert total == "17 rows in 2.0 s: 8 rows/s"
