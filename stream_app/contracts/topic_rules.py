"""The rules that the settings of an existing topic must follow.

A topic may have been created by an operator, by a broker that creates topics by itself, or by an
earlier version. A setting that would lose records or falsify times is a difference. A setting that
stores more than is needed is not: longer retention, larger records, more copies, other segments. A
bound in bytes follows its setting in both directions: it is there so that the disk does not fill.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stream_app.durations import format_duration
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stream_app.contracts.topics import TopicSpec
    from stream_app.settings import Settings

PARTITIONS: Final = "partitions"
"""The name of the number of partitions in a difference, since it is no setting of Kafka."""

_UNBOUNDED: Final = -1


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a topic that is not what it must be.

    Attributes:
        topic: the topic's name.
        setting: Kafka's name of the setting, or `PARTITIONS`.
        actual: the present value.
        required: the required value, in words.
        value: the value that corrects it; None if no change of the setting can.
    """

    topic: str
    setting: str
    actual: str
    required: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.actual}, must be {self.required}"


def differences(
    spec: TopicSpec, settings: Settings, actual: Mapping[str, str], replicas: int
) -> list[Difference]:
    """Return the settings of a topic that must be changed.

    Args:
        spec: the topic as this product needs it.
        settings: the settings of this deployment.
        actual: the present settings of the topic, with those that it has from the broker. A
            setting that is left out is not checked.
        replicas: the number of copies of its partitions.
    """
    required = spec.configs(settings)
    # a topic accepts no record that must be on more brokers than it has copies
    in_sync = min(int(required["min.insync.replicas"]), _min_in_sync(replicas))
    required["min.insync.replicas"] = str(in_sync)
    rules = _RULES | {"min.insync.replicas": _Rule(_between(in_sync, replicas), "{}")}
    if replicas == 1:
        # there is no other copy that could be elected
        del rules["unclean.leader.election.enable"]
    return [
        Difference(spec.name, name, actual[name], rules[name].words.format(value), value)
        for name, value in required.items()
        if name in actual and name in rules and not rules[name].allows(actual[name], value)
    ]


def partitions_differ(spec: TopicSpec, settings: Settings, count: int) -> Difference | None:
    """Return the difference in the number of partitions, if any; no setting corrects it."""
    required = spec.partitions(settings)
    if count == required:
        return None
    return Difference(spec.name, PARTITIONS, str(count), str(required), None)


def remarks(
    spec: TopicSpec, settings: Settings, actual: Mapping[str, str], replicas: int
) -> list[str]:
    """Return a line for each difference that is harmless but that an operator should know."""
    lines = []
    if replicas < settings.replication:
        lines.append(
            f"topic {spec.name} has {replicas} copies, and {PREFIX}REPLICATION says "
            f"{settings.replication}: it is left as it is; kafka-reassign-partitions changes it"
        )
    retention_ms = int(actual.get("retention.ms", _UNBOUNDED))
    if spec.retention_setting is not None:
        required = spec.retention(settings)
        if retention_ms == _UNBOUNDED or retention_ms > required:
            for_how_long = (
                "for ever" if retention_ms == _UNBOUNDED else format_duration(retention_ms * 1000)
            )
            lines.append(
                f"topic {spec.name} keeps records {for_how_long}, longer than "
                f"{PREFIX}{spec.retention_setting.upper()}={format_duration(required * 1000)}: "
                "it is left as it is; kafka-configs changes its retention.ms"
            )
    return lines


def _min_in_sync(replicas: int) -> int:
    return 2 if replicas >= 3 else 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """The values of a setting that are allowed besides the required one.

    Attributes:
        allows: returns True if the first value, the actual one, does instead of the required one.
        words: the required value in words; `{}` stands for the value itself.
    """

    allows: Callable[[str, str], bool]
    words: str


def _at_least(actual: str, required: str) -> bool:
    return int(actual) >= int(required)


def _between(minimum: int, maximum: int) -> Callable[[str, str], bool]:
    return lambda actual, _required: minimum <= int(actual) <= maximum


def _kept_for(actual: str, required: str) -> bool:
    # -1 is for ever
    return int(actual) == _UNBOUNDED or (
        int(required) != _UNBOUNDED and int(actual) >= int(required)
    )


def _same(actual: str, required: str) -> bool:
    return actual == required


def _same_policies(actual: str, required: str) -> bool:
    return set(actual.replace(" ", "").split(",")) == set(required.split(","))


def _dated_by_the_broker(actual: str, required: str) -> bool:
    # where the client's time is allowed, the broker's is too: nothing depends on it
    return required == "CreateTime" or actual == required


_RULES: Final[dict[str, _Rule]] = {
    "cleanup.policy": _Rule(_same_policies, "{}"),
    "retention.ms": _Rule(_kept_for, "at least {}"),
    "delete.retention.ms": _Rule(_at_least, "at least {}"),
    "retention.bytes": _Rule(_same, "{}"),
    "max.message.bytes": _Rule(_at_least, "at least {}"),
    "min.compaction.lag.ms": _Rule(_at_least, "at least {}"),
    "message.timestamp.type": _Rule(_dated_by_the_broker, "{}"),
    "unclean.leader.election.enable": _Rule(_same, "{}"),
}

CHECKED_SETTINGS: Final = (*_RULES, "min.insync.replicas")
"""Kafka's names of the settings that are checked."""
