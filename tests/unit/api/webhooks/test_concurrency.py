from __future__ import annotations

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.concurrency import Shares

PARTITIONS = [TopicPartition("webhooks", number) for number in range(2)]


def test_a_place_alone_has_a_tenth_of_the_room() -> None:
    shares = Shares(10_000)
    assert [shares.enter("down") for _ in range(1_001)] == [True] * 1_000 + [False]
    assert shares.enter("up")


def test_however_many_places_are_down_there_is_room_for_one_more() -> None:
    shares = Shares(1_000)
    for place in range(500):
        while shares.enter(f"down{place}"):
            pass
    assert shares.enter("up")
    assert shares.running <= 2_000


def test_who_waits_is_not_overtaken() -> None:
    shares = Shares(9)
    assert shares.enter("a")
    assert not shares.enter("a")
    assert shares.wait("a", PARTITIONS[0], 7)
    shares.leave("a")
    assert not shares.enter("a")
    assert list(shares.admit_waiting()) == [("a", [(PARTITIONS[0], 7)])]
    assert not shares.enter("a"), "its room is taken"


def test_no_more_wait_than_may() -> None:
    shares = Shares(9, most_waiting=2)
    assert [shares.wait("a", PARTITIONS[0], offset) for offset in range(3)] == [True, True, False]
    shares.forget(PARTITIONS[0])
    assert (shares.waiting, shares.crowded()) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "leave", "take", "fail", "forget"]), st.integers(0, 3)),
        max_size=200,
    )
)
def test_none_is_lost_and_none_is_counted_twice(steps: list[tuple[str, int]]) -> None:
    shares = Shares(30, most_waiting=1_000)
    running = dict.fromkeys(range(4), 0)
    waiting: dict[int, list[int]] = {place: [] for place in range(4)}
    for offset, (step, place) in enumerate(steps):
        match step:
            case "come":
                if shares.enter(str(place)):
                    running[place] += 1
                else:
                    assert shares.wait(str(place), PARTITIONS[place % 2], offset)
                    waiting[place].append(offset)
            case "leave" if running[place]:
                shares.leave(str(place))
                running[place] -= 1
            case "take" | "fail":
                for name, taken in shares.admit_waiting():
                    if step == "fail":
                        shares.put_back(name, taken)
                        continue
                    offsets = [found for _, found in taken]
                    assert waiting[int(name)][: len(offsets)] == offsets
                    del waiting[int(name)][: len(offsets)]
                    running[int(name)] += len(offsets)
            case "forget":
                shares.forget(PARTITIONS[place % 2])
                for other in range(place % 2, 4, 2):
                    waiting[other].clear()
        assert shares.running == sum(running.values())
        assert shares.waiting == sum(map(len, waiting.values()))
        assert shares.crowded() == sum(map(bool, waiting.values()))
