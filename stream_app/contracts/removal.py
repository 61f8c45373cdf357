"""The records that remove the facts of a store.

Each topic removes its own facts, in its own order: a tombstone, which is a record without a value,
removes the store's business hours or its timezone, and a record of `store-status` with the field
`removed` removes its polls. A store without any fact does not exist. See docs/design/removal.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeGuard

import orjson
from pydantic import PlainValidator
from typing_extensions import TypedDict

from stream_app.contracts.fields import StoreId, closed, object_of, parse_uuid, shown, validate
from stream_app.contracts.packed_polls import is_packed_batch
from stream_app.contracts.revisions import Revision, origin_in
from stream_app.errors import RecordError


def _true(removed: object) -> Literal[True]:
    if removed is not True:
        raise RecordError(f"removed is not true: {shown(removed)}")
    return True


@closed
class PollsRemovalRecord(TypedDict):
    """The removal of all earlier polls of a store."""

    store_id: StoreId
    removed: Annotated[Literal[True], PlainValidator(_true, json_schema_input_type=Literal[True])]
    """Always true. Polls that are sent after this record count as usual."""


def encode_removal(store_id: str) -> bytes:
    """Write the record of `store-status` that removes all polls of a store."""
    return orjson.dumps({"store_id": store_id, "removed": True})


def may_remove_polls(value: bytes | None) -> TypeGuard[bytes]:
    """Return False for a record of `store-status` that certainly removes no polls."""
    return value is not None and b'"removed"' in value and not is_packed_batch(value)


def decode_polls_removal(value: bytes | None) -> str | None:
    """Return the store whose polls a record of `store-status` removes; None for other records.

    Raises:
        RecordError: the record has the field `removed` and is not valid.
    """
    if not may_remove_polls(value):
        return None
    content = object_of(value)
    if "removed" not in content:
        return None
    removal = validate(PollsRemovalRecord, content)
    return removal["store_id"]


def tombstone_store(record: Any) -> str | None:
    """Return the store whose hours or timezone a tombstone removes; None if the record has a value.

    Raises:
        RecordError: the record is a tombstone, and its key is not that of a store.
    """
    if record.value is not None:
        return None
    # the key of a forwarded record is the store id, an @ and the first partition
    key = (record.key or b"").decode(errors="replace").partition("@")[0]
    try:
        return parse_uuid(key)
    except RecordError:
        raise RecordError(
            "the record has no value: it takes back what its key names, which is not a store id: "
            f"{shown(key)}"
        ) from None


@dataclass(frozen=True, slots=True)
class PollsRemoval:
    """The newest record that removed the polls of a store.

    Attributes:
        revision: the revision of that record.
        append_time_ms: the broker's time of that record on the store's own partition, in
            milliseconds since 1970.
        topic_id: Kafka's id of `store-status` at that time; empty if it was not known.
    """

    revision: Revision
    append_time_ms: int
    topic_id: str

    def hides(self, record: Any, topic_id: str) -> bool:
        """Return True if a record of polls is older than the removal, so that they do not count.

        Args:
            record: a record of the store's own partition.
            topic_id: Kafka's id of the topic that it was read from; empty if it is not known.
        """
        origin = origin_in(record)
        if origin is None:
            if topic_id and self.topic_id and topic_id != self.topic_id:
                # the topic was created again, and all of its records are newer
                return False
            return bool(record.offset <= self.revision.position)
        removed_from = self.revision.forwarded_from
        if removed_from is not None and removed_from[0] == origin.partition:
            # within one partition the offsets decide
            return origin.offset < removed_from[1]
        return origin.append_time_ms <= self.append_time_ms
