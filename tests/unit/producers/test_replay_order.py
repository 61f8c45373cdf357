"""In which order a replay sends records and dead letters; their content is tested on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producers import replay as replay_module
from producers.replay import ReplayFiles, replay_files
from producers.summary import Summary
from producers.view import PlainView
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from producers.sink import SinkCount
    from stream_app.contracts.topics import TopicSpec

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


class SinkDouble:
    """Keeps the names of the topics in order, and where it was waited for."""

    def __init__(self, *_: Any) -> None:
        self.counts: dict[str, SinkCount] = {}
        events.clear()

    async def __aenter__(self) -> SinkDouble:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, topic: TopicSpec, _key: bytes, _value: bytes, *, rows: int = 1) -> None:
        assert rows
        events.append(topic.name)

    async def drain(self) -> None:
        events.append("drained")


events: list[str] = []


@pytest.fixture(autouse=True)
def _no_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ensure_topics(_settings: Settings) -> None:
        pass

    monkeypatch.setattr(replay_module, "ensure_topics", ensure_topics)
    monkeypatch.setattr(replay_module, "RecordSink", SinkDouble)


async def send(folder: Path, *bad_hours: str) -> list[str]:
    hours, polls = folder / "h.csv", folder / "p.csv"
    header = "store_id,day,start_time_local,end_time_local"
    hours.write_text("\n".join([header, f"{STORE},0,09:00,17:00", *bad_hours]), encoding="utf-8")
    polls.write_text(
        f"store_id,status,timestamp_utc\n{STORE},on,\n{STORE},active,2024-03-10 12:00:00 UTC\n",
        encoding="utf-8",
    )
    await replay_files(
        ReplayFiles(status=[polls], hours=[hours]),
        SETTINGS,
        view=PlainView(),
        summary=Summary(),
        clock=lambda: 1_800_000_000_000_000,
    )
    return events


async def test_hours_are_acknowledged_before_their_bad_rows_become_letters(tmp_path: Path) -> None:
    """So that a row is younger than what its own run sent: `dead-letters replay` adds it."""
    assert await send(tmp_path, f"{STORE},1,9 am,17:00", f"{STORE},2,9 am,17:00") == [
        "store-business-hours",
        "drained",
        "dead-letters",
        "dead-letters",
        "dead-letters",
        "store-status",
        "drained",
    ]


async def test_only_so_many_bad_rows_are_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "MAX_HELD_REFUSALS", 1)
    sent = await send(tmp_path, f"{STORE},1,9 am,17:00", f"{STORE},2,9 am,17:00")
    assert sent[:4] == ["dead-letters", "dead-letters", "store-business-hours", "drained"]
