"""The changelog decides at which offsets a worker reads on, and reports name lost input."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.protocol.admin import DeleteGroupsRequest

from stream_app.contracts.dead_letters import DeadLetter, decode_dead_letter
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import APP_ID, CONSUMED_TOPICS, DEAD_LETTERS, STORE_STATUS
from stream_app.kafka.clients import connection
from tests.faults.deployment import Deployment, deployment
from tests.faults.report_requests import Client

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.faults,
    pytest.mark.faults_short,
    pytest.mark.timeout(240),
]

REFERENCE: Final = datetime(2024, 2, 1, 11, tzinfo=UTC)


class Scene:
    """One store of a running product, and an operator who changes its topics."""

    def __init__(self, product: Deployment, client: Client) -> None:
        self.product = product
        self.client = client
        self.store = str(uuid.uuid4())
        self.partition = partition_of(self.store.encode(), product.settings.partitions)
        self.tp = TopicPartition(STORE_STATUS.name, self.partition)

    async def send_poll(self, status: str, clock: str) -> None:
        body = {"status": status, "timestamp_utc": f"2024-02-01T{clock}:00Z"}
        answer, content = await self.client.request(
            "POST", f"/stores/{self.store}/status", json=body
        )
        assert answer == 202, content

    async def last_hour(self) -> tuple[float, dict[str, Any]]:
        """Request a report, and return its minutes up in the last hour and the whole report."""
        report_id = await self.client.trigger_at(self.store, REFERENCE)
        status, content = await self.client.wait_until_finished(report_id)
        assert status == "complete", content
        return content["uptime_last_hour"], content

    async def end_offset(self) -> int:
        async with AIOKafkaConsumer(**connection(self.product.settings)) as consumer:
            return int((await consumer.end_offsets([self.tp]))[self.tp])

    async def delete_below(self, offset: int) -> None:
        admin = AIOKafkaAdminClient(**connection(self.product.settings))
        await admin.start()
        try:
            await admin.delete_records({self.tp: RecordsToDelete(offset)})
        finally:
            await admin.close()

    async def set_group_to(self, *, beginning: bool) -> None:
        """Move the offsets of the workers' group, which has no member now."""
        partitions = [
            TopicPartition(spec.name, number)
            for spec in CONSUMED_TOPICS
            for number in range(self.product.settings.partitions)
        ]
        async with AIOKafkaConsumer(
            **connection(self.product.settings), group_id=APP_ID, enable_auto_commit=False
        ) as consumer:
            consumer.assign(partitions)
            fetch = consumer.beginning_offsets if beginning else consumer.end_offsets
            await consumer.commit(dict(await fetch(partitions)))

    async def dead_letters(self) -> list[DeadLetter]:
        tp = TopicPartition(DEAD_LETTERS.name, 0)
        async with AIOKafkaConsumer(
            **connection(self.product.settings), auto_offset_reset="earliest"
        ) as consumer:
            consumer.assign([tp])
            end = (await consumer.end_offsets([tp]))[tp]
            dead_letters: list[DeadLetter] = []
            while await consumer.position(tp) < end:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    dead_letters += [decode_dead_letter(record.value) for record in records]
            return dead_letters


async def test_polls_that_were_deleted_before_a_worker_read_them_are_reported_as_lost(
    tmp_path: Path,
) -> None:
    async with deployment(tmp_path, workers=1) as product, Client(product.address) as client:
        scene = Scene(product, client)
        worker = product.workers["worker-1"]
        await scene.send_poll("active", "09:00")
        minutes, content = await scene.last_hour()
        assert (minutes, "lost_input" in content) == (60, False)

        assert await worker.stop() == 0
        first = await scene.end_offset()
        await scene.send_poll("inactive", "10:00")
        await scene.send_poll("active", "10:30")
        await scene.delete_below(first + 2)
        await worker.start()
        await product.wait_until_ready()

        lost = {
            "topic": STORE_STATUS.name,
            "partition": scene.partition,
            "first_offset": first,
            "end_offset": first + 2,
        }
        assert (await scene.last_hour())[1]["lost_input"] == [lost]
        assert worker.logged(f"lost: the records of store-status/{scene.partition} from offset")
        (dead_letter,) = await scene.dead_letters()
        assert dead_letter.source == {
            "topic": STORE_STATUS.name,
            "partition": scene.partition,
            "offset": first,
        }
        assert "were deleted from the log" in dead_letter.reason

        # the changelog has the loss: the next owner reports it too, without another dead letter
        await product.rebuild()
        assert (await scene.last_hour())[1]["lost_input"] == [lost]
        assert len(await scene.dead_letters()) == 1


async def test_the_groups_offsets_decide_nothing(tmp_path: Path) -> None:
    async with deployment(tmp_path, workers=1) as product, Client(product.address) as client:
        scene = Scene(product, client)
        worker = product.workers["worker-1"]
        await scene.send_poll("active", "09:00")
        assert (await scene.last_hour())[0] == 60

        # the offsets are moved forward, past a record that no owner has applied
        assert await worker.stop() == 0
        await scene.send_poll("inactive", "10:30")
        await scene.set_group_to(beginning=False)
        await worker.start()
        minutes, content = await scene.last_hour()
        assert (minutes, "lost_input" in content) == (30, False)

        # the offsets are moved back to the beginning: all records are read again, without effect
        assert await worker.stop() == 0
        await scene.set_group_to(beginning=True)
        await worker.start()
        assert (await scene.last_hour())[0] == 30

        # the offsets have expired
        assert await worker.stop() == 0
        admin = AIOKafkaAdminClient(**connection(product.settings))
        await admin.start()
        coordinator = await admin.find_coordinator(APP_ID)
        await admin._send_request(DeleteGroupsRequest([APP_ID]), coordinator)
        await admin.close()
        await worker.start()
        minutes, content = await scene.last_hour()
        assert (minutes, "lost_input" in content) == (30, False)
        assert await scene.dead_letters() == []
