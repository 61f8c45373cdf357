"""Partitions are assigned evenly, each to the worker with the best copy of its facts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiokafka.coordinator.protocol import (
    ConsumerProtocolMemberAssignment,
    ConsumerProtocolMemberMetadata,
)
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.topics import CONSUMED_TOPICS, REPORT_REQUESTS, STORE_STATUS
from stream_app.worker.assignor import Copy, StatefulAssignor, share_out, standbys_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.worker.assignor import Copies

workers = st.sampled_from([f"worker-{number}" for number in range(7)])
copies = st.dictionaries(
    st.integers(0, 25), st.builds(Copy, st.integers(0, 3), st.booleans()), max_size=20
)
groups = st.dictionaries(workers, copies, min_size=1, max_size=6)


# -- owners


@given(st.integers(0, 20), groups)
def test_every_partition_has_one_owner_and_shares_differ_by_one_at_the_most(
    count: int, held: dict[str, Copies]
) -> None:
    owners = share_out(range(count), held)

    assert sorted(p for owned in owners.values() for p in owned) == list(range(count))
    assert set(owners) == set(held)
    sizes = [len(owned) for owned in owners.values()]
    assert max(sizes) - min(sizes) <= 1
    assert all(owned == sorted(owned) for owned in owners.values())


@given(st.integers(0, 20), groups)
def test_every_leader_of_the_group_assigns_the_same(count: int, held: dict[str, Copies]) -> None:
    again = dict(reversed(list(held.items())))

    assert share_out(range(count), held) == share_out(reversed(range(count)), again)


@given(st.integers(1, 20), st.integers(1, 6))
def test_owners_keep_their_partitions_where_nobody_came_or_went(count: int, members: int) -> None:
    before = share_out(range(count), {f"worker-{number}": {} for number in range(members)})
    held = {worker: {p: Copy(9, owned=True) for p in owned} for worker, owned in before.items()}

    assert share_out(range(count), held) == before


@given(st.integers(1, 20), st.integers(1, 6))
def test_a_worker_that_joins_takes_its_share_and_nothing_else_moves(
    count: int, members: int
) -> None:
    before = share_out(range(count), {f"worker-{number}": {} for number in range(members)})
    held: dict[str, Copies] = {
        worker: {p: Copy(9, owned=True) for p in owned} for worker, owned in before.items()
    }
    held["newcomer"] = {}

    after = share_out(range(count), held)

    moved = [p for worker in before for p in before[worker] if p not in after[worker]]
    assert sorted(moved) == sorted(after["newcomer"])
    assert len(moved) == count // (members + 1)


@given(st.integers(1, 20), st.integers(2, 6))
def test_when_a_worker_leaves_only_its_own_partitions_move(count: int, members: int) -> None:
    before = share_out(range(count), {f"worker-{number}": {} for number in range(members)})
    held = {worker: {p: Copy(9, owned=True) for p in owned} for worker, owned in before.items()}
    del held["worker-0"]

    after = share_out(range(count), held)

    for worker in held:
        assert set(before[worker]) <= set(after[worker])


@pytest.mark.parametrize(
    ("one", "two", "owner"),
    [
        (Copy(5), Copy(9), "two"),
        (Copy(9), Copy(5, owned=True), "one"),
        (Copy(9), Copy(9, owned=True), "two"),
        (Copy(9, owned=True), Copy(9), "one"),
        (Copy(9), Copy(9), "one"),
    ],
)
def test_the_best_copy_is_the_owner(one: Copy, two: Copy, owner: str) -> None:
    owners = share_out([3], {"one": {3: one}, "two": {3: two}})

    assert owners[owner] == [3]


def test_a_worker_that_comes_back_after_a_stop_has_its_partitions_again() -> None:
    held: dict[str, Copies] = {
        "old": {p: Copy(80) for p in (0, 1, 2, 3)},
        "stayed": {p: Copy(90 if p > 3 else 20, owned=True) for p in range(8)},
    }

    assert share_out(range(8), held) == {"old": [0, 1, 2, 3], "stayed": [4, 5, 6, 7]}


def test_a_worker_with_copies_of_all_partitions_gets_no_more_than_its_share() -> None:
    everything = {p: Copy(9, owned=True) for p in range(8)}

    owners = share_out(range(8), {"all": everything, "none": {}, "nor this": {}})

    assert sorted(len(owned) for owned in owners.values()) == [2, 3, 3]
    assert len(owners["all"]) == 3


def test_without_workers_there_are_no_owners() -> None:
    assert share_out(range(8), {}) == {}


# -- standbys


@given(st.integers(0, 20), groups, st.integers(0, 3))
def test_each_partition_has_its_standbys_and_none_is_its_owner(
    count: int, held: dict[str, Copies], standbys: int
) -> None:
    owners = share_out(range(count), held)

    standby_partitions = standbys_of(owners, held, standbys)

    assert set(standby_partitions) == set(held)
    for partition in range(count):
        (owner,) = [worker for worker, owned in owners.items() if partition in owned]
        standby_workers = [
            worker for worker, partitions in standby_partitions.items() if partition in partitions
        ]
        assert owner not in standby_workers
        assert len(standby_workers) == min(standbys, len(held) - 1)


def test_a_worker_with_a_copy_stays_the_standby() -> None:
    owners = {"one": [0, 1], "two": [2, 3], "three": [4, 5]}
    held: dict[str, Copies] = {
        "one": {p: Copy(9) for p in (0, 1, 2, 3)},
        "two": {p: Copy(9) for p in (2, 3, 4, 5)},
        "three": {p: Copy(9) for p in (4, 5, 0, 1)},
    }

    assert standbys_of(owners, held, 1) == {"one": {2, 3}, "two": {4, 5}, "three": {0, 1}}


def test_the_worker_with_the_better_of_two_copies_becomes_the_standby() -> None:
    held: dict[str, Copies] = {"owner": {0: Copy(9)}, "a": {0: Copy(2)}, "b": {0: Copy(8)}}

    assert standbys_of({"owner": [0], "a": [], "b": []}, held, 1)["b"] == {0}


def test_copies_are_spread_over_the_workers() -> None:
    owners: dict[str, list[int]] = {"one": list(range(8)), "two": [], "three": []}

    partitions = standbys_of(owners, {worker: {} for worker in owners}, 1)

    assert [len(partitions[worker]) for worker in owners] == [0, 4, 4]


# -- the group's protocol


class Cluster:
    """Topics with their partitions."""

    def __init__(self, **counts: int) -> None:
        self.counts = {spec.name: 8 for spec in CONSUMED_TOPICS} | counts

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        count = self.counts.get(topic)
        return None if count is None else set(range(count))


class Worker:
    """An assignor of a worker with copies; `standby` has its standby partitions."""

    def __init__(self, held: Copies | None = None, standbys: int = 0, partitions: int = 8) -> None:
        self.standby: list[frozenset[int]] = []
        self.assignor = StatefulAssignor(
            partitions, lambda: held or {}, standbys, self.standby.append
        )

    def metadata(self) -> Any:
        metadata = self.assignor.metadata({spec.name for spec in CONSUMED_TOPICS})
        return ConsumerProtocolMemberMetadata.decode(metadata.encode())


def assigned(assignment: Mapping[str, Any], worker: str) -> dict[str, list[int]]:
    return dict(ConsumerProtocolMemberAssignment.decode(assignment[worker].encode()).assignment)


def test_each_worker_is_assigned_its_partitions_of_all_topics() -> None:
    one = Worker({p: Copy(5, owned=True) for p in (1, 3, 5, 7)}, standbys=1)
    two = Worker({0: Copy(900)}, standbys=1)
    members = {"one": one.metadata(), "two": two.metadata()}

    assignment = one.assignor.assign(Cluster(), members)

    topics = {spec.name for spec in CONSUMED_TOPICS}
    assert assigned(assignment, "one") == {topic: [1, 3, 5, 7] for topic in topics}
    assert assigned(assignment, "two") == {topic: [0, 2, 4, 6] for topic in topics}
    two.assignor.on_assignment(assignment["two"])
    assert two.standby == [frozenset({1, 3, 5, 7})]


def test_without_the_setting_standby_no_worker_is_a_standby() -> None:
    worker = Worker()

    assignment = worker.assignor.assign(Cluster(), {"one": worker.metadata()})

    worker.assignor.on_assignment(assignment["one"])
    assert worker.standby == [frozenset()]


def test_all_partitions_of_a_topic_that_has_fewer_are_assigned() -> None:
    worker = Worker()

    assignment = worker.assignor.assign(
        Cluster(**{STORE_STATUS.name: 3}), {"one": worker.metadata()}
    )

    assert assigned(assignment, "one")[STORE_STATUS.name] == [0, 1, 2]
    assert assigned(assignment, "one")[REPORT_REQUESTS.name] == list(range(8))


def test_a_partition_that_somebody_added_to_a_topic_has_no_owner() -> None:
    worker = Worker(partitions=6)

    assignment = worker.assignor.assign(Cluster(), {"one": worker.metadata()})

    assert assigned(assignment, "one")[STORE_STATUS.name] == list(range(6))


def test_a_topic_that_the_brokers_do_not_know_yet_is_assigned_to_nobody() -> None:
    worker = Worker()
    cluster = Cluster()
    cluster.counts = {}

    assignment = worker.assignor.assign(cluster, {"one": worker.metadata()})

    assert set(map(tuple, assigned(assignment, "one").values())) == {()}


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["held", "standby", "1", "x", "-1"]), inner, max_size=3)
    ),
    max_leaves=8,
)


def json_of(value: Any) -> bytes:
    import json  # noqa: PLC0415  unlike orjson it writes huge numbers and NaN

    return json.dumps(value).encode()


@given(st.none() | st.binary(max_size=20) | anything.map(json_of))
def test_whatever_user_data_a_member_sends_all_partitions_have_an_owner(
    user_data: bytes | None,
) -> None:
    worker = Worker(standbys=1)
    stranger = SimpleNamespace(subscription=[REPORT_REQUESTS.name], user_data=user_data)

    assignment = worker.assignor.assign(Cluster(), {"ours": worker.metadata(), "other": stranger})

    owned = [assigned(assignment, name)[REPORT_REQUESTS.name] for name in ("ours", "other")]
    assert sorted(owned[0] + owned[1]) == list(range(8))
    assert {len(owned[0]), len(owned[1])} == {4}


@pytest.mark.parametrize(
    "user_data",
    [
        b'{"held":{"1":[1e999,true]}}',
        b'{"held":{"1":[NaN,true]}}',
        b'{"held":{"1":["x",true]}}',
        b'{"held":{"1":5}}',
        b'{"held":[1,2]}',
        b'{"held":null}',
        b"[" * 2000,
        b"null",
    ],
)
def test_invalid_user_data_counts_as_no_copies(user_data: bytes) -> None:
    worker = Worker({0: Copy(1)})
    stranger = SimpleNamespace(subscription=[REPORT_REQUESTS.name], user_data=user_data)

    assignment = worker.assignor.assign(
        Cluster(**{REPORT_REQUESTS.name: 1}), {"ours": worker.metadata(), "other": stranger}
    )

    assert assigned(assignment, "ours")[REPORT_REQUESTS.name] == [0]


@given(st.none() | st.binary(max_size=20) | anything.map(json_of))
def test_whatever_user_data_a_leader_sends_the_standby_has_partition_numbers_alone(
    user_data: bytes | None,
) -> None:
    worker = Worker()

    worker.assignor.on_assignment(SimpleNamespace(user_data=user_data))

    (partitions,) = worker.standby
    assert all(type(partition) is int and partition >= 0 for partition in partitions)


def test_the_standby_partitions_in_an_assignment_are_read() -> None:
    worker = Worker()

    worker.assignor.on_assignment(SimpleNamespace(user_data=orjson.dumps({"standby": [4, 1]})))

    assert worker.standby == [frozenset({1, 4})]
