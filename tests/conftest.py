"""Fixtures of many tests: a real Apache Kafka, which the product itself starts once a session."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.local.kafka.choose import choose_broker
from stream_app.setting_variables import PREFIX
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# no test measures speed: an example may take any time on a busy machine
hypothesis_settings.register_profile(
    "untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_from_outside() -> Iterator[None]:
    """Remove settings of the product from the environment of the tests, except the cache folder."""
    removed = {
        name: os.environ.pop(name)
        for name in list(os.environ)
        if name.startswith(PREFIX) and name != f"{PREFIX}CACHE_DIR"
    }
    yield
    os.environ.update(removed)


@pytest.fixture(scope="session")
def kafka_broker(
    tmp_path_factory: pytest.TempPathFactory, _no_settings_from_outside: None
) -> Iterator[Settings]:
    """Start a real broker for the session, and return settings for it; it has no topics yet."""
    data_dir: Path = tmp_path_factory.mktemp("kafka")
    settings = Settings.from_environment(os.environ, data_dir=data_dir)
    broker = asyncio.run(choose_broker(settings, nodes=1, report=print))
    started = asyncio.run(broker.start(tied=True))
    yield resolve_bootstrap(settings.replace(kafka_bootstrap=started.bootstrap))
    asyncio.run(broker.stop())


@pytest.fixture(scope="session")
def kafka_settings(kafka_broker: Settings) -> Settings:
    """Create all topics on the broker of the session, and return settings for it."""
    asyncio.run(ensure_topics(kafka_broker))
    return kafka_broker
