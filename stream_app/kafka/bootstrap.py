"""Finds the brokers where no setting names them: in the data dir of a local run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from stream_app.authority import LOOPBACK
from stream_app.data_dir import CLUSTER_FILE, DOCKER_FILE, RUN_FILE
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.local_login import login_settings, read_password

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings


def resolve_bootstrap(settings: Settings) -> Settings:
    """Return the same settings with a broker: the one they name, or else the one of their data dir.

    To the broker of the data dir they log in with its password, also where they name it.

    Raises:
        BrokerUnavailableError: no broker is named and none was started from the data dir.
        PrerequisiteError: the password of the data dir cannot be read.
    """
    if not settings.kafka_bootstrap:
        settings = settings.replace(kafka_bootstrap=_find_bootstrap(settings))
    if settings.kafka_security_protocol == "PLAINTEXT" and _is_of_data_dir(settings):
        return settings.replace(**login_settings(read_password(settings.data_dir)))
    return settings


def _find_bootstrap(settings: Settings) -> str:
    files = (RUN_FILE, CLUSTER_FILE, DOCKER_FILE)
    written = (_read_bootstrap(settings.data_dir / name) for name in files)
    candidates = [candidate for candidate in written if candidate]
    if not candidates:
        raise BrokerUnavailableError(
            f"no Kafka broker is named, and none was started from {settings.data_dir}: run "
            "`store-uptime up` or `store-uptime kafka start`, give their --data-dir, or set "
            "STORE_UPTIME_KAFKA_BOOTSTRAP"
        )
    # a run that was killed leaves its file behind: the later one is about what runs now
    _, bootstrap = max(candidates)
    return bootstrap


def _is_of_data_dir(settings: Settings) -> bool:
    """Return whether all addresses are those of the broker that was started from the data dir."""
    written = (_read_bootstrap(settings.data_dir / name) for name in (CLUSTER_FILE, DOCKER_FILE))
    own = {address for file in written if file for address in file[1].split(",")}
    return own.issuperset(settings.kafka_bootstrap.split(","))


def _read_bootstrap(path: Path) -> tuple[float, str] | None:
    """Return when a file was written, and the addresses that it names; None if it names none."""
    try:
        written = path.stat().st_mtime
        match orjson.loads(path.read_bytes()):
            case {"bootstrap": str(bootstrap)} if bootstrap:
                return written, bootstrap
            case {"nodes": [{"port": int()}, *_] as nodes}:
                return written, ",".join(f"{LOOPBACK}:{node['port']}" for node in nodes)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        pass
    return None
