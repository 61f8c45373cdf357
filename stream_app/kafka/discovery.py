"""Where the brokers are when no setting says so: the data dir of a local run tells."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from stream_app.errors import BrokerUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

RUN_FILE: Final = "run.json"
"""Written by `store-uptime up` into the data dir."""

CLUSTER_FILE: Final = "kafka/cluster.json"
"""Written by `store-uptime kafka start` into the data dir."""

_LOOPBACK: Final = "127.0.0.1"


def resolve_bootstrap(settings: Settings) -> Settings:
    """The same settings with a broker: the one they name, or else the one of their data dir.

    Raises:
        BrokerUnavailableError: no broker is named and none was started from the data dir.
    """
    if settings.kafka_bootstrap:
        return settings
    told = (_read_bootstrap(settings.data_dir / name) for name in (RUN_FILE, CLUSTER_FILE))
    found = [written_and_bootstrap for written_and_bootstrap in told if written_and_bootstrap]
    if not found:
        raise BrokerUnavailableError(
            f"no Kafka broker is named, and none was started from {settings.data_dir}: run "
            "`store-uptime up` or `store-uptime kafka start`, give their --data-dir, or set "
            "STORE_UPTIME_KAFKA_BOOTSTRAP"
        )
    # a run that was killed leaves its file behind: the later one is about what runs now
    _, bootstrap = max(found)
    return replace(settings, kafka_bootstrap=bootstrap)


def _read_bootstrap(path: Path) -> tuple[float, str] | None:
    """When a file was written and the addresses that it names; None if it names none."""
    try:
        written = path.stat().st_mtime
        match orjson.loads(path.read_bytes()):
            case {"bootstrap": str(bootstrap)} if bootstrap:
                return written, bootstrap
            case {"nodes": [{"port": int()}, *_] as nodes}:
                return written, ",".join(f"{_LOOPBACK}:{node['port']}" for node in nodes)
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        pass
    return None
