"""An end offset counts only from the leader of the newest epoch that a majority knows of."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from stream_app.errors import BrokerUnavailableError
from stream_app.kafka import offsets as module
from stream_app.kafka.offsets import EndOffsetFetcher
from stream_app.kafka.protocol import EndOffsetsRequest, LeadersRequest, PartitionLeader
from tests.agent_fakes import settings_with

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

POLLS = TopicPartition("polls", 0)
HOURS = TopicPartition("hours", 0)
UNKNOWN_EPOCH = 75
FENCED_EPOCH = 74


class Broker:
    """One broker, with the leaders and the end offsets that it knows.

    Attributes:
        leaders: leader and epoch of each partition, as far as this broker knows.
        ends: the end offsets of the partitions that it has a copy of.
        awake: not set while it answers nothing, as a frozen broker does.
        error: raised by every request.
        hidden: the topics that this client may not see.
        requests: the number of requests, by kind.
    """

    def __init__(self, node: int, replicas: tuple[int, ...]) -> None:
        self.node = node
        self.replicas = replicas
        self.leaders: dict[TopicPartition, tuple[int, int]] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.awake = asyncio.Event()
        self.awake.set()
        self.error: Exception | None = None
        self.hidden: set[str] = set()
        self.requests: dict[str, int] = {"ends": 0, "leaders": 0}

    async def answer(self, request: Any) -> Any:
        kind = "ends" if isinstance(request, EndOffsetsRequest) else "leaders"
        self.requests[kind] += 1
        await self.awake.wait()
        if self.error is not None:
            raise self.error
        if isinstance(request, LeadersRequest):
            return SimpleNamespace(API_KEY=3, topics=list(self._topics(request._topics)))
        return SimpleNamespace(
            API_KEY=2,
            topics=[
                (topic, [self._end((topic, number), epoch) for number, epoch in numbers.items()])
                for topic, numbers in request._epochs.items()
            ],
        )

    def _topics(self, names: list[str]) -> Any:
        for name in names:
            known = {
                number: PartitionLeader(node, epoch, self.replicas)
                for (topic, number), (node, epoch) in self.leaders.items()
                if topic == name
            }
            hidden = name in self.hidden
            code = TopicAuthorizationFailedError.errno if hidden else 0
            yield code, name, False, {} if hidden else known

    def _end(self, partition: TopicPartition, epoch: int) -> tuple[int, int, int, int, int]:
        node, own = self.leaders[partition]
        code = 0 if (node, own) == (self.node, epoch) else FENCED_EPOCH
        code = UNKNOWN_EPOCH if epoch > own else code
        return partition[1], code, -1, self.ends[partition] if code == 0 else -1, epoch


class Cluster:
    """Brokers behind aiokafka's client."""

    def __init__(self, count: int, leaders: dict[TopicPartition, int]) -> None:
        nodes = tuple(range(1, count + 1))
        self.brokers = {node: Broker(node, nodes) for node in nodes}
        for partition, leader in leaders.items():
            self.elect(leader, 1, partition, heard_by=nodes)
            for broker in self.brokers.values():
                broker.ends[partition] = 10

    def elect(
        self, leader: int, epoch: int, partition: TopicPartition, *, heard_by: tuple[int, ...]
    ) -> None:
        for node in heard_by:
            self.brokers[node].leaders[partition] = (leader, epoch)

    def client(self, **_: Any) -> Any:
        async def bootstrap() -> None:
            pass

        async def close() -> None:
            pass

        return SimpleNamespace(
            bootstrap=bootstrap,
            close=close,
            send=lambda node, request: self.brokers[node].answer(request),
            force_metadata_update=lambda: None,
            cluster=SimpleNamespace(
                brokers=lambda: [SimpleNamespace(nodeId=node) for node in self.brokers]
            ),
        )


