"""A process waits until a new cluster has a coordinator for its group."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka.errors import GroupCoordinatorNotAvailableError

from stream_app.contracts.topics import APP_ID
from stream_app.kafka import admin as module
from stream_app.kafka.admin import _wait_for_coordinator


class NewCluster:
    """A cluster that has no coordinator for the first requests."""

    def __init__(self, not_yet: int) -> None:
        self.not_yet = not_yet
        self.lookups: list[str] = []

    async def find_coordinator(self, group: str) -> int:
        self.lookups.append(group)
        if len(self.lookups) <= self.not_yet:
            raise GroupCoordinatorNotAvailableError
        return 1


@pytest.mark.parametrize(("not_yet", "expected_lookups"), [(0, 1), (3, 4), (1000, 50)])
async def test_the_coordinator_is_looked_for_until_there_is_one_but_not_for_ever(
    not_yet: int, expected_lookups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_COORDINATOR_PAUSE_SECONDS", 0)
    cluster: Any = NewCluster(not_yet)

    await _wait_for_coordinator(cluster, APP_ID)

    assert cluster.lookups == [APP_ID] * expected_lookups
