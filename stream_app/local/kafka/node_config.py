"""The settings files of one Kafka node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stream_app.authority import LOOPBACK
from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.data_dir import LOGS_FOLDER
from stream_app.local.kafka.password import listener_jaas_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stream_app.local.kafka.cluster_file import NodeAddress

MAX_BATCH_BYTES: Final = MAX_STATE_BYTES + 1_000_000
"""The bytes of a batch with the largest record, its key and its headers."""

_YEAR_MINUTES: Final = 365 * 24 * 60


def server_properties(
    node: NodeAddress, nodes: Sequence[NodeAddress], password: str | None = None
) -> str:
    """Return the text of server.properties.

    All paths are relative to the node's folder, in which it runs, so no path needs escaping.

    Args:
        node: the node that gets the settings.
        nodes: all nodes of the cluster.
        password: the password of clients and other nodes; None if they need none, as in a running
            cluster that an earlier version started.
    """
    # nodes find each other by the listener's name, which running nodes without a password have kept
    name = "CLIENT" if password else "PLAINTEXT"
    protocol = "SASL_PLAINTEXT" if password else "PLAINTEXT"
    copies = min(3, len(nodes))
    in_sync = 2 if copies >= 3 else 1
    voters = ",".join(f"{other.id}@{LOOPBACK}:{other.controller_port}" for other in nodes)
    client = f"{name}://{LOOPBACK}:{node.port}"
    settings: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": voters,
        "listeners": f"{client},CONTROLLER://{LOOPBACK}:{node.controller_port}",
        "advertised.listeners": client,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": name,
        "listener.security.protocol.map": f"{name}:{protocol},CONTROLLER:{protocol}",
        "log.dirs": "log",
        # only stream_app.kafka.admin creates topics, never the first access of a client
        "auto.create.topics.enable": "false",
        "num.partitions": 1,
        "default.replication.factor": copies,
        "min.insync.replicas": in_sync,
        "message.max.bytes": MAX_BATCH_BYTES,
        "replica.fetch.max.bytes": MAX_BATCH_BYTES + 1_000_000,
        # by default a group waits at each start for more workers
        "group.initial.rebalance.delay.ms": 0,
        "offsets.topic.num.partitions": 8,
        "offsets.topic.replication.factor": copies,
        # by default offsets are lost when nothing runs on the data dir for a week
        "offsets.retention.minutes": _YEAR_MINUTES,
        "transaction.state.log.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.num.partitions": 4,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": in_sync,
        # a killed node can join again only when its last session has ended (after 9 s by default)
        "broker.heartbeat.interval.ms": 500,
        "broker.session.timeout.ms": 4000,
        # by default 128 MB of heap; 16 MB are enough for 600,000 keys in one pass of the cleaner
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
    }
    if password:
        settings |= _login(password)
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _login(password: str) -> dict[str, str]:
    return {
        "sasl.enabled.mechanisms": "PLAIN",
        "sasl.mechanism.inter.broker.protocol": "PLAIN",
        "sasl.mechanism.controller.protocol": "PLAIN",
        "listener.name.client.plain.sasl.jaas.config": listener_jaas_config(password),
        "listener.name.controller.plain.sasl.jaas.config": listener_jaas_config(password),
    }


def log4j2_configuration(node_id: int) -> str:
    """Return the text of log4j2.xml: a rolling file beside the other logs of the data dir."""
    path = f"../../{LOGS_FOLDER}/kafka-{node_id}.log"
    # with its shutdown hook log4j stops before Kafka's own shutdown is logged; the logger with the
    # level WARN lists all settings at each start, which are in server.properties
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<Configuration status="WARN" shutdownHook="disable">
  <Appenders>
    <RollingFile name="file" fileName="{path}" filePattern="{path}.%i">
      <PatternLayout pattern="%d %p %m (%c)%n"/>
      <SizeBasedTriggeringPolicy size="10MB"/>
      <DefaultRolloverStrategy max="2" fileIndex="min"/>
    </RollingFile>
  </Appenders>
  <Loggers>
    <Logger name="org.apache.kafka.common.config" level="WARN"/>
    <Root level="INFO"><AppenderRef ref="file"/></Root>
  </Loggers>
</Configuration>
"""
