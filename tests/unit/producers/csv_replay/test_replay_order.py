"""A replay sends records and dead letters in a fixed order; their content is tested on Kafka."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producers.csv_replay import replay as replay_module
from producers.csv_replay.progress_view import PlainView
from producers.csv_replay.replay import ReplayFiles, replay_files
from producers.csv_replay.summary import Summary
from stream_app.errors import StoreUptimeError
from stream_app.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from producers.record_sink import SinkCount
    from stream_app.contracts.topics import TopicSpec

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
SETTINGS = Settings.from_environment({}, kafka_bootstrap="127.0.0.1:9")


class SinkDouble:
    """Records the names of the topics in order, and each wait for acknowledgements."""

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
    async def ensure_topics(_settings: Settings, _process: object) -> None:
        pass

    monkeypatch.setattr(replay_module, "ensure_topics", ensure_topics)
    monkeypatch.setattr(replay_module, "RecordSink", SinkDouble)


class NotesView(PlainView):
    """Stores the lines that it should print."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def print_line(self, line: str) -> None:
        self.lines.append(line)


async def replayed(**files: Any) -> tuple[list[str], Summary]:
    view, summary = NotesView(), Summary()
    clock = 1_800_000_000_000_000
    await replay_files(
        ReplayFiles(**files), SETTINGS, view=view, summary=summary, clock=lambda: clock
    )
    return view.lines, summary


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


async def test_hours_are_acknowledged_before_their_rejected_rows_become_dead_letters(
    tmp_path: Path,
) -> None:
    """`dead-letters replay` adds a row to the hours only where its dead letter is the later one."""
    assert await send(tmp_path, f"{STORE},1,9 am,17:00", f"{STORE},2,9 am,17:00") == [
        "store-business-hours",
        "drained",
        "dead-letters",
        "dead-letters",
        "dead-letters",
        "store-status",
        "drained",
    ]


async def test_a_bounded_number_of_rejected_rows_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay_module, "MAX_DEFERRED_ROWS", 1)
    sent = await send(tmp_path, f"{STORE},1,9 am,17:00", f"{STORE},2,9 am,17:00")
    assert sent[:4] == ["dead-letters", "dead-letters", "store-business-hours", "drained"]


async def test_a_kind_without_a_file_is_reported_at_once_and_at_the_end(tmp_path: Path) -> None:
    polls = tmp_path / "p.csv"
    polls.write_text("store_id,status,timestamp_utc\n", encoding="utf-8")
    lines, summary = await replayed(status=[polls])
    assert lines[0].startswith("no hours: all stores count as open 24/7")
    assert lines[1].startswith("no timezones: America/Chicago applies")
    assert list(summary.lines())[-2:] == lines[:2]
    hours = tmp_path / "h.csv"
    hours.write_text("store_id,day,start_time_local,end_time_local\n", encoding="utf-8")
    lines, _ = await replayed(hours=[hours])
    assert lines[0] == "no polls: only hours and timezones are sent"


@pytest.mark.parametrize("content", ["", "\n\n", "store_id,day,start_time_local,end_time_local\n"])
async def test_a_file_of_hours_without_a_row_is_reported_too(tmp_path: Path, content: str) -> None:
    hours = tmp_path / "h.csv"
    hours.write_text(content, encoding="utf-8")
    lines, summary = await replayed(hours=[hours])
    note = "no hours: all stores count as open 24/7, except those whose hours were sent before"
    assert note in lines
    assert note in summary.lines()


HOURS = "store_id,day,start_time_local,end_time_local"
OTHER = STORE.replace("0f", "1f")


@pytest.mark.parametrize(
    "rows",
    [
        [f"{OTHER},0,9 am,17:00", f"{OTHER},1,9 am,17:00"],
        [f"{OTHER},0,09:00"],
        [f'{OTHER},"0,09:00,17:00'],
        [f"{OTHER.upper()},0,09:00,17\udce9"],
        [f"{OTHER.replace('-', '')},7,09:00,17:00"],
    ],
)
async def test_a_store_of_which_all_hours_are_rejected_is_named_last(
    tmp_path: Path, rows: list[str]
) -> None:
    hours = tmp_path / "h.csv"
    text = "\n".join([HOURS, f"{STORE},0,09:00,17:00", f"{STORE},x,09:00,17:00", *rows])
    hours.write_bytes(text.encode(errors="surrogateescape"))
    _, summary = await replayed(hours=[hours])
    assert summary.without_hours == [OTHER]
    assert summary.rejection() == (
        "all hours of 1 store were rejected, so that its earlier ones or none apply: " + OTHER
    )


async def test_hours_that_a_later_file_has_are_not_missing(tmp_path: Path) -> None:
    bad, good = tmp_path / "1.csv", tmp_path / "2.csv"
    bad.write_text(f"{HOURS}\n{STORE},0,9 am,17:00\n{OTHER},0,09:00,17:00", encoding="utf-8")
    good.write_text(f"{HOURS}\n{STORE},0,09:00,17:00\n", encoding="utf-8")
    _, summary = await replayed(hours=[bad, good])
    assert summary.rejection() is None


async def test_a_file_of_which_every_row_is_rejected_is_named_last(tmp_path: Path) -> None:
    polls, zones = tmp_path / "p.csv", tmp_path / "z\n.csv"
    polls.write_text(
        f"store_id,status,timestamp_utc\n{STORE},on,2024-03-10 12:00:00 UTC\n", encoding="utf-8"
    )
    zones.write_text("store_id,timezone_str\nU,UTC\nV,UTC\n", encoding="utf-8")
    _, summary = await replayed(status=[polls], zones=[zones])
    assert summary.rejection() == rf"every row was rejected in {tmp_path}/z\n.csv, {polls}"


async def test_polls_older_than_the_retention_are_reported(tmp_path: Path) -> None:
    polls = tmp_path / "p.csv"
    polls.write_text(
        "store_id,status,timestamp_utc\n"
        f"{STORE},active,2024-03-10 12:00:00 UTC\n{STORE},active,2022-03-10 12:00:00 UTC\n",
        encoding="utf-8",
    )
    lines, _ = await replayed(status=[polls])
    assert lines[-1] == (
        f"warning: store {STORE}: 1 of its polls are more than STORE_UPTIME_RETENTION (400d) "
        "older than its newest one: they may not be stored"
    )


async def test_rejected_rows_are_not_written_over_a_file_to_send(tmp_path: Path) -> None:
    polls, link = tmp_path / "p.csv", tmp_path / "link.csv"
    polls.write_text("store_id,status,timestamp_utc\n", encoding="utf-8")
    link.symlink_to(polls)
    with pytest.raises(StoreUptimeError, match="is one of the files to send"):
        await replay_files(
            ReplayFiles(status=[polls]),
            SETTINGS,
            view=PlainView(),
            summary=Summary(),
            clock=lambda: 0,
            rejects=link,
        )
    assert polls.read_text(encoding="utf-8") == "store_id,status,timestamp_utc\n"
