from __future__ import annotations

import polars as pl

from producers.csv_replay.poll_batches import join_polls, pack
from producers.csv_replay.poll_rows import SCHEMA
from producers.csv_replay.retention import OldPolls


def window(*polls: tuple[int, int]) -> pl.DataFrame:
    frame = pl.DataFrame([(store, at, True) for store, at in polls], schema=SCHEMA, orient="row")
    return join_polls([pack(frame)])


def test_polls_older_than_the_retention_are_counted() -> None:
    old = OldPolls(100)
    old.add(window((0, 0), (0, 99), (0, 200), (1, 0), (1, 100), (2, 5)))
    assert old.counts(["a", "b", "c"]) == {"a": 2}


def test_a_later_window_knows_the_newest_poll_of_an_earlier_one() -> None:
    old = OldPolls(100)
    old.add(window((0, 500)))
    old.add(window((0, 399), (0, 400), (1, 1)))
    old.add(window())
    old.add(window((1, 102), (0, 1)))
    assert old.counts(["a", "b"]) == {"a": 2}
