from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from stream_app.cli.up import stack_settings
from stream_app.local.kafka.cluster_file import Cluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("nodes", "environment", "replication"),
    [
        (None, {}, 1),
        (1, {}, 1),
        (3, {}, 3),
        (3, {"STORE_UPTIME_REPLICATION": "2"}, 2),
        (3, {"STORE_UPTIME_KAFKA_BOOTSTRAP": "kafka.example:9092"}, 1),
    ],
)
def test_three_local_nodes_keep_three_copies(
    nodes: int | None, environment: dict[str, str], replication: int, tmp_path: Path
) -> None:
    settings = stack_settings(environment, nodes=nodes, data_dir=tmp_path)
    assert settings.replication == replication


def test_the_number_of_nodes_comes_from_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "kafka").mkdir()
    Cluster.new(3).save(tmp_path)
    assert stack_settings({}, nodes=None, data_dir=tmp_path).replication == 3
