"""Decides the offset at which a partition of a source topic is read on after an assignment."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiokafka import TopicPartition

from stream_app.worker.facts.partition_records import SourcePosition

if TYPE_CHECKING:
    from stream_app.kafka.start_offsets import GroupOffsets

log = logging.getLogger(__name__)


def source_position(
    topic: str,
    partition: int,
    known: SourcePosition | None,
    group: GroupOffsets,
    *,
    first_claim: bool,
) -> SourcePosition:
    """Return the offset up to which a source partition is applied to the facts.

    Args:
        topic: the source topic.
        partition: its partition.
        known: the position in the partition's changelog; None if it holds none.
        group: the offsets that the brokers have of the group.
        first_claim: whether nobody has ever owned the partition, so that it has no facts.
    """
    key = TopicPartition(topic, partition)
    topic_id = group.topic_ids.get(topic, "")
    beginning, end = group.beginnings[key], group.ends[key]
    if known is None:
        committed = group.committed.get(key)
        if committed is None:
            # the very first worker reports what the log lost before it came; what earlier versions
            # had applied, before they wrote positions, is not lost
            return SourcePosition(topic_id, 0 if first_claim else beginning)
        known = SourcePosition(topic_id, committed)
    if known.topic_id and topic_id and known.topic_id != topic_id:
        log.warning("%s was deleted and made anew: it is read from its beginning", topic)
        return SourcePosition(topic_id, beginning)
    if known.offset > end:
        log.warning(
            "%s/%d ends at offset %d and was read up to %d: it is read from its beginning",
            topic,
            partition,
            end,
            known.offset,
        )
        return SourcePosition(topic_id, beginning)
    return SourcePosition(topic_id or known.topic_id, known.offset)


def start_offset(committed: int | None, beginning: int, position: SourcePosition | None) -> int:
    """Return the offset at which reading a partition goes on.

    The position in the changelog decides. The group's commit is only ever followed backwards, and
    not before the log's beginning: reading records again changes nothing.

    Args:
        committed: the offset that the group has committed; None if it has committed nothing.
        beginning: the first offset that the log still has.
        position: the position of a source; None for a topic of requests, which has only the commit.
    """
    if position is None:
        return beginning if committed is None else committed
    if committed is None or committed > position.offset:
        return position.offset
    # records between the beginning and the position were applied, and what lies before is gone
    return max(committed, min(beginning, position.offset))
