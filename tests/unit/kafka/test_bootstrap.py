from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from stream_app.data_dir import CLUSTER_FILE, DOCKER_FILE, RUN_FILE
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.local_login import PASSWORD_FILE
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path


def resolve(data_dir: Path, bootstrap: str | None = None) -> str:
    settings = Settings.from_environment({}, data_dir=data_dir, kafka_bootstrap=bootstrap)
    return resolve_bootstrap(settings).kafka_bootstrap


def write(path: Path, content: Any, age: int = 0) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")
    os.utime(path, (1_000_000 - age, 1_000_000 - age))


RUN = {"bootstrap": "127.0.0.1:1001", "api": "http://127.0.0.1:8000", "pid": 7}
CLUSTER = {
    "cluster_id": "x",
    "nodes": [
        {"id": 1, "port": 2001, "controller_port": 2002, "pid": 8},
        {"id": 2, "port": 2003, "controller_port": 2004, "pid": 9},
    ],
}


DOCKER = {"project": "x", "port": 3001, "bootstrap": "127.0.0.1:3001"}


@pytest.mark.parametrize("file", [CLUSTER_FILE, DOCKER_FILE])
@pytest.mark.parametrize("is_named", [False, True])
def test_a_client_logs_in_to_the_broker_of_its_data_folder(
    tmp_path: Path, file: str, is_named: bool
) -> None:
    write(tmp_path / file, CLUSTER if file == CLUSTER_FILE else DOCKER)
    settings = Settings.from_environment({}, data_dir=tmp_path)
    assert resolve_bootstrap(settings).kafka_security_protocol == "PLAINTEXT", "of before"
    (tmp_path / PASSWORD_FILE).write_text("secret\n")
    bootstrap = resolve(tmp_path).split(",")[0] if is_named else None
    settings = Settings.from_environment({}, data_dir=tmp_path, kafka_bootstrap=bootstrap)
    resolved = resolve_bootstrap(settings)
    assert (resolved.kafka_security_protocol, resolved.kafka_sasl_mechanism) == (
        "SASL_PLAINTEXT",
        "PLAIN",
    )
    assert (resolved.kafka_sasl_username, resolved.kafka_sasl_password.get_secret_value()) == (
        "store-uptime",
        "secret",
    )


def test_another_broker_does_not_get_the_password(tmp_path: Path) -> None:
    write(tmp_path / CLUSTER_FILE, CLUSTER)
    (tmp_path / PASSWORD_FILE).write_text("secret\n")
    for bootstrap in ("broker:9092", "127.0.0.1:2001,broker:9092", "127.0.0.1:20011"):
        settings = Settings.from_environment({}, data_dir=tmp_path, kafka_bootstrap=bootstrap)
        assert resolve_bootstrap(settings) == settings


def test_a_named_broker_is_used(tmp_path: Path) -> None:
    write(tmp_path / RUN_FILE, RUN)
    assert resolve(tmp_path, "broker:9092") == "broker:9092"


def test_the_broker_of_a_run_is_found(tmp_path: Path) -> None:
    write(tmp_path / RUN_FILE, RUN)
    assert resolve(tmp_path) == "127.0.0.1:1001"


def test_the_local_cluster_is_found_with_all_its_nodes(tmp_path: Path) -> None:
    write(tmp_path / CLUSTER_FILE, CLUSTER)
    assert resolve(tmp_path) == "127.0.0.1:2001,127.0.0.1:2003"


@pytest.mark.parametrize(
    ("age_of_run", "expected"), [(10, "127.0.0.1:2001,127.0.0.1:2003"), (-10, "127.0.0.1:1001")]
)
def test_the_later_file_wins(tmp_path: Path, age_of_run: int, expected: str) -> None:
    write(tmp_path / RUN_FILE, RUN, age_of_run)
    write(tmp_path / CLUSTER_FILE, CLUSTER)
    assert resolve(tmp_path) == expected


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"bootstrap": ""},
        {"bootstrap": 5},
        {"nodes": []},
        {"nodes": [{"port": 1}, {}]},
    ],
)
def test_a_file_that_names_no_broker_is_ignored(tmp_path: Path, content: Any) -> None:
    write(tmp_path / RUN_FILE, content)
    with pytest.raises(BrokerUnavailableError, match="none was started from"):
        resolve(tmp_path)
