"""What the configuration of a topic must be, and where one that exists differs.

A topic may be made by an operator, by a broker that makes topics by itself, or by an earlier
version. A setting that would lose records or falsify times is a difference. A setting that keeps
more than is needed is not: longer retention, larger records, more copies, other segments. A
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
"""The name under which a difference tells the number of partitions, which is no setting."""

_UNBOUNDED: Final = -1


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting of a topic that is not what it must be.

    Attributes:
        topic: the topic's name.
        setting: Kafka's name of the setting, or `PARTITIONS`.
        found: its value now.
        required: what it must be, in words.
        value: the value that puts it right; None: no change of the setting can.
    """

    topic: str
    setting: str
    found: str
    required: str
    value: str | None

    def __str__(self) -> str:
        return f"{self.topic}: {self.setting} is {self.found}, must be {self.required}"


def differences(
    spec: TopicSpec, settings: Settings, found: Mapping[str, str], replicas: int
) -> list[Difference]:
    """The settings of a topic that must be changed.

    Args:
        spec: the topic as this product needs it.
        settings: of this deployment.
        found: the settings that the topic has now, those that it takes from the broker included.
            A setting that is left out is not judged.
        replicas: how many copies its partitions have.
    """
    required = spec.configs(settings)
    # a topic takes no record that must be on more brokers than it has copies
    in_sync = min(int(required["min.insync.replicas"]), _min_in_sync(replicas))
    required["min.insync.replicas"] = str(in_sync)
    rules = _RULES | {"min.insync.replicas": _Rule(_between(in_sync, replicas), "{}")}
    if replicas == 1:
        # there is no other copy that could be elected
        del rules["unclean.leader.election.enable"]
    return [
        Difference(spec.name, name, found[name], rules[name].words.format(value), value)
        for name, value in required.items()
        if name in found and name in rules and not rules[name].allows(found[name], value)
    ]


def partitions_differ(spec: TopicSpec, settings: Settings, count: int) -> Difference | None:
    """The difference in the number of partitions, if there is one; no setting puts it right."""
    required = spec.partitions(settings)
    if count == required:
        return None
    return Difference(spec.name, PARTITIONS, str(count), str(required), None)


def remarks(
    spec: TopicSpec, settings: Settings, found: Mapping[str, str], replicas: int
) -> list[str]:
    """What is left as it is, and should be known: one line each."""
    lines = []
    if replicas < settings.replication:
        lines.append(
            f"topic {spec.name} has {replicas} copies, and {PREFIX}REPLICATION says "
            f"{settings.replication}: it is left as it is; kafka-reassign-partitions changes it"
        )
    kept = int(found.get("retention.ms", _UNBOUNDED))
    if spec.retention_setting is not None:
        wanted = spec.retention(settings)
        if kept == _UNBOUNDED or kept > wanted:
            for_how_long = "for ever" if kept == _UNBOUNDED else format_duration(kept * 1000)
            lines.append(
                f"topic {spec.name} keeps records {for_how_long}, longer than "
                f"{PREFIX}{spec.retention_setting.upper()}={format_duration(wanted * 1000)}: "
                "it is left as it is; kafka-configs changes its retention.ms"
            )
    return lines


def _min_in_sync(replicas: int) -> int:
    return 2 if replicas >= 3 else 1


@dataclass(frozen=True, slots=True)
class _Rule:
    """Which values of a setting do where another one is required.

    Attributes:
        allows: takes the value found and the value required.
        words: says what the value must be; `{}` stands for the value required.
    """

    allows: Callable[[str, str], bool]
    words: str


def _at_least(found: str, required: str) -> bool:
    return int(found) >= int(required)


def _between(least: int, most: int) -> Callable[[str, str], bool]:
    return lambda found, _required: least <= int(found) <= most


def _kept_for(found: str, required: str) -> bool:
    # -1 is for ever
    return int(found) == _UNBOUNDED or (int(required) != _UNBOUNDED and int(found) >= int(required))


def _same(found: str, required: str) -> bool:
    return found == required


def _same_policies(found: str, required: str) -> bool:
    return set(found.replace(" ", "").split(",")) == set(required.split(","))


def _dated_by_the_broker(found: str, required: str) -> bool:
    # where the client's time does, the broker's does too: nothing is judged by it
    return required == "CreateTime" or found == required


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
"""Kafka's names of the settings that are judged."""
