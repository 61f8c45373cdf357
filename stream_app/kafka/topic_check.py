"""Compares the topics that exist with what they must be, and changes what may be changed."""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiokafka.errors import (
    IncompatibleBrokerVersion,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import DescribeConfigsRequest

from stream_app.contracts.fields import listed
from stream_app.contracts.topic_rules import (
    CHECKED_SETTINGS,
    PARTITIONS,
    Difference,
    differences,
    partitions_differ,
    remarks,
)
from stream_app.contracts.topics import ALL_TOPICS
from stream_app.kafka.principal import GUIDE
from stream_app.kafka.protocol import TOPIC, IncrementalAlterConfigsRequest, ask_any_broker
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aiokafka.admin import AIOKafkaAdminClient

    from stream_app.kafka.topic_ids import TopicDescription
    from stream_app.settings import Settings

log = logging.getLogger(__name__)


@dataclass(slots=True)
class TopicCheck:
    """The differences of the topics that this process cannot put right.

    Attributes:
        wrong: the settings that are not as they must be.
        unreadable: the topics whose settings this client may not read.
        reasons: why the broker did not change the settings, in its words, without doubles.
        remarks: the settings that are left as they are but should be known; one line each.
    """

    wrong: list[Difference] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def trouble(self) -> str | None:
        """Return all differences in one line that says what to do; None if there are none."""
        parts = []
        if self.wrong:
            parts.append("topics are not as they must be: " + "; ".join(map(str, self.wrong)))
            parts += self._advice()
        if self.unreadable:
            parts.append(
                f"The broker does not let this client read the settings of "
                f"{listed(self.unreadable)}: grant DescribeConfigs on these topics"
            )
        return ". ".join(parts) or None

    def _advice(self) -> list[str]:
        advice = []
        if self.reasons:
            advice.append(
                "The broker does not let this client change a setting "
                f"({'; '.join(self.reasons)}): grant AlterConfigs on these topics, or set it with "
                "`kafka-configs --alter --entity-type topics --entity-name TOPIC --add-config "
                "SETTING=VALUE`"
            )
        if any(difference.setting == PARTITIONS for difference in self.wrong):
            advice.append(
                f"Nobody reads partitions that were added: {GUIDE} says how to move their records "
                "and make the topic anew. If the topics were made with another number, set "
                f"{PREFIX}PARTITIONS to it"
            )
        return advice


async def check_topics(
    admin: AIOKafkaAdminClient,
    settings: Settings,
    topics: Mapping[str, TopicDescription],
    *,
    read_settings: bool = True,
) -> TopicCheck:
    """Read the configuration of topics, and put right what the broker lets this client change.

    One line is logged for each setting that was changed. Settings that an operator made longer
    or larger than they must be, and all others, stay as they are. While a topic has another number
    of partitions nothing is changed: the topics may be somebody else's.

    Args:
        admin: a client that is started.
        settings: say what the topics must be.
        topics: the topics that exist, by name.
        read_settings: False looks at the number of partitions alone.

    Raises:
        KafkaError: the broker did not answer.
    """
    check = TopicCheck()
    configs = await _read_configs(admin, topics, check) if read_settings else {}
    for spec in ALL_TOPICS:
        topic = topics.get(spec.name)
        if topic is None:
            continue
        partitions = partitions_differ(spec, settings, topic.partitions)
        if partitions is not None:
            check.wrong.append(partitions)
        config = configs.get(spec.name)
        if config is not None:
            check.wrong += differences(spec, settings, config, topic.replicas)
            check.remarks += remarks(spec, settings, config, topic.replicas)
    if all(difference.setting != PARTITIONS for difference in check.wrong):
        changed = await _put_right(admin, check)
        check.wrong = [difference for difference in check.wrong if difference not in changed]
    return check


async def _read_configs(
    admin: AIOKafkaAdminClient, topics: Iterable[str], check: TopicCheck
) -> dict[str, dict[str, str]]:
    request = DescribeConfigsRequest([(TOPIC, name, list(CHECKED_SETTINGS)) for name in topics])
    response = await ask_any_broker(admin, request)
    configs = {}
    for code, _message, _type, name, entries in response.resources:
        if code == 0:
            configs[name] = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
        elif code == TopicAuthorizationFailedError.errno:
            check.unreadable.append(name)
        # this broker has not heard yet of a topic that was made a moment ago, by us as a rule
        elif code != UnknownTopicOrPartitionError.errno:
            raise for_code(code)(name)
    return configs


async def _put_right(admin: AIOKafkaAdminClient, check: TopicCheck) -> list[Difference]:
    """Change the settings that differ; return the differences that are gone."""
    by_topic: defaultdict[str, list[Difference]] = defaultdict(list)
    for difference in check.wrong:
        if difference.value is not None:
            by_topic[difference.topic].append(difference)
    if not by_topic:
        return []
    changes = {
        topic: {difference.setting: difference.value or "" for difference in differences}
        for topic, differences in by_topic.items()
    }
    changed: list[Difference] = []
    for name, reason in (await _alter(admin, changes)).items():
        if reason is None:
            changed += by_topic[name]
        elif reason not in check.reasons:
            check.reasons.append(reason)
    for difference in changed:
        log.warning(
            "topic %s: %s was %s and must be %s: it is %s now",
            difference.topic,
            difference.setting,
            difference.actual,
            difference.required,
            difference.value,
        )
    return changed


async def _alter(
    admin: AIOKafkaAdminClient, changes: Mapping[str, Mapping[str, str]]
) -> dict[str, str | None]:
    """Change settings; return by topic why the broker did not, or None."""
    try:
        response: Any = await ask_any_broker(admin, IncrementalAlterConfigsRequest(changes))
    except (IncompatibleBrokerVersion, NotImplementedError):
        return dict.fromkeys(changes, "it is older than Kafka 2.3")
    return {
        name: None if code == 0 else f"{for_code(code).__name__}{f': {message}' if message else ''}"
        for code, message, _type, name in response.resources
    }
