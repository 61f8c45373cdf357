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


def resolve_bootstrap(settings: Settings) -> Settings:
    """The same settings with a broker: the one they name, or else the one of their data dir.

    Raises:
        BrokerUnavailableError: no broker is named and none was started from the data dir.
    """
    if settings.kafka_bootstrap:
        return settings
    found = [
        (written, bootstrap)
        for name in (RUN_FILE, CLUSTER_FILE)
        if (known := _read_bootstrap(settings.data_dir / name)) is not None
        for written, bootstrap in [known]
    ]
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
    """When a file was written and the address that it names; None if it names none."""
    try:
        content = orjson.loads(path.read_bytes())
        written = path.stat().st_mtime
    except (OSError, orjson.JSONDecodeError):
        return None
    bootstrap = content.get("bootstrap") if isinstance(content, dict) else None
    return (written, bootstrap) if isinstance(bootstrap, str) and bootstrap else None
