"""The rights that a process lacks on the brokers, checked at its start and while it runs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TransactionalIdAuthorizationFailed,
)

from stream_app.contracts.access import ACCESS, Operation, Process
from stream_app.kafka.principal import GUIDE, principal
from stream_app.kafka.protocol import OPERATIONS_UNKNOWN, GroupRightsRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aiokafka.admin import AIOKafkaAdminClient

    from stream_app.kafka.topic_ids import TopicsSeen
    from stream_app.settings import Settings

_CODES: Final = {
    Operation.READ: 3,
    Operation.WRITE: 4,
    Operation.DESCRIBE: 8,
    Operation.DESCRIBE_CONFIGS: 10,
}
"""Kafka's numbers of the operations, which are places of bits too."""

_TRANSACTION: Final = 1
"""The kind of a coordinator."""


@dataclass(frozen=True, slots=True)
class MissingRight:
    """One thing that the brokers do not let this client do.

    Attributes:
        operation: the operation that is not allowed.
        kind: the kind of resource: topic, group or transactional id.
        name: which one.
    """

    operation: Operation
    kind: str
    name: str


def missing_on_topics(process: Process, seen: TopicsSeen) -> list[MissingRight]:
    """Return the rights on topics that a process lacks, as far as the brokers tell."""
    access = ACCESS[process]
    missing = []
    for spec in access.topics:
        topic = seen.existing.get(spec.name)
        allowed = 0 if spec.name in seen.hidden else None if topic is None else topic.operations
        if allowed is not None:
            missing += [
                MissingRight(operation, "topic", spec.name)
                for operation in access.operations(spec)
                if not allowed >> _CODES[operation] & 1
            ]
    return missing


async def missing_elsewhere(admin: AIOKafkaAdminClient, process: Process) -> list[MissingRight]:
    """Return the rights on groups and transactional ids that a process lacks.

    Raises:
        KafkaError: the broker did not answer.
    """
    access = ACCESS[process]
    missing = [
        MissingRight(Operation.READ, "group", group)
        for group in access.groups
        if not await _may_join(admin, group)
    ]
    for spec in access.transactional:
        try:
            await admin.find_coordinator(f"{spec.name}-0", _TRANSACTION)
        except TransactionalIdAuthorizationFailed:
            missing.append(MissingRight(Operation.WRITE, "transactional id", f"{spec.name}-*"))
        except KafkaError as error:
            # a new cluster has no coordinator for a moment: its users wait for it
            if not error.retriable:
                raise
    return missing


async def _may_join(admin: AIOKafkaAdminClient, group: str) -> bool:
    try:
        coordinator = await admin.find_coordinator(group)
        answer = await admin._client.send(  # noqa: SLF001  no public way
            coordinator, GroupRightsRequest(group)
        )
    except GroupAuthorizationFailedError:
        return False
    except NotImplementedError:
        # a broker of before 2.3 does not tell
        return True
    except KafkaError as error:
        if not error.retriable:
            raise
        return True
    code, *_, allowed = answer.groups[0]
    if code == GroupAuthorizationFailedError.errno:
        return False
    return code != 0 or allowed == OPERATIONS_UNKNOWN or bool(allowed >> _CODES[Operation.READ] & 1)


def missing_in_words(
    missing: Iterable[MissingRight], process: Process, settings: Settings
) -> str | None:
    """Return all that is missing in one line that says what to do; None if nothing is missing."""
    names: defaultdict[tuple[str, Operation], list[str]] = defaultdict(list)
    for right in missing:
        names[right.kind, right.operation].append(right.name)
    if not names:
        return None
    parts = [
        f"{operation} on {kind}{'s' if len(named) > 1 else ''} {', '.join(named)}"
        for (kind, operation), named in names.items()
    ]
    return (
        f"the broker does not let {principal(settings)} do what `{process}` needs: grant "
        f"{'; '.join(parts)} ({GUIDE} lists all)"
    )
