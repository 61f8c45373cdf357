from __future__ import annotations

import re

import pytest

from stream_app.contracts.topics import ALL_TOPICS, MAX_STATE_BYTES
from stream_app.local.kafka.cluster_file import Cluster
from stream_app.local.kafka.docker import compose_file
from stream_app.local.kafka.jars import KAFKA_VERSION
from stream_app.local.kafka.node_config import server_properties

COMPOSE = compose_file().read_text()

LISTENER_SETTINGS = {
    "advertised.listeners",
    "controller.quorum.voters",
    "inter.broker.listener.name",
    "listener.security.protocol.map",
    "listeners",
    "log.dirs",
}
BETWEEN_NODES = {
    "listener.name.controller.plain.sasl.jaas.config",
    "sasl.mechanism.controller.protocol",
    "sasl.mechanism.inter.broker.protocol",
}
"""Settings that the container lacks: no other node logs in to the single one in it."""

LOGIN = "listener.name.client.plain.sasl.jaas.config"
PASSWORD = "correct-horse_battery"  # noqa: S105 - an example


def properties(nodes: int, password: str | None = PASSWORD) -> dict[str, str]:
    cluster = Cluster.new(nodes)
    lines = server_properties(cluster.nodes[0], cluster.nodes, password).splitlines()
    return dict(line.split("=", 1) for line in lines)


def compose_environment() -> dict[str, str]:
    entries = re.findall(r"^ {6}KAFKA_([A-Z_]+): (.*)$", COMPOSE, re.MULTILINE)
    return {name.lower().replace("_", "."): value.strip('"') for name, value in entries}


def test_compose_publishes_on_the_loopback_address_only() -> None:
    section = re.search(r"\n    ports:\n((?:      - .*\n)+)", COMPOSE)
    assert section
    published = section[1].split()
    assert [entry for entry in published if entry != "-"] == [
        '"127.0.0.1:${KAFKA_HOST_PORT:-9092}:9092"'
    ]


def test_compose_runs_the_pinned_version() -> None:
    (image,) = re.findall(r"image: (.*)", COMPOSE)
    assert re.fullmatch(rf"apache/kafka:{re.escape(KAFKA_VERSION)}@sha256:[0-9a-f]{{64}}", image)


def test_compose_and_java_run_with_the_same_settings() -> None:
    java = properties(1)
    in_docker = compose_environment()
    in_docker.pop("heap.opts")
    assert in_docker.keys() == java.keys() - BETWEEN_NODES
    for name in in_docker.keys() - LISTENER_SETTINGS - {LOGIN}:
        assert in_docker[name] == java[name], name


def test_a_client_needs_the_password() -> None:
    java = properties(3)
    protocols = java["listener.security.protocol.map"]
    assert protocols == "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT"
    assert f'user_store-uptime="{PASSWORD}"' in java[LOGIN]
    in_docker = compose_environment()
    assert in_docker["listener.security.protocol.map"].startswith(
        "CLIENT:${KAFKA_CLIENT_PASSWORD:+SASL_}PLAINTEXT,"
    )
    assert 'user_store-uptime="${KAFKA_CLIENT_PASSWORD:-}"' in in_docker[LOGIN]
    listening = in_docker["listeners"].split(",")
    assert [each for each in listening if "//127.0.0.1:" not in each] == ["CLIENT://0.0.0.0:9092"]


def test_nodes_that_join_others_without_a_password_require_none() -> None:
    joining = properties(3, None)
    assert joining["listener.security.protocol.map"] == "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
    assert not [name for name in joining if "sasl" in name]


@pytest.mark.parametrize(("nodes", "copies", "in_sync"), [(1, "1", "1"), (3, "3", "2")])
def test_every_internal_topic_has_the_copies_that_the_nodes_allow(
    nodes: int, copies: str, in_sync: str
) -> None:
    settings = properties(nodes)
    factors = {name: value for name, value in settings.items() if "replication.factor" in name}
    assert len(factors) == 4
    assert set(factors.values()) == {copies}
    minimums = [v for name, v in settings.items() if re.search(r"min\.(isr|insync)", name)]
    assert minimums == [in_sync] * 3
    assert settings["controller.quorum.voters"].count("@") == nodes


def test_all_listeners_are_on_the_loopback_address() -> None:
    addresses = re.findall(r"//([^:]*):", properties(3)["listeners"])
    assert addresses == ["127.0.0.1", "127.0.0.1"]


def test_the_broker_accepts_the_largest_record_of_any_topic() -> None:
    settings = properties(3)
    largest = max(spec.max_message_bytes for spec in ALL_TOPICS)
    assert largest <= MAX_STATE_BYTES < int(settings["message.max.bytes"])
    assert int(settings["message.max.bytes"]) < int(settings["replica.fetch.max.bytes"])
