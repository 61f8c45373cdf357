"""How what is known of a store is taken back, on the wire.

Each topic takes back what it tells, in its own order: a record without a value takes back the
store's business hours or its time zone, and a record of `store-status` that says `removed` takes
back its polls. A store of which nothing stands any more does not exist. See
docs/design/removal.md.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import PlainValidator
from typing_extensions import TypedDict

from stream_app.contracts.fields import StoreId, closed, object_of, parse_uuid, shown, validate
from stream_app.contracts.revisions import Revision, origin_in
from stream_app.errors import RecordError


def _true(removed: object) -> Literal[True]:
    if removed is not True:
        raise RecordError(f"removed is not true: {shown(removed)}")
    return True


@closed
class PollsRemovalRecord(TypedDict):
    """All polls of a store that came before are taken back."""

    store_id: StoreId
    removed: Annotated[Literal[True], PlainValidator(_true, json_schema_input_type=Literal[True])]
    """There is no other value: a store of which polls come in later has those alone."""


def encode_removal(store_id: str) -> bytes:
    """Write the record of `store-status` that takes back all polls of a store."""
    return orjson.dumps({"store_id": store_id, "removed": True})


def decode_polls_removal(value: bytes | None) -> str | None:
    """The store whose polls a record of `store-status` takes back; None: it is of another kind.

    Raises:
        RecordError: it says `removed`, and is no such record.
    """
    if value is None or b'"removed"' not in value:
        return None
    content = object_of(value)
    if "removed" not in content:
        return None
    removal = validate(PollsRemovalRecord, content)
    return removal["store_id"]


def tombstone_store(record: Any) -> str | None:
    """The store whose hours or zone a record takes back, by its key; None: it has a value.

    Raises:
        RecordError: it has no value, and its key is not that of a store.
    """
    if record.value is not None:
        return None
    # of a record that a worker forwarded, what stands behind the @ is the partition
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
    """The newest record that took back the polls of a store.

    Attributes:
        revision: of that record.
        append_time_ms: the broker's time of it on the store's own partition, in milliseconds since
            1970.
        topic_id: Kafka's id of `store-status` then; empty: not known.
    """

    revision: Revision
    append_time_ms: int
    topic_id: str

    def hides(self, record: Any, topic_id: str) -> bool:
        """Whether a record of polls was there before: it counts no more, however often it comes.

        Args:
            record: of the store's own partition.
            topic_id: the id of the topic that it was read from; empty: not known.
        """
        origin = origin_in(record)
        if origin is None:
            if topic_id and self.topic_id and topic_id != self.topic_id:
                # the topic was made anew, and all that is in it came later
                return False
            return bool(record.offset <= self.revision.position)
        removed_from = self.revision.forwarded_from
        if removed_from is not None and removed_from[0] == origin.partition:
            # of one partition the offsets decide
            return origin.offset < removed_from[1]
        return origin.append_time_ms <= self.append_time_ms
