"""Topics that another program has created, changed or deleted, on a broker of these tests."""

from __future__ import annotations

import asyncio
import os
import re
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.protocol.admin import DescribeConfigsRequest

from producers.record_sink import RecordSink
from stream_app.contracts.polls import encode_poll_batch
from stream_app.contracts.topic_rules import CHECKED_SETTINGS, differences
from stream_app.contracts.topics import ALL_TOPICS, STORE_STATUS
from stream_app.domain.timestamps import DAY, MINUTE
from stream_app.errors import PrerequisiteError, WorkersBehindError
from stream_app.kafka.admin import ensure_topics
from stream_app.kafka.bootstrap import resolve_bootstrap
from stream_app.kafka.clients import connection
from stream_app.kafka.protocol import TOPIC, IncrementalAlterConfigsRequest, ask_any_broker
from stream_app.kafka.topic_ids import describe_topics
from stream_app.kafka.topic_watch import ASK_EVERY_SECONDS
from stream_app.local.kafka.choose import choose_broker
from stream_app.settings import Settings
from tests.integration.gateways import now, running_gateway
from tests.integration.worker_process import running_worker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from api.gateway import Gateway

pytestmark = pytest.mark.kafka

POLLS = STORE_STATUS.name


@pytest.fixture(scope="module")
def own_broker(
    tmp_path_factory: pytest.TempPathFactory, _no_settings_from_outside: None
) -> Iterator[Settings]:
    data_dir: Path = tmp_path_factory.mktemp("kafka")
    settings = Settings.from_environment(os.environ, data_dir=data_dir, partitions=4)
    broker = asyncio.run(choose_broker(settings, nodes=1, report=print))
    started = asyncio.run(broker.start(tied=True))
    yield resolve_bootstrap(settings.replace(kafka_bootstrap=started.bootstrap))
    asyncio.run(broker.stop())


@pytest.fixture
async def admin(own_broker: Settings) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection(own_broker))
    await client.start()
    yield client
    await client.close()


@pytest.fixture
async def settings(own_broker: Settings, admin: AIOKafkaAdminClient, tmp_path: Path) -> Settings:
    """Delete all topics of the broker, and return its settings."""
    await delete(admin, [spec.name for spec in ALL_TOPICS])
    return own_broker.replace(data_dir=tmp_path)


async def delete(admin: AIOKafkaAdminClient, names: list[str]) -> None:
    await admin.delete_topics(names)
    while await describe_topics(admin, names):  # noqa: ASYNC110  a broker
        await asyncio.sleep(0.05)


async def config_of(admin: AIOKafkaAdminClient, *names: str) -> dict[str, dict[str, str]]:
    request = DescribeConfigsRequest([(TOPIC, name, None) for name in names])
    response = await ask_any_broker(admin, request)
    return {name: {e[0]: e[1] for e in entries} for _, _, _, name, entries in response.resources}


