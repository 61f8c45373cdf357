"""Reads the end offsets of partitions, so that a broker that was away cannot make them too low.

A broker that was frozen, or cut off, believes for some milliseconds after it is back that it is
still the leader. It answers questions that have waited in its socket with the end that it knew,
although another broker leads the partition since, and has acknowledged records. A report that
believes such an answer misses them. So an answer counts only together with those of the other
brokers:

- the leader is asked with the epoch that the client knows, and refuses if its own is another one;
- at the same time the other brokers are asked who leads. A record that is acknowledged under a
  newer epoch is on a majority of the replicas, which know that epoch. So if the leader and enough
  others, a majority of the replicas together, know of no newer one, there is none.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, Final

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    KafkaError,
    NodeNotReadyError,
    TopicAuthorizationFailedError,
)

from stream_app.kafka.clients import connection, start, unavailable
from stream_app.kafka.protocol import EndOffsetsRequest, LeadersRequest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from stream_app.kafka.protocol import PartitionLeader
    from stream_app.settings import Settings

_LIMIT_SECONDS: Final = 40.0
"""Seconds for which an end offset is asked for again and again; callers have shorter limits."""

_PATIENCE_SECONDS: Final = 1.0
"""Seconds to wait for a silent broker before the others are asked who leads now."""

_RETRY_SECONDS: Final = 0.1
"""The pause before a question is asked again, while a leader is being elected."""

_METADATA_SECONDS: Final = 300.0
"""Seconds after which leaders and replicas are asked for again, as other clients do."""

_MAX_QUESTIONS: Final = 1000
"""Questions that one broker may leave unanswered; further ones are not sent to it."""


class EndOffsetFetcher:
    """Reads the end offsets of partitions from the brokers.

    It has a connection of its own: on one that also fetches, a question would wait for the
    fetch in front of it, which the broker holds for up to half a second.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None
        self._leaders: dict[TopicPartition, PartitionLeader] = {}
        self._learned_at = float("-inf")
        self._questions: set[asyncio.Task[Any]] = set()
        self._unanswered: Counter[int] = Counter()

    async def start(self) -> None:
        """Connect.

        Raises:
            BrokerUnavailableError: no broker answers.
        """
        # aiokafka makes futures in its constructors: not before the loop runs
        self._client = AIOKafkaClient(**connection(self._settings))
        await start(self._client, self._settings)

    async def stop(self) -> None:
        """Disconnect."""
        for question in self._questions:
            question.cancel()
        await asyncio.gather(*self._questions, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Read the offset behind the last record, now, of partitions of any topics.

        Every record that was acknowledged before the call has a lower offset. Records of a
        transaction that is still open are not counted.

        Raises:
            BrokerUnavailableError: no broker answers, or too few of them.
        """
        requested = list(dict.fromkeys(partitions))
        try:
            async with asyncio.timeout(_LIMIT_SECONDS):
                while True:
                    answers = await self._try(requested)
                    if answers.are_complete():
                        return answers.ends
                    if answers.newer:
                        self._leaders |= answers.newer
                        continue
                    for partition in answers.refused:
                        # deleted and created again, perhaps: epochs begin anew
                        self._leaders.pop(partition, None)
                    # a broker may have another address now
                    self._client.force_metadata_update()
                    await asyncio.sleep(_RETRY_SECONDS)
        except (KafkaError, NotImplementedError, TimeoutError) as error:
            raise unavailable(self._settings, error) from error

    async def _try(self, partitions: list[TopicPartition]) -> _Answers:
        """Ask all brokers that matter once, until enough have answered or one tells of a change."""
        now = asyncio.get_running_loop().time()
        if now - self._learned_at > _METADATA_SECONDS:
            self._leaders.clear()
            self._learned_at = now
        answers = _Answers({p: self._leaders.get(p) for p in partitions})
        questions = {
            self._send(node, EndOffsetsRequest(epochs)): node
            for node, epochs in answers.epochs_by_node().items()
        }
        if answers.need_confirmation():
            topics = sorted({topic for topic, _ in partitions})
            for broker in self._client.cluster.brokers():
                questions[self._send(broker.nodeId, LeadersRequest(topics))] = broker.nodeId
        pending = set(questions)
        while pending and not (answers.are_complete() or answers.newer or answers.refused):
            done, pending = await asyncio.wait(
                pending, timeout=_PATIENCE_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                # a silent broker may not be the leader any more: the others are asked again
                break
            for question in done:
                self._read(answers, questions[question], question)
        return answers

    def _read(self, answers: _Answers, node: int, question: asyncio.Task[Any]) -> None:
        error = question.exception()
        if isinstance(error, KafkaError):
            # another broker will lead its partitions soon: the others are asked which one, even if
            # this one seemed to be the only replica
            answers.add_lost_broker(node)
            return
        if error is not None:
            raise error
        response = question.result()
        if response.API_KEY == EndOffsetsRequest.API_KEY:
            answers.add_ends(response)
        else:
            answers.add_leaders(node, response)

    def _send(self, node: int, request: Any) -> asyncio.Task[Any]:
        """Ask one broker. The task goes on where nobody waits for it: its answer may come late."""
        if self._unanswered[node] >= _MAX_QUESTIONS:
            sending = _refuse(node)
        else:
            sending = self._client.send(node, request)
        question: asyncio.Task[Any] = asyncio.create_task(sending)
        self._questions.add(question)
        self._unanswered[node] += 1

        def answered(question: asyncio.Task[Any]) -> None:
            self._questions.discard(question)
            self._unanswered[node] -= 1
            if not question.cancelled():
                # an error that nobody waits for is no news
                question.exception()

        question.add_done_callback(answered)
        return question


class _Answers:
    """The answers of the brokers to one question about some partitions.

    Attributes:
        ends: the leaders' answers.
        refused: partitions whose supposed leader has refused to answer, or is lost.
        newer: leaders of a newer epoch than the one that was asked for, or of an unknown one.
    """

    def __init__(self, leaders: Mapping[TopicPartition, PartitionLeader | None]) -> None:
        self._leaders = leaders
        self._confirmed: dict[TopicPartition, set[int]] = {
            p: {leader.node} for p, leader in leaders.items() if leader is not None
        }
        self.ends: dict[TopicPartition, int] = {}
        self.refused: set[TopicPartition] = set()
        self.newer: dict[TopicPartition, PartitionLeader] = {}

    def epochs_by_node(self) -> dict[int, dict[str, dict[int, int]]]:
        """Return, for each broker to ask, the leaders' epochs by topic and partition number."""
        epochs: defaultdict[int, dict[str, dict[int, int]]] = defaultdict(dict)
        for (topic, number), leader in self._leaders.items():
            if leader is not None and leader.node >= 0:
                epochs[leader.node].setdefault(topic, {})[number] = leader.epoch
        return epochs

    def need_confirmation(self) -> bool:
        """Return whether a leader is unknown, or is not the only replica."""
        return any(
            leader is None or leader.node < 0 or len(leader.replicas) > 1
            for leader in self._leaders.values()
        )

    def add_ends(self, response: Any) -> None:
        """Add the end offsets that a leader has answered."""
        for topic, partitions in response.topics:
            for number, code, _timestamp, offset, _epoch in partitions:
                _check_right(topic, code)
                if code == 0:
                    self.ends[TopicPartition(topic, number)] = offset
                else:
                    self.refused.add(TopicPartition(topic, number))

    def add_lost_broker(self, node: int) -> None:
        """Mark the partitions of a broker that is out of reach as refused."""
        self.refused.update(p for p, known in self._leaders.items() if known and known.node == node)

    def add_leaders(self, node: int, response: Any) -> None:
        """Add the leaders that a broker names."""
        for code, topic, _internal, leaders in response.topics:
            _check_right(topic, code)
            for number, leader in leaders.items():
                partition = TopicPartition(topic, number)
                if partition not in self._leaders:
                    continue
                known = self._leaders[partition]
                newest = self.newer.get(partition) or known
                if newest is None or leader.epoch > newest.epoch:
                    self.newer[partition] = leader
                elif known is not None and leader.epoch == known.epoch:
                    self._confirmed[partition].add(node)

    def are_complete(self) -> bool:
        """Return whether every leader has answered and a majority of the replicas confirms it."""
        return not self.newer and all(
            p in self.ends
            and leader is not None
            and 2 * len(self._confirmed[p].intersection(leader.replicas)) > len(leader.replicas)
            for p, leader in self._leaders.items()
        )


def _check_right(topic: str, code: int) -> None:
    if code == TopicAuthorizationFailedError.errno:
        raise TopicAuthorizationFailedError(topic)


async def _refuse(node: int) -> Any:
    raise NodeNotReadyError(f"node {node} has {_MAX_QUESTIONS} questions unanswered")
