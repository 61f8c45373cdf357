"""The models of the records of each topic, from which the published schemas are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from stream_app.contracts.business_hours import HoursRecord
from stream_app.contracts.dead_letters import DeadLetterRecord
from stream_app.contracts.fields import ReportId, StoreId
from stream_app.contracts.packed_polls import PACKED_BATCH_SCHEMA
from stream_app.contracts.polls import PollBatchRecord, PollRecord
from stream_app.contracts.removal import PollsRemovalRecord
from stream_app.contracts.report_requests import (
    FleetReportRequest,
    PartRequest,
    StoreReportRequest,
    StoresReportRequest,
)
from stream_app.contracts.report_schemas import (
    ReportComplete,
    ReportFailed,
    ReportPiece,
    ReportRunning,
)
from stream_app.contracts.revisions import ORIGIN_HEADER, RecordOrigin
from stream_app.contracts.stores import StoreRecord, TimezoneRecord
from stream_app.contracts.topics import (
    DEAD_LETTERS,
    FACTS_TABLE,
    LATEST_POLLS,
    QUERY_RESULTS,
    REPORT_REQUESTS,
    REPORT_RESULTS,
    STORE_BUSINESS_HOURS,
    STORE_QUERIES,
    STORE_STATUS,
    STORE_TIMEZONES,
    STORES,
    WATERMARKS,
    WEBHOOKS,
    changelog,
)
from stream_app.contracts.watermarks import RestoreStatusRecord, WatermarkRecord
from stream_app.contracts.webhooks import WebhookRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

_REQUESTS: Final = (StoreReportRequest, StoresReportRequest, FleetReportRequest, PartRequest)
_EVENTS: Final = (ReportRunning, ReportPiece, ReportComplete, ReportFailed)


@dataclass(frozen=True, slots=True)
class TopicRecords:
    """The models of a topic's records.

    Attributes:
        key: the type of the key.
        values: the models of the values; empty if other programs cannot use them.
        headers: the models of the headers that a record may have, by name; their values are JSON.
        binary: the JSON schemas of values that are bytes, by name: each byte is a character.
    """

    key: Any
    values: tuple[Any, ...]
    headers: Mapping[str, Any] = field(default_factory=dict)
    binary: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)


_FORWARDED: Final = {ORIGIN_HEADER: RecordOrigin}


RECORD_MODELS: Final[Mapping[str, TopicRecords]] = {
    STORE_STATUS.name: TopicRecords(
        StoreId,
        (PollRecord, PollBatchRecord, PollsRemovalRecord),
        binary={"PackedPollBatch": PACKED_BATCH_SCHEMA},
    ),
    STORE_BUSINESS_HOURS.name: TopicRecords(str, (HoursRecord,), _FORWARDED),
    STORE_TIMEZONES.name: TopicRecords(str, (TimezoneRecord,), _FORWARDED),
    REPORT_REQUESTS.name: TopicRecords(str, _REQUESTS),
    STORE_QUERIES.name: TopicRecords(str, _REQUESTS),
    REPORT_RESULTS.name: TopicRecords(str, _EVENTS),
    QUERY_RESULTS.name: TopicRecords(str, _EVENTS),
    LATEST_POLLS.name: TopicRecords(StoreId, (PollRecord,)),
    WEBHOOKS.name: TopicRecords(ReportId, (WebhookRecord,)),
    STORES.name: TopicRecords(StoreId, (StoreRecord,)),
    WATERMARKS.name: TopicRecords(str, (WatermarkRecord, RestoreStatusRecord)),
    DEAD_LETTERS.name: TopicRecords(str, (DeadLetterRecord,)),
    # its values are binary, and only workers read them
    changelog(FACTS_TABLE).name: TopicRecords(bytes, ()),
}
"""The models of the records of every topic, by its name."""
