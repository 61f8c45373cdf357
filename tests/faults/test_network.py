"""Fault 15: the network between a worker and the broker is cut and mended."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.faults.deployment import COMMAND, FENCED, OWNS, OWNS_ALL
from tests.faults.network import second_network
from tests.faults.test_brokers import BACK, LOST

if TYPE_CHECKING:
    from tests.faults.conftest import UnderLoad
    from tests.faults.network import Cut

pytestmark = [pytest.mark.kafka, pytest.mark.faults, pytest.mark.timeout(420)]


@pytest.mark.parametrize("how", ["refused", "silent"])
async def test_a_worker_is_cut_off_for_longer_than_its_session(
    faulty: UnderLoad, how: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's records in flight arrive after another owns its partitions; they are ignored."""
    async with (
        second_network(monkeypatch) as network,
        faulty(f"15: network of a worker cut ({how}) beyond its session", workers=1) as scene,
    ):
        heir = scene.product.workers["worker-1"]
        program = ("env", f"STORE_UPTIME_KAFKA_BOOTSTRAP={network.address}", *COMMAND)
        victim = scene.product.new_worker("worker-2", program=program)
        victim.may_end(FENCED)
        await victim.start()
        await victim.wait_until_logged(OWNS)
        await scene.load.wait_until_acknowledged(300)
        for process in (heir, victim):
            process.mark()
        scene.mark_fault()
        await network.cut(how)
        await heir.wait_until_logged(OWNS_ALL)
        # newer polls of the same stores, in buckets for which the victim has records in flight
        await scene.load.wait_until_acknowledged(500)
        await network.mend()
        await victim.wait_until_logged(OWNS)
        assert victim.logged(LOST)


async def test_a_worker_is_cut_off_for_less_than_its_session(
    faulty: UnderLoad, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        second_network(monkeypatch) as network,
        faulty("15: network of a worker cut for 5 s", workers=1) as scene,
    ):
        program = ("env", f"STORE_UPTIME_KAFKA_BOOTSTRAP={network.address}", *COMMAND)
        victim = scene.product.new_worker("worker-2", program=program)
        await victim.start()
        await victim.wait_until_logged(OWNS)
        for how in ("refused", "silent"):
            victim.mark()
            scene.mark_fault()
            await network.cut(how)
            await asyncio.sleep(5)
            await network.mend()
            await victim.wait_until_logged(BACK)
            await scene.load.wait_until_acknowledged(300)
