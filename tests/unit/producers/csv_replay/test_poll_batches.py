from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from producers.csv_replay.poll_batches import batches, due_count, join_polls
from producers.csv_replay.poll_rows import SCHEMA
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD
from stream_app.domain.timestamps import LATEST, SECOND

IDS = ["store-0", "store-1", "store-2"]
Row = tuple[int, int, bool]


def frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


polls = st.lists(
    st.tuples(
        st.integers(0, 2), st.one_of(st.integers(0, 3), st.integers(0, LATEST - 1)), st.booleans()
    )
)


@given(frames=st.lists(polls, max_size=4))
def test_batches_are_the_different_polls_of_one_store_each_by_time(frames: list[list[Row]]) -> None:
    made = list(batches(join_polls([frame(rows) for rows in frames]), IDS))
    wanted = {(IDS[store], at, up) for rows in frames for store, at, up in rows}
    assert sorted((store, at, up) for store, batch in made for at, up in batch) == sorted(wanted)
    for _, batch in made:
        assert batch == sorted(batch)
    assert len(made) == len({store for store, _, _ in wanted})


def test_a_batch_holds_as_many_polls_as_a_record_may() -> None:
    rows = [(1, at, True) for at in range(2 * MAX_POLLS_PER_RECORD + 3)] + [(0, 5, False)]
    sizes = [(store, len(batch)) for store, batch in batches(join_polls([frame(rows)]), IDS)]
    assert sizes == [
        ("store-0", 1),
        ("store-1", MAX_POLLS_PER_RECORD),
        ("store-1", MAX_POLLS_PER_RECORD),
        ("store-1", 3),
    ]


def test_both_polls_of_a_conflict_are_kept() -> None:
    rows = [(0, 7, True), (0, 7, False), (0, 7, True)]
    assert list(batches(join_polls([frame(rows)]), IDS)) == [("store-0", [(7, False), (7, True)])]


def test_no_polls_give_no_batch() -> None:
    assert list(batches(join_polls([]), [])) == []


def test_a_paced_replay_sends_what_is_due() -> None:
    instants = pl.Series([10 * SECOND, 10 * SECOND, 12 * SECOND, 20 * SECOND])
    assert due_count(instants, elapsed=0.0, speed=1.0) == 2
    assert due_count(instants, elapsed=1.9, speed=1.0) == 2
    assert due_count(instants, elapsed=2.0, speed=1.0) == 3
    assert due_count(instants, elapsed=1.0, speed=10.0) == 4
    assert due_count(pl.Series([], dtype=pl.Int64), elapsed=1.0, speed=1.0) == 0


def test_everything_is_due_at_a_speed_beyond_all_numbers() -> None:
    instants = pl.Series([5, 6, 2**62])
    assert due_count(instants, 0.5, 1e300) == 3
    assert due_count(instants, 0.0, 1e300) == 1
