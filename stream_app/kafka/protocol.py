"""Requests of Kafka's protocol that aiokafka does not have, in its own notation.

`DescribeTopicsRequest` is Metadata in the version that tells topic ids (Kafka 2.8), and
`GroupRightsRequest` is DescribeGroups: both tell what this client may do;
`IncrementalAlterConfigsRequest` changes single settings of a topic and leaves the others as they
are (Kafka 2.3), where the AlterConfigs that aiokafka has takes back every setting it does not name;
`LeaveGroupRequest` is the version that names a member by its instance id (Kafka 2.4);
`LeadersRequest` is Metadata in the version that tells leader epochs (Kafka 2.2), and
`EndOffsetsRequest` is ListOffsets in the version that a broker refuses if it is not the leader of
the epoch that the client names (Kafka 2.2).
"""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from io import SEEK_CUR
from typing import TYPE_CHECKING, Any, Final

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
)
from aiokafka.protocol.admin import DescribeGroupsResponse_v3
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Array,
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    String,
    TaggedFields,
    UnsignedVarInt32,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BytesIO

    from aiokafka.admin import AIOKafkaAdminClient

TOPIC: Final = 2
"""A topic, among the kinds of things that have a configuration."""

NO_ID: Final = bytes(16)
"""The id of a topic that has none."""

OPERATIONS_UNKNOWN: Final = -(2**31)
"""The number that a broker sends if it does not say which operations a client may do."""

_SET: Final = 0
_LATEST: Final = -1
_CONSUMER: Final = -1
_READ_COMMITTED: Final = 1


async def ask_any_broker(admin: AIOKafkaAdminClient, request: Any) -> Any:
    """Ask one broker after the other until one answers: the client itself asks a single one.

    Raises:
        KafkaError: none answered.
        NotImplementedError: the broker does not know this version of the request.
    """
    client = admin._client  # noqa: SLF001  no public way
    nodes = [broker.nodeId for broker in client.cluster.brokers()]
    random.shuffle(nodes)
    unanswered: KafkaError = KafkaConnectionError("no broker is known")
    for node in nodes:
        try:
            return await client.send(node, request)
        except (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError) as error:
            unanswered = error
    raise unanswered


