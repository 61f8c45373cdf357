"""The command `dead-letters` prints, refuses and replays dead letters; no broker is needed."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from producers.dead_letters.log import DeadLetterLog
from stream_app.cli import dead_letters as module
from stream_app.cli.dead_letters import dead_letters
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.polls import encode_poll
from stream_app.contracts.stores import encode_timezone
from stream_app.errors import BrokerUnavailableError, StoreUptimeError
from tests.unit.producers.dead_letters.fake_reader import FakeReader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from click.testing import Result

    from stream_app.contracts.topics import TopicSpec

STORE = "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"
NOON_MS = 1_710_072_000_000
NOON = "2024-03-10T12:00:00Z"


class SinkDouble:
    """Stores the records that it should send."""

    sent: list[tuple[str, bytes, bytes]]

    def __init__(self, *_: Any) -> None:
        type(self).sent = []

    async def __aenter__(self) -> SinkDouble:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass

    async def send(self, topic: TopicSpec, key: bytes, value: bytes) -> None:
        self.sent.append((topic.name, key, value))

    async def drain(self) -> None:
        pass


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> FakeReader:
    """Return the topics that the commands read; they are empty."""
    reader = FakeReader()

    @asynccontextmanager
    async def log(_settings: Any, _process: Any) -> AsyncIterator[Any]:
        fake: Any = reader
        yield await DeadLetterLog.open(fake), fake

    monkeypatch.setattr(module, "_log", log)
    monkeypatch.setattr(module, "RecordSink", SinkDouble)
    monkeypatch.setenv("STORE_UPTIME_KAFKA_BOOTSTRAP", "127.0.0.1:9")
    return reader


def run(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner().invoke(dead_letters, arguments, input=stdin)


def of_record(original: bytes | None, **more: Any) -> DeadLetter:
    source: dict[str, str | int] = {"topic": "store-status", "partition": 3, "offset": 70}
    return DeadLetter(source, "not JSON", original, **more)


def of_row(line: int, original: bytes = b"x") -> DeadLetter:
    source: dict[str, str | int] = {"file": "/in/a.csv", "line": line}
    return DeadLetter(source, "not a time", original)


def test_the_list_has_one_line_per_dead_letter_the_newest_first(topic: FakeReader) -> None:
    topic.add_dead_letter(of_record(b'{"a": 1}'), NOON_MS)
    topic.add_dead_letter(of_row(7, b"a,b,c"), NOON_MS + 1500)
    http: dict[str, str | int] = {"http": "7c9e", "item": 2, "path": "/status"}
    topic.add_dead_letter(DeadLetter(http, "not JSON", b"{"), NOON_MS + 2000)
    topic.add_dead_letter(
        DeadLetter({"http": "7c9f", "path": "/status"}, "why", b"{"), NOON_MS + 2000
    )
    topic.add_dead_letter(of_record(None), NOON_MS + 3000)
    batch = of_record(None)
    batch.source["last_offset"] = 79
    topic.add_dead_letter(batch, NOON_MS + 4000)
    result = run("list")
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "       5  2024-03-10T12:00:04Z  store-status/3/70-79  not JSON  |  (no value)",
        "       4  2024-03-10T12:00:03Z  store-status/3/70  not JSON  |  (no value)",
        "       3  2024-03-10T12:00:02Z  /status (7c9f)  why  |  {",
        "       2  2024-03-10T12:00:02Z  /status (7c9e, item 2)  not JSON  |  {",
        "       1  2024-03-10T12:00:01Z  /in/a.csv:7  not a time  |  a,b,c",
        '       0  2024-03-10T12:00:00Z  store-status/3/70  not JSON  |  {"a": 1}',
    ]


def test_a_limited_list_says_how_many_more_there_are(topic: FakeReader) -> None:
    for line in range(2, 32):
        topic.add_dead_letter(of_row(line))
    result = run("list", "--limit", "4")
    assert len(result.stdout.splitlines()) == 4
    assert result.stderr.startswith("... and 26 more: raise --limit")


def test_an_empty_list_says_so(topic: FakeReader) -> None:
    topic.add_dead_letter(of_row(2))
    result = run("list", "--reason", "something else")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no dead letters\n")
    assert run("list", "--reason", "something else", "--format", "json").stdout == "[]\n"


@pytest.mark.parametrize(
    "original",
    [
        b'{"report_id":"x","url":"https://ann:hunter2@hooks.example.com:8443/T0P?key=s3cret","a":1}',
        b'{"url":"https:\\/\\/hooks.example.com:8443\\/T0P?key=s3cret","a":1}',
        b'{"url":"HTTPS://hooks.example.com:8443?key=s3cret", "b": "http://x/T0P"',
        b"https://hooks.example.com:8443/T0P\xff",
    ],
)
def test_only_scheme_and_host_of_a_webhook_url_are_shown(
    topic: FakeReader, original: bytes
) -> None:
    source: dict[str, str | int] = {"topic": "webhooks", "partition": 0, "offset": 7}
    topic.add_dead_letter(DeadLetter(source, "answered 410: it wants no more", original))
    for arguments in (["list"], ["show", "0"]):
        for form in ("text", "json"):
            shown = run(*arguments, "--format", form).stdout
            for secret in ("T0P", "s3cret", "hunter2"):
                assert secret not in shown
            assert "hooks.example.com:8443" in shown or "base64" in shown
    assert run("show", "0", "--raw").stdout_bytes == original, "what `--set-value` needs"


def test_no_control_character_reaches_the_terminal(topic: FakeReader) -> None:
    evil = "a\x1b[2J\nb\u202e\u00e9"
    source: dict[str, str | int] = {"file": evil, "line": 3}
    topic.add_dead_letter(DeadLetter(source, evil, evil.encode(), evil.encode()))
    for result in (run("list"), run("show", "0"), run("replay", "--all", "--dry-run")):
        text = result.stdout + result.stderr
        assert "\x1b" not in text
        assert "\u202e" not in text
    assert "a\\x1b[2J\\nb\\u202e\u00e9" in run("show", "0").stdout
    assert len(run("list").stdout.splitlines()) == 1
    assert run("show", "0", "--raw").stdout_bytes == evil.encode()


@pytest.mark.parametrize(
    ("original", "shown"),
    [
        (b"\xff\x00", "base64:/wA="),
        (b"\xff" * 120, "base64:" + "/" * 133 + "w==... (120 bytes)"),
        (b"x" * 100, "x" * 100),
        (b"x" * 101, "x" * 100 + "... (101 bytes)"),
        (b"x" * 99 + "\u20ac".encode() + b"tail", "x" * 99 + "... (106 bytes)"),
        (b"x" * 98 + "\u20ac".encode() + b"tail", "x" * 98 + "... (105 bytes)"),
        (b"x" * 97 + "\u20ac".encode() + b"tail", "x" * 97 + "\u20ac... (104 bytes)"),
        (b"", ""),
    ],
)
def test_originals_are_shortened_in_a_list(topic: FakeReader, original: bytes, shown: str) -> None:
    topic.add_dead_letter(of_record(original))
    assert run("list").stdout.rstrip("\n").split("  |  ")[1] == shown


def test_a_dead_letter_is_shown_as_a_whole(topic: FakeReader) -> None:
    topic.add_dead_letter(of_record(b"y" * 500, key=b"\xff", truncated=True), NOON_MS)
    assert run("show", "0").stdout.splitlines() == [
        "id:        0",
        f"kept at:   {NOON}",
        "topic:     store-status",
        "partition: 3",
        "offset:    70",
        "reason:    not JSON",
        "key:       base64:/w==",
        "original:  500 bytes, the beginning of a longer one",
        "y" * 500,
    ]
    raw = run("show", "0", "--raw")
    assert raw.stdout_bytes == b"y" * 500
    assert raw.stderr == "only the beginning of the original was kept\n"
    content = json.loads(run("show", "0", "--format", "json").stdout)
    assert content == {
        "id": 0,
        "kept_at": NOON,
        "source": {"topic": "store-status", "partition": 3, "offset": 70},
        "reason": "not JSON",
        "original": "y" * 500,
        "original_bytes": 500,
        "key": {"base64": "/w=="},
        "truncated": True,
    }
    listed = json.loads(run("list", "--format", "json").stdout)
    assert listed == [{**content, "original": "y" * 100}]


def test_a_record_without_a_value_is_shown(topic: FakeReader) -> None:
    topic.add_dead_letter(of_record(None))
    assert run("show", "0").stdout.splitlines()[-1] == "original:  (no value)"
    assert run("show", "0", "--raw").stdout_bytes == b""


def test_an_unknown_id_is_one_clear_error(topic: FakeReader) -> None:
    topic.add_dead_letter(of_row(2))
    for arguments in (["show", "5"], ["replay", "5"]):
        result = run(*arguments)
        assert isinstance(result.exception, StoreUptimeError)
        assert str(result.exception) == "there is no dead letter 5: 0 to 0 are kept"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--all"],
        ["0", "1", "2"],
        ["2", "0", "1", "1"],
        ["--since", NOON],
        ["--topic", "store-status"],
    ],
)
def test_dead_letters_are_replayed_by_id_by_filter_or_all(
    topic: FakeReader, arguments: list[str]
) -> None:
    for second in range(3):
        value = encode_poll(STORE, NOON_MS * 1000 + second, active=True)
        topic.add_dead_letter(of_record(value), NOON_MS)
    result = run("replay", *arguments)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "3 dead letters: 3 sent and acknowledged"
    assert "becomes a new dead letter" in result.stdout.splitlines()[1]
    assert [key for _, key, _ in SinkDouble.sent] == [STORE.encode()] * 3


def test_a_dry_run_says_so_and_sends_nothing(topic: FakeReader) -> None:
    SinkDouble.sent = []
    topic.add_dead_letter(of_record(encode_poll(STORE, NOON_MS * 1000, active=True)))
    result = run("replay", "--all", "--dry-run")
    assert (result.exit_code, result.stdout) == (0, "1 dead letter: 1 would be sent\n")
    assert SinkDouble.sent == []


def test_a_corrected_value_replaces_the_original_even_of_a_truncated_dead_letter(
    topic: FakeReader, tmp_path: Path
) -> None:
    topic.add_dead_letter(of_record(b"{", truncated=True))
    value = encode_poll(STORE, NOON_MS * 1000, active=True)
    corrected = tmp_path / "mended"
    corrected.write_bytes(value + b"\n")
    assert run("replay", "0").exit_code == 1
    assert run("replay", "0", "--set-value", str(corrected)).exit_code == 0
    assert run("replay", "0", "--set-value", "-", stdin=value).exit_code == 0
    assert len(SinkDouble.sent) == 1


def test_dead_letters_that_were_not_sent_are_listed_and_counted(topic: FakeReader) -> None:
    for line in range(60):
        topic.add_dead_letter(of_row(line))
    topic.add_dead_letter(of_record(b"{"))
    topic.add_dead_letter(of_record(encode_timezone(STORE, "UTC")))
    topic.add_dead_letter(of_record(encode_poll(STORE, NOON_MS * 1000, active=True)))
    result = run("replay", "--all")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0] == (
        "63 dead letters: 1 sent and acknowledged, 2 still bad, 60 cannot be replayed"
    )
    assert len(result.stderr.splitlines()) == 51
    assert result.stderr.splitlines()[-1] == "... and 12 more"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["replay"], "name dead letters by ID, or by filters, or say --all"),
        (["replay", "3", "--all"], "name dead letters by ID, or by filters, or say --all"),
        (["replay", "3", "--reason", "x"], "name dead letters by ID, or by filters, or say --all"),
        (["replay", "--all", "--file", "x"], "name dead letters by ID, or by filters, or say"),
        (["replay", "3", "4", "--set-value", "-"], "--set-value goes with exactly one ID"),
        (["replay", "--all", "--set-value", "-"], "--set-value goes with exactly one ID"),
        (["list", "--since", "noon"], "not a time: 'noon'"),
        (["list", "--topic", "stars"], "'stars' is not one of"),
        (["list", "--limit", "0"], "not in the range"),
        (["show", "one"], "'one' is not a valid integer"),
    ],
)
def test_a_wrong_call_is_a_usage_error(
    topic: FakeReader, arguments: list[str], message: str
) -> None:
    assert topic.read == 0
    result = run(*arguments)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize("arguments", [["list"], ["show", "1"], ["replay", "--all"]])
def test_without_a_broker_it_is_one_clear_error(tmp_path: Path, arguments: list[str]) -> None:
    result = run(*arguments, "--data-dir", str(tmp_path))
    assert isinstance(result.exception, BrokerUnavailableError)
    assert f"none was started from {tmp_path}" in str(result.exception)