async def wait_for(condition: Any, seconds: float = 30.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (result := await condition()):  # noqa: ASYNC110  other processes
            await asyncio.sleep(0.05)
        return result


async def wait_until_set(admin: AIOKafkaAdminClient, topic: str, setting: str, value: str) -> None:
    """Wait for the new value of a setting: a broker answers with the old one for a moment."""

    async def is_set() -> bool:
        return (await config_of(admin, topic))[topic].get(setting) == value

    await wait_for(is_set)


async def send_poll(settings: Settings, store_id: str) -> None:
    async with RecordSink(settings) as sink:
        value = encode_poll_batch(store_id, [(now() - MINUTE, True)])
        await sink.send(STORE_STATUS, store_id.encode(), value)


async def is_known(gateway: Gateway, store_id: str) -> bool:
    try:
        return await gateway.store_service.store_exists(store_id)
    except WorkersBehindError:
        return False


# -- at the start


async def test_topics_with_kafkas_defaults_get_the_products_settings(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await admin.create_topics(
        [
            NewTopic(
                spec.name, spec.partitions(settings), 1, topic_configs={"segment.ms": "777777"}
            )
            for spec in ALL_TOPICS
        ]
    )

    assert await ensure_topics(settings) == 0

    await wait_until_set(admin, ALL_TOPICS[-1].name, "cleanup.policy", ALL_TOPICS[-1].cleanup)
    configs = await config_of(admin, *(spec.name for spec in ALL_TOPICS))
    for spec in ALL_TOPICS:
        assert configs[spec.name].keys() >= set(CHECKED_SETTINGS)
        assert differences(spec, settings, configs[spec.name], 1) == []
        assert configs[spec.name]["segment.ms"] == "777777", "operators choose it"
    assert configs["stores"]["cleanup.policy"] == "compact"
    assert configs[POLLS]["message.timestamp.type"] == "LogAppendTime"


async def test_report_retention_that_grows_is_followed(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await ensure_topics(settings)
    await ensure_topics(settings.replace(report_retention=14 * DAY))

    fortnight = str(14 * DAY // 1000)
    for name in ("report-requests", "report-results", "webhooks"):
        await wait_until_set(admin, name, "retention.ms", fortnight)
    await wait_until_set(admin, "report-results", "min.compaction.lag.ms", fortnight)


async def test_a_change_that_the_broker_refuses_is_reported_in_its_words(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await ensure_topics(settings)
    # the broker refuses a least lag that is longer than the longest one
    own = {"min.compaction.lag.ms": "1", "max.compaction.lag.ms": "5"}
    await ask_any_broker(admin, IncrementalAlterConfigsRequest({"report-results": own}))
    await wait_until_set(admin, "report-results", "max.compaction.lag.ms", "5")

    with pytest.raises(PrerequisiteError) as refused:
        await ensure_topics(settings)

    message = str(refused.value)
    assert "report-results: min.compaction.lag.ms is 1, must be at least 604800000" in message
    assert "max.compaction.lag.ms" in message


# -- while running


async def test_an_added_partition_is_reported_as_an_error(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await ensure_topics(settings)
    log_file = settings.data_dir / "worker.log"
    before, after = str(uuid.uuid4()), str(uuid.uuid4())
    async with running_worker(settings, log_file=log_file), running_gateway(settings) as gateway:
        await send_poll(settings, before)
        await wait_for(lambda: is_known(gateway, before))
        assert await gateway.readiness.unavailable_reason() is None

        await admin.create_partitions({POLLS: NewPartitions(5)})

        reason = await wait_for(gateway.readiness.unavailable_reason, seconds=15)
        assert f"{POLLS}: partitions is 5, must be 4" in reason
        await wait_for(lambda: _logged(log_file, f"ERROR .*{POLLS}: partitions is 5"), seconds=15)
        # polls of clients that use the number of partitions in the settings count as before
        await send_poll(settings, after)
        await wait_for(lambda: is_known(gateway, after))

    with pytest.raises(PrerequisiteError, match=f"{POLLS}: partitions is 5, must be 4"):
        await ensure_topics(settings)


async def _logged(log_file: Path, pattern: str) -> bool:
    return re.search(pattern, await asyncio.to_thread(log_file.read_text)) is not None


async def test_a_source_topic_made_anew_is_waited_for_until_a_worker_has_it(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await ensure_topics(settings)
    old, new = str(uuid.uuid4()), str(uuid.uuid4())
    async with running_gateway(settings) as gateway:
        async with running_worker(settings):
            # the new topic gets at least as many records: offsets alone do not tell it from the old
            await send_poll(settings, old)
            await wait_for(lambda: is_known(gateway, old))
        await delete(admin, [POLLS])
        await ensure_topics(settings)
        for _ in range(3):
            await send_poll(settings, old)
        await send_poll(settings, new)
        await asyncio.sleep(2 * ASK_EVERY_SECONDS)

        for query in (
            gateway.store_service.store_exists(new),
            gateway.store_service.page("", "", 10),
            gateway.store_service.get(new),
        ):
            with pytest.raises(WorkersBehindError):
                await query
        reason = await gateway.readiness.unavailable_reason()
        assert reason is not None
        assert "no worker owns partitions" in reason

        async with running_worker(settings):
            await wait_for(lambda: is_known(gateway, new))
            assert new in (await gateway.store_service.page("", "", 10)).store_ids


async def test_a_worker_whose_topic_is_made_anew_ends_and_reads_it_when_it_is_back(
    settings: Settings, admin: AIOKafkaAdminClient
) -> None:
    await ensure_topics(settings)
    log_file = settings.data_dir / "worker.log"
    old, new = str(uuid.uuid4()), str(uuid.uuid4())
    async with running_gateway(settings) as gateway:
        async with running_worker(settings, log_file=log_file) as worker:
            for _ in range(5):
                await send_poll(settings, old)
            await wait_for(lambda: is_known(gateway, old))
            await delete(admin, [POLLS])
            await ensure_topics(settings)
            await send_poll(settings, new)
            assert await asyncio.wait_for(worker.wait_until_ended(), 30) == 1
        assert f"topic {POLLS} was deleted and made anew" in log_file.read_text()

        async with running_worker(settings):
            await wait_for(lambda: is_known(gateway, new))
            assert await gateway.store_service.store_exists(old)