class _Uuid:
    """Sixteen bytes as they are; aiokafka's protocol types have no UUID."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        return data.read(len(NO_ID))

    @staticmethod
    def repr(value: bytes) -> str:
        return value.hex()


class _ReplicaCounts:
    """An array of partitions, of which only the numbers of replicas are read.

    A process asks every two seconds; decoded field by field, thirteen topics with 64 partitions
    each would hold up its event loop for 30 ms.
    """

    @staticmethod
    def decode(data: BytesIO) -> list[int]:
        counts = []
        for _ in range(UnsignedVarInt32.decode(data) - 1):
            # error code, partition, leader, leader epoch
            data.seek(2 + 4 + 4 + 4, SEEK_CUR)
            # replicas, in-sync replicas, offline replicas
            sizes = [_skip_array(data) for _ in range(3)]
            TaggedFields.decode(data)
            counts.append(sizes[0])
        return counts

    @staticmethod
    def repr(value: list[int]) -> str:
        return repr(value)


def _skip_array(data: BytesIO) -> int:
    """Step over a compact array of 32-bit numbers; return how many there are."""
    size = max(0, int(UnsignedVarInt32.decode(data)) - 1)
    data.seek(4 * size, SEEK_CUR)
    return size


class _MetadataResponse_v11(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 3
    API_VERSION = 11
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                ("partition_replicas", _ReplicaCounts),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequest_v11(RequestStruct):  # noqa: N801  aiokafka's notation
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 11
    RESPONSE_TYPE = _MetadataResponse_v11
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class DescribeTopicsRequest(Request[_MetadataRequest_v11]):
    """Asks for topics by name, and for what this client may do; none is created by the question."""

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest_v11]) -> Any:
        """Return the request in the version that the broker knows."""
        topics: list[Any] = [(NO_ID, name, {}) for name in self._topics]
        return request_struct_class(topics, False, True, {})


class _IncrementalAlterConfigsResponse_v0(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 44
    API_VERSION = 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            Array(
                ("error_code", Int16),
                ("error_message", String("utf-8")),
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
            ),
        ),
    )


class _IncrementalAlterConfigsRequest_v0(RequestStruct):  # noqa: N801  aiokafka's notation
    API_KEY = 44
    API_VERSION = 0
    RESPONSE_TYPE = _IncrementalAlterConfigsResponse_v0
    SCHEMA = Schema(
        (
            "resources",
            Array(
                ("resource_type", Int8),
                ("resource_name", String("utf-8")),
                (
                    "config_entries",
                    Array(
                        ("config_name", String("utf-8")),
                        ("config_operation", Int8),
                        ("config_value", String("utf-8")),
                    ),
                ),
            ),
        ),
        ("validate_only", Boolean),
    )


class IncrementalAlterConfigsRequest(Request[_IncrementalAlterConfigsRequest_v0]):
    """Sets single settings of topics.

    Args:
        topics: the settings and their values, by topic.
    """

    API_KEY = 44

    def __init__(self, topics: Mapping[str, Mapping[str, str]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_IncrementalAlterConfigsRequest_v0]) -> Any:
        """Return the request in the version that the broker knows."""
        resources = [
            (TOPIC, topic, [(name, _SET, value) for name, value in values.items()])
            for topic, values in self._topics.items()
        ]
        return request_struct_class(resources, False)


class _LeaveGroupResponse_v3(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 13
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "members",
            Array(
                ("member_id", String("utf-8")),
                ("group_instance_id", String("utf-8")),
                ("error_code", Int16),
            ),
        ),
    )


class _LeaveGroupRequest_v3(RequestStruct):  # noqa: N801  aiokafka's notation
    API_KEY = 13
    API_VERSION = 3
    RESPONSE_TYPE = _LeaveGroupResponse_v3
    SCHEMA = Schema(
        ("group", String("utf-8")),
        (
            "members",
            Array(("member_id", String("utf-8")), ("group_instance_id", String("utf-8"))),
        ),
    )


class LeaveGroupRequest(Request[_LeaveGroupRequest_v3]):
    """Takes a static member out of a group, whatever member id it has now.

    Args:
        group: the group's name.
        instance_id: the name by which the group knows the member.
    """

    API_KEY = 13

    def __init__(self, group: str, instance_id: str) -> None:
        self._group = group
        self._instance_id = instance_id

    def build(self, request_struct_class: type[_LeaveGroupRequest_v3]) -> Any:
        """Make the request of this version."""
        return request_struct_class(self._group, [("", self._instance_id)])


class _DescribeGroupsRequest_v3(RequestStruct):  # noqa: N801  aiokafka's notation
    API_KEY = 15
    API_VERSION = 3
    # aiokafka itself reads the answer as one of version 2, which does not tell the operations
    RESPONSE_TYPE = DescribeGroupsResponse_v3
    SCHEMA = Schema(("groups", Array(String("utf-8"))), ("include_authorized_operations", Boolean))


class GroupRightsRequest(Request[_DescribeGroupsRequest_v3]):
    """Asks what this client may do with a group, which need not exist.

    Args:
        group: the group's name.
    """

    API_KEY = 15

    def __init__(self, group: str) -> None:
        self._group = group

    def build(self, request_struct_class: type[_DescribeGroupsRequest_v3]) -> Any:
        """Return the request in the version that the broker knows."""
        return request_struct_class([self._group], True)


@dataclass(frozen=True, slots=True)
class PartitionLeader:
    """The answer of one broker about the leader of a partition.

    Attributes:
        node: the leader's broker id; -1: there is none now.
        epoch: how often the leader has changed; a broker that says less has not heard of a change.
        replicas: ids of the brokers that have a copy.
    """

    node: int
    epoch: int
    replicas: tuple[int, ...]


class _PartitionLeaders:
    """An array of partitions by their number; in-sync and offline replicas are stepped over."""

    @staticmethod
    def decode(data: BytesIO) -> dict[int, PartitionLeader]:
        leaders = {}
        for _ in range(Int32.decode(data)):
            _code, partition, node, epoch, size = struct.unpack(">hiiii", data.read(18))
            replicas = struct.unpack(f">{size}i", data.read(4 * size))
            for _ in range(2):
                data.seek(4 * Int32.decode(data), SEEK_CUR)
            leaders[partition] = PartitionLeader(node, epoch, replicas)
        return leaders

    @staticmethod
    def repr(value: dict[int, PartitionLeader]) -> str:
        return repr(value)


class _MetadataResponse_v7(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 3
    API_VERSION = 7
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            Array(
                ("node_id", Int32),
                ("host", String("utf-8")),
                ("port", Int32),
                ("rack", String("utf-8")),
            ),
        ),
        ("cluster_id", String("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            Array(
                ("error_code", Int16),
                ("topic", String("utf-8")),
                ("is_internal", Boolean),
                ("leaders", _PartitionLeaders),
            ),
        ),
    )


class _MetadataRequest_v7(RequestStruct):  # noqa: N801  aiokafka's notation
    API_KEY = 3
    API_VERSION = 7
    RESPONSE_TYPE = _MetadataResponse_v7
    SCHEMA = Schema(("topics", Array(String("utf-8"))), ("allow_auto_topic_creation", Boolean))


class LeadersRequest(Request[_MetadataRequest_v7]):
    """Asks one broker for the leaders of all partitions of some topics, with their epochs.

    Args:
        topics: names of topics; none is created by the question.
    """

    API_KEY = 3

    def __init__(self, topics: list[str]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_MetadataRequest_v7]) -> Any:
        """Return the request in the version that the broker knows."""
        return request_struct_class(self._topics, False)


class _ListOffsetsResponse_v5(Response):  # noqa: N801  aiokafka's notation
    API_KEY = 2
    API_VERSION = 5
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("timestamp", Int64),
                        ("offset", Int64),
                        ("leader_epoch", Int32),
                    ),
                ),
            ),
        ),
    )


class _ListOffsetsRequest_v5(RequestStruct):  # noqa: N801  aiokafka's notation
    # aiokafka has this version, with the leader's epoch in the wrong size, and never sends it
    API_KEY = 2
    API_VERSION = 5
    RESPONSE_TYPE = _ListOffsetsResponse_v5
    SCHEMA = Schema(
        ("replica_id", Int32),
        ("isolation_level", Int8),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("timestamp", Int64),
                    ),
                ),
            ),
        ),
    )


class EndOffsetsRequest(Request[_ListOffsetsRequest_v5]):
    """Asks a leader for the offset behind the last record that a consumer may read.

    A broker that is not the leader of the named epoch answers with an error. Records of a
    transaction that is still open are not counted.

    Args:
        epochs: partition numbers with the leader's epoch, by topic.
    """

    API_KEY = 2

    def __init__(self, epochs: Mapping[str, Mapping[int, int]]) -> None:
        self._epochs = epochs

    def build(self, request_struct_class: type[_ListOffsetsRequest_v5]) -> Any:
        """Return the request in the version that the broker knows."""
        topics = [
            (topic, [(partition, epoch, _LATEST) for partition, epoch in partitions.items()])
            for topic, partitions in self._epochs.items()
        ]
        return request_struct_class(_CONSUMER, _READ_COMMITTED, topics)
