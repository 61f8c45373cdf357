from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from stream_app.data_dir import CLUSTER_FILE
from stream_app.errors import PrerequisiteError
from stream_app.local.kafka.cluster_file import Cluster

if TYPE_CHECKING:
    from pathlib import Path


def test_ports_and_cluster_id_are_stored(tmp_path: Path) -> None:
    cluster = Cluster.new(3)
    cluster.nodes[1].pid = 4711
    cluster.save(tmp_path)
    loaded = Cluster.load(tmp_path)
    assert loaded == cluster

    loaded.renew_busy_ports()
    assert loaded == cluster
    ports = [port for node in loaded.nodes for port in (node.port, node.controller_port)]
    assert len(set(ports)) == 6
    assert loaded.bootstrap == ",".join(f"127.0.0.1:{node.port}" for node in loaded.nodes)


def test_a_port_in_use_by_another_program_is_replaced(tmp_path: Path) -> None:
    Cluster.new(3).save(tmp_path)
    cluster = Cluster.load(tmp_path)
    before = Cluster.load(tmp_path)
    assert cluster
    assert before
    with socket.create_server(("127.0.0.1", cluster.nodes[1].controller_port)):
        cluster.renew_busy_ports()
    assert cluster.nodes[1].controller_port != before.nodes[1].controller_port
    cluster.nodes[1].controller_port = before.nodes[1].controller_port
    assert cluster == before, "the other ports stay"


def test_a_new_folder_has_no_cluster(tmp_path: Path) -> None:
    assert Cluster.load(tmp_path) is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"nodes": []}', '{"nodes": [{"x": 1}]}'])
def test_an_unreadable_file_is_one_clear_line(text: str, tmp_path: Path) -> None:
    path = tmp_path / CLUSTER_FILE
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(PrerequisiteError, match=r"cannot read .*cluster\.json.*another data dir"):
        Cluster.load(tmp_path)


def test_kafka_accepts_the_cluster_ids() -> None:
    for _ in range(200):
        text = Cluster.new(0).cluster_id
        assert len(text) == 22
        assert not text.startswith("-")


def test_a_file_in_place_of_the_folder_is_no_cluster(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    assert Cluster.load(tmp_path / "data") is None


def test_the_error_for_an_unreadable_folder_does_not_ask_to_remove_it(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError) as refusal:
        Cluster.load(tmp_path / ("x" * 300))
    assert "File name too long" in str(refusal.value)
    assert "remove" not in str(refusal.value)