class Harness:
    """End offsets of a cluster that a test changes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.setattr(module, "_RETRY_SECONDS", 0.001)
        monkeypatch.setattr(module, "_PATIENCE_SECONDS", 0.02)
        self.ends = EndOffsetFetcher(settings_with())

    async def start(self, cluster: Cluster) -> None:
        self._patch.setattr(module, "AIOKafkaClient", cluster.client)
        await self.ends.start()

    async def start_three(self) -> Cluster:
        """Start three brokers, of which the first leads the polls; fetch an end offset once."""
        cluster = Cluster(3, {POLLS: 1})
        await self.start(cluster)
        assert await self.ends.fetch([POLLS]) == {POLLS: 10}
        return cluster


@pytest.fixture
async def harness(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Harness]:
    made = Harness(monkeypatch)
    yield made
    await made.ends.stop()


async def test_the_leaders_answer_with_the_end_offsets_of_their_partitions(
    harness: Harness,
) -> None:
    cluster = Cluster(3, {POLLS: 1, HOURS: 2})
    cluster.brokers[1].ends[POLLS] = 42
    cluster.brokers[2].ends[HOURS] = 7
    await harness.start(cluster)
    assert await harness.ends.fetch([POLLS, HOURS, POLLS]) == {POLLS: 42, HOURS: 7}


async def test_a_former_leader_that_has_been_away_is_not_believed(
    harness: Harness,
) -> None:
    cluster = await harness.start_three()
    # the others elect another leader, which acknowledges records; broker 1 has not heard of it
    cluster.elect(2, 2, POLLS, heard_by=(2, 3))
    cluster.brokers[2].ends[POLLS] = 15
    assert await harness.ends.fetch([POLLS]) == {POLLS: 15}


async def test_a_former_leader_is_not_believed_before_a_majority_has_answered(
    harness: Harness,
) -> None:
    cluster = await harness.start_three()
    cluster.elect(2, 2, POLLS, heard_by=(2, 3))
    cluster.brokers[2].ends[POLLS] = 15
    for node in (2, 3):
        cluster.brokers[node].awake.clear()
    asking = asyncio.create_task(harness.ends.fetch([POLLS]))
    await asyncio.sleep(0.1)
    assert not asking.done(), "one broker of three is no majority"
    for node in (2, 3):
        cluster.brokers[node].awake.set()
    assert await asking == {POLLS: 15}


async def test_a_frozen_leader_is_waited_for_only_until_another_one_is_elected(
    harness: Harness,
) -> None:
    cluster = await harness.start_three()
    cluster.brokers[1].awake.clear()
    asking = asyncio.create_task(harness.ends.fetch([POLLS]))
    await asyncio.sleep(0.1)
    assert not asking.done()
    cluster.elect(3, 2, POLLS, heard_by=(2, 3))
    cluster.brokers[3].ends[POLLS] = 12
    assert await asking == {POLLS: 12}, "broker 1 is still frozen"


async def test_a_frozen_broker_that_leads_nothing_delays_no_answer(harness: Harness) -> None:
    cluster = Cluster(3, {POLLS: 1})
    await harness.start(cluster)
    cluster.brokers[3].awake.clear()
    assert await harness.ends.fetch([POLLS]) == {POLLS: 10}


async def test_a_lost_broker_that_leads_nothing_delays_no_answer(harness: Harness) -> None:
    cluster = Cluster(3, {POLLS: 1})
    await harness.start(cluster)
    cluster.brokers[3].error = KafkaConnectionError("gone")
    assert await harness.ends.fetch([POLLS]) == {POLLS: 10}


async def test_two_lost_brokers_of_three_leave_no_answer(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LIMIT_SECONDS", 0.1)
    cluster = await harness.start_three()
    for node in (2, 3):
        cluster.brokers[node].error = KafkaConnectionError("gone")
    with pytest.raises(BrokerUnavailableError):
        await harness.ends.fetch([POLLS])


async def test_a_leader_that_changes_while_nobody_leads_is_asked_once_it_is_elected(
    harness: Harness,
) -> None:
    cluster = await harness.start_three()
    cluster.elect(-1, 2, POLLS, heard_by=(1, 2, 3))
    asking = asyncio.create_task(harness.ends.fetch([POLLS]))
    await asyncio.sleep(0.05)
    assert not asking.done()
    cluster.elect(2, 3, POLLS, heard_by=(1, 2, 3))
    assert await asking == {POLLS: 10}


async def test_a_topic_that_was_deleted_and_created_again_begins_with_a_lower_epoch(
    harness: Harness,
) -> None:
    cluster = Cluster(3, {POLLS: 1})
    cluster.elect(1, 9, POLLS, heard_by=(1, 2, 3))
    await harness.start(cluster)
    await harness.ends.fetch([POLLS])
    cluster.elect(2, 0, POLLS, heard_by=(1, 2, 3))
    cluster.brokers[2].ends[POLLS] = 1
    assert await harness.ends.fetch([POLLS]) == {POLLS: 1}


async def test_the_only_broker_is_asked_one_question(harness: Harness) -> None:
    cluster = Cluster(1, {POLLS: 1})
    await harness.start(cluster)
    await harness.ends.fetch([POLLS])
    before = dict(cluster.brokers[1].requests)
    for _ in range(5):
        await harness.ends.fetch([POLLS])
    assert cluster.brokers[1].requests == {"ends": before["ends"] + 5, "leaders": before["leaders"]}


async def test_the_only_replica_is_found_after_it_has_moved(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LIMIT_SECONDS", 0.5)
    cluster = Cluster(2, {POLLS: 1})
    for broker in cluster.brokers.values():
        broker.replicas = (1,)
    await harness.start(cluster)
    assert await harness.ends.fetch([POLLS]) == {POLLS: 10}
    cluster.brokers[1].error = KafkaConnectionError("gone")
    cluster.brokers[2].replicas = (2,)
    cluster.elect(2, 2, POLLS, heard_by=(2,))
    cluster.brokers[2].ends[POLLS] = 11
    assert await harness.ends.fetch([POLLS]) == {POLLS: 11}


async def test_a_topic_that_a_client_may_not_see_is_an_error_at_once(harness: Harness) -> None:
    cluster = Cluster(3, {POLLS: 1})
    for broker in cluster.brokers.values():
        broker.hidden.add("polls")
    await harness.start(cluster)
    with pytest.raises(BrokerUnavailableError, match="does not let"):
        await harness.ends.fetch([POLLS])


async def test_a_frozen_broker_is_not_asked_for_ever(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAX_QUESTIONS", 4)
    cluster = Cluster(3, {POLLS: 1})
    await harness.start(cluster)
    cluster.brokers[3].awake.clear()
    for _ in range(20):
        assert await harness.ends.fetch([POLLS]) == {POLLS: 10}
    assert cluster.brokers[3].requests["leaders"] == 4
