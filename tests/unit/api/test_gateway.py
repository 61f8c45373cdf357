"""What the API says of its own readiness."""

from __future__ import annotations

from typing import Any

import pytest

from api.gateway import Gateway
from tests.fakes import SETTINGS

TOLD = "stores cannot be read: TopicAuthorizationFailedError('stores')"


@pytest.fixture
async def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = Gateway(SETTINGS, lambda: 0)

    async def ask(_: Any) -> dict[Any, int]:
        return {}

    made._link._trouble = None
    monkeypatch.setattr(made._highwaters, "ask", ask)
    monkeypatch.setattr(made._progress, "unowned", list)
    return made


async def test_it_is_ready_when_nothing_is_wrong(gateway: Gateway) -> None:
    assert await gateway.trouble() is None


@pytest.mark.parametrize("number", range(4))
async def test_it_is_not_ready_while_a_topic_cannot_be_read(gateway: Gateway, number: int) -> None:
    followed = gateway._followed[number]
    tail = getattr(followed, "_tail", followed)
    tail._trouble = TOLD
    assert await gateway.trouble() == TOLD
    tail._trouble = None
    assert await gateway.trouble() is None
