from __future__ import annotations

from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.concurrency import ConcurrencyLimiter

PARTITIONS = [TopicPartition("webhooks", number) for number in range(2)]


def test_one_receiver_gets_at_most_a_tenth_of_the_room() -> None:
    limiter = ConcurrencyLimiter(10_000)
    assert [limiter.acquire("down") for _ in range(1_001)] == [True] * 1_000 + [False]
    assert limiter.acquire("up")


def test_however_many_receivers_are_down_there_is_room_for_one_more() -> None:
    limiter = ConcurrencyLimiter(1_000)
    for receiver in range(500):
        while limiter.acquire(f"down{receiver}"):
            pass
    assert limiter.acquire("up")
    assert limiter.running <= 2_000


def test_a_deferred_webhook_is_not_overtaken() -> None:
    limiter = ConcurrencyLimiter(9)
    assert limiter.acquire("a")
    assert not limiter.acquire("a")
    assert limiter.defer("a", PARTITIONS[0], 7)
    limiter.release("a")
    assert not limiter.acquire("a")
    assert list(limiter.admit_deferred()) == [("a", [(PARTITIONS[0], 7)])]
    assert not limiter.acquire("a"), "its room is in use"


def test_no_more_webhooks_are_deferred_than_the_limit() -> None:
    limiter = ConcurrencyLimiter(9, max_deferred=2)
    assert [limiter.defer("a", PARTITIONS[0], offset) for offset in range(3)] == [True, True, False]
    limiter.drop_partition(PARTITIONS[0])
    assert (limiter.deferred, limiter.crowded()) == (0, 0)


@given(
    st.lists(
        st.tuples(st.sampled_from(["come", "leave", "take", "fail", "forget"]), st.integers(0, 3)),
        max_size=200,
    )
)
def test_no_webhook_is_lost_and_none_is_counted_twice(steps: list[tuple[str, int]]) -> None:
    limiter = ConcurrencyLimiter(30, max_deferred=1_000)
    running = dict.fromkeys(range(4), 0)
    waiting: dict[int, list[int]] = {receiver: [] for receiver in range(4)}
    for offset, (step, receiver) in enumerate(steps):
        match step:
            case "come":
                if limiter.acquire(str(receiver)):
                    running[receiver] += 1
                else:
                    assert limiter.defer(str(receiver), PARTITIONS[receiver % 2], offset)
                    waiting[receiver].append(offset)
            case "leave" if running[receiver]:
                limiter.release(str(receiver))
                running[receiver] -= 1
            case "take" | "fail":
                for name, admitted in limiter.admit_deferred():
                    if step == "fail":
                        limiter.put_back(name, admitted)
                        continue
                    offsets = [position for _, position in admitted]
                    assert waiting[int(name)][: len(offsets)] == offsets
                    del waiting[int(name)][: len(offsets)]
                    running[int(name)] += len(offsets)
            case "forget":
                limiter.drop_partition(PARTITIONS[receiver % 2])
                for other in range(receiver % 2, 4, 2):
                    waiting[other].clear()
        assert limiter.running == sum(running.values())
        assert limiter.deferred == sum(map(len, waiting.values()))
        assert limiter.crowded() == sum(map(bool, waiting.values()))
