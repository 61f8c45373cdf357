from __future__ import annotations

from uuid import UUID

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from producers.csv_replay.poll_batches import (
    PART_POLLS,
    batches,
    due_count,
    join_part,
    join_polls,
    pack,
    part_count,
)
from producers.csv_replay.poll_rows import SCHEMA
from stream_app.contracts.polls import MAX_POLLS_PER_RECORD, decode_poll_batch
from stream_app.domain.timestamps import LATEST, SECOND

IDS = [str(UUID(int=number)) for number in range(3)]
Row = tuple[int, int, bool]


def frame(rows: list[Row]) -> pl.DataFrame:
    return pack(pl.DataFrame(rows, schema=SCHEMA, orient="row"))


polls = st.lists(
    st.tuples(
        st.integers(0, 2), st.one_of(st.integers(0, 3), st.integers(0, LATEST - 1)), st.booleans()
    )
)


def decoded(polls: pl.DataFrame) -> list[tuple[str, list[tuple[int, bool]]]]:
    """Return the store and the polls of each record."""
    made = []
    for store_id, value, count in batches(polls, IDS):
        batch, rejected = decode_poll_batch(value)
        assert (batch.store_id, rejected, len(batch.polls)) == (store_id, [], count)
        made.append((store_id, batch.polls))
    return made


@given(frames=st.lists(polls, max_size=4))
def test_batches_are_the_different_polls_of_one_store_each_by_time(frames: list[list[Row]]) -> None:
    made = decoded(join_polls([frame(rows) for rows in frames]))
    expected = {(IDS[store], at, up) for rows in frames for store, at, up in rows}
    assert sorted((store, at, up) for store, batch in made for at, up in batch) == sorted(expected)
    for _, batch in made:
        assert batch == sorted(batch)
    # an instant is in a record once
    instants = {(store, at) for store, at, _ in expected}
    in_doubt = {(s, at) for s, at in instants if {(s, at, False), (s, at, True)} <= expected}
    assert len(made) == len({store for store, _ in instants}) + len({s for s, _ in in_doubt})


@given(
    frames=st.lists(
        st.lists(st.tuples(st.integers(0, 20), st.integers(0, 3), st.booleans())), max_size=4
    ),
    parts=st.integers(1, 5),
)
def test_the_parts_have_the_polls_of_the_whole_and_no_store_in_common(
    frames: list[list[Row]], parts: int
) -> None:
    packed = [frame(rows) for rows in frames]
    joined = [join_part(packed, part, parts) for part in range(parts)]
    assert pl.concat(joined).sort("store", "poll").equals(join_polls(packed).sort("store", "poll"))
    stores = [store for part in joined for store in part["store"].unique().to_list()]
    assert len(stores) == len(set(stores))


def test_polls_are_joined_at_once_unless_they_are_many() -> None:
    assert [part_count(polls) for polls in (0, 1, PART_POLLS, PART_POLLS + 1)] == [1, 1, 1, 2]


def test_a_batch_holds_as_many_polls_as_a_record_may() -> None:
    rows = [(1, at, True) for at in range(2 * MAX_POLLS_PER_RECORD + 3)] + [(0, 5, False)]
    sizes = [(store, len(batch)) for store, batch in decoded(join_polls([frame(rows)]))]
    assert sizes == [
        (IDS[0], 1),
        (IDS[1], MAX_POLLS_PER_RECORD),
        (IDS[1], MAX_POLLS_PER_RECORD),
        (IDS[1], 3),
    ]


def test_a_part_of_the_polls_gives_the_batches_of_that_part() -> None:
    """A column that is a part of another one, or of several, has its own bytes."""
    rows = [(store, at, at % 2 > 0) for store in range(3) for at in range(9)]
    polls = join_polls([frame(rows)])
    expected = [(IDS[1], [(at, at % 2 > 0) for at in range(3, 9)])]
    assert decoded(polls.slice(12, 6)) == expected
    assert decoded(pl.concat([polls.slice(12, 2), polls.slice(14, 4)], rechunk=False)) == expected


def test_both_polls_of_a_conflict_are_kept() -> None:
    rows = [(0, 7, True), (0, 7, False), (0, 7, True)]
    assert decoded(join_polls([frame(rows)])) == [(IDS[0], [(7, False)]), (IDS[0], [(7, True)])]


def test_no_polls_give_no_batch() -> None:
    assert list(batches(join_polls([]), [])) == []


def packed(*instants: int) -> pl.Series:
    return pl.Series([instant << 1 | 1 for instant in instants], dtype=pl.Int64)


def test_a_paced_replay_sends_what_is_due() -> None:
    polls = packed(10 * SECOND, 10 * SECOND, 12 * SECOND, 20 * SECOND)
    assert due_count(polls, elapsed=0.0, speed=1.0) == 2
    assert due_count(polls, elapsed=1.9, speed=1.0) == 2
    assert due_count(polls, elapsed=2.0, speed=1.0) == 3
    assert due_count(polls, elapsed=1.0, speed=10.0) == 4
    assert due_count(packed(), elapsed=1.0, speed=1.0) == 0


def test_everything_is_due_at_a_speed_beyond_all_numbers() -> None:
    polls = packed(5, 6, LATEST - 1)
    assert due_count(polls, 0.5, 1e300) == 3
    assert due_count(polls, 0.0, 1e300) == 1
