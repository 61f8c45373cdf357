from __future__ import annotations

import errno
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest

from stream_app.cli import main as main_module
from stream_app.errors import (
    BrokerUnavailableError,
    PrerequisiteError,
    ReportError,
    SettingsError,
    StoreUptimeError,
    WorkersBehindError,
)
from stream_app.settings_table import defaults

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run `store-uptime ...`; return its exit code, standard output and standard error."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["store-uptime", *arguments])
        try:
            main_module.main()
            code: Any = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@click.command()
def boom() -> None:
    raise raised[0]


raised: list[BaseException] = []


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make `store-uptime boom` raise an error."""
    monkeypatch.setitem(main_module._COMMANDS, "boom", f"{__name__}:boom")

    def fail(error: BaseException) -> None:
        raised[:] = [error]

    return fail


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (StoreUptimeError, 1),
        (SettingsError, 2),
        (PrerequisiteError, 3),
        (BrokerUnavailableError, 4),
        (WorkersBehindError, 1),
        (ReportError, 1),
    ],
)
def test_an_expected_error_is_one_line_and_its_exit_code(
    run: Any, failing: Any, kind: type[StoreUptimeError], code: int
) -> None:
    failing(kind("port 8000 is taken: free it"))
    assert run("boom") == (code, "", "store-uptime: port 8000 is taken: free it\n")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupted_command_says_nothing(run: Any, failing: Any, error: BaseException) -> None:
    failing(error)
    code, out, err = run("boom")
    assert code == 130
    assert out + err.strip() == ""


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_command_may_choose_its_exit_code(run: Any, failing: Any, code: int) -> None:
    failing(click.exceptions.Exit(code))
    assert run("boom") == (code, "", "")


def test_an_unexpected_error_is_not_hidden(run: Any, failing: Any) -> None:
    failing(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        run("boom")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explode"], "No such command 'explode'"),
        (["settings", "--nope"], "No such option"),
        (["settings", "superfluous"], "unexpected extra argument"),
        (["report"], "name stores, or say --all"),
        (["report", "--all", "0f5c1a3e-9f2b-4b8e-8a6b-0d8e6f1c2b3a"], "name stores, or say --all"),
        (["report", "no-uuid"], "store_id is not a UUID: 'no-uuid'"),
        (["report", "--all", "--at", "noon"], "not a time: 'noon'"),
    ],
)
def test_a_wrong_call_is_exit_2_with_usage(run: Any, arguments: list[str], message: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("Usage: store-uptime")
    assert message in err
    assert "Traceback" not in err


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_every_command(run: Any, flag: str) -> None:
    code, out, err = run(flag)
    assert (code, err) == (0, "")
    for name in main_module._COMMANDS:
        assert f"\n  {name} " in out


@pytest.mark.parametrize("name", sorted(main_module._COMMANDS))
def test_every_command_can_be_loaded_and_says_what_it_does(run: Any, name: str) -> None:
    code, out, _ = run(name, "--help")
    assert code == 0
    assert out.startswith(f"Usage: store-uptime {name} ")
    assert len(out.splitlines()[2].strip()) > 10


@pytest.mark.parametrize("count", [1, 3])
def test_a_report_without_an_api_is_one_line(run: Any, count: int) -> None:
    """One trouble of all reports is printed once, however many reports were requested."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    stores = [f"0f5c1a3e-9f2b-4b8e-8a6b-00000000000{number}" for number in range(count)]
    code, out, err = run("report", *stores, "--api", address)
    assert (code, out) == (1, "")
    assert err.startswith(f"store-uptime: no store-uptime API answers at {address} (")
    assert len(err.splitlines()) == 1


def test_the_version_is_printed(run: Any) -> None:
    code, out, _ = run("--version")
    assert code == 0
    assert "0.1.0" in out


def test_settings_prints_each_with_value_and_origin(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_UPTIME_PARTITIONS", "3")
    monkeypatch.delenv("STORE_UPTIME_CACHE_DIR", raising=False)
    code, out, err = run("settings", "--data-dir", "/data")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == [line.variable for line in defaults()]
    words = {line.split()[0].removeprefix("STORE_UPTIME_"): line.split()[1:3] for line in lines}
    assert words["PARTITIONS"] == ["3", "(environment)"]
    assert words["DATA_DIR"] == ["/data", "(option)"]
    assert words["LOOKBACK"] == ["1h", "(default)"]
    assert words["KAFKA_BOOTSTRAP"] == ["-", "(default)"]
    assert words["CACHE_DIR"] == [str(Path("~/.cache/store-uptime").expanduser()), "(default)"]
    for line, default in zip(lines, defaults(), strict=True):
        assert line.endswith(f")  {default.help}")


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("STORE_UPTIME_PARTITIONS", "x", "STORE_UPTIME_PARTITIONS='x': not a whole number"),
        (
            "STORE_UPTIME_PARTITION",
            "3",
            "STORE_UPTIME_PARTITION is no setting; was STORE_UPTIME_PARTITIONS meant?",
        ),
    ],
)
def test_a_wrong_setting_is_one_line_and_exit_2(
    run: Any, monkeypatch: pytest.MonkeyPatch, variable: str, text: str, message: str
) -> None:
    monkeypatch.setenv(variable, text)
    assert run("settings") == (2, "", f"store-uptime: {message}\n")


def test_settings_masks_the_password(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in [
        ("SECURITY_PROTOCOL", "SASL_SSL"),
        ("SASL_USERNAME", "ann"),
        ("SASL_PASSWORD", "hunter2"),
    ]:
        monkeypatch.setenv(f"STORE_UPTIME_KAFKA_{name}", text)
    code, out, err = run("settings")
    assert code == 0
    assert "hunter2" not in out + err
    assert "********" in out


def test_an_error_of_the_system_is_one_line(
    run: Callable[..., tuple[int, str, str]], failing: Callable[[BaseException], None]
) -> None:
    failing(OSError(errno.ENOSPC, "No space left on device", "/data/kafka"))
    code, _, err = run("boom")
    assert (code, err) == (3, "store-uptime: /data/kafka: No space left on device\n")
    failing(OSError(errno.EBADF, "Bad file descriptor"))
    with pytest.raises(OSError, match="Bad file descriptor"):
        run("boom")


@pytest.mark.parametrize("period", ["-1", "nan", "inf", "1e-9", "0.09", "4000", "x"])
def test_a_period_that_would_probe_without_a_pause_or_never_is_refused(
    period: str, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, _, err = run("up", "--probe-period", period)
    assert code == 2
    assert "--probe-period" in err
