"""No option of any command is ignored: an empty or repeated option is a usage error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import pytest
from click.testing import CliRunner

from stream_app.cli.main import cli
from stream_app.cli.options import StrictCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

STORE = "97dd66d5-660c-48eb-8b5a-792c529ec4dd"


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[Any, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


COMMANDS = dict(commands(cli))
OPTIONS = [
    (path, option, parameter)
    for path, command in COMMANDS.items()
    for parameter in command.params
    if isinstance(parameter, click.Option) and not parameter.is_flag
    for option in parameter.opts
]
ARGUMENTS = [
    path
    for path, command in COMMANDS.items()
    if any(isinstance(parameter, click.Argument) for parameter in command.params)
]


def refused(*arguments: str) -> str:
    """Run a command line that must be a usage error; return its output."""
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 2, result.output
    assert "Usage: cli" in result.output
    return str(result.output)


def test_every_command_is_strict() -> None:
    assert len(COMMANDS) >= 16
    assert all(isinstance(command, StrictCommand) for command in COMMANDS.values())


@pytest.mark.parametrize(("path", "option", "parameter"), OPTIONS)
def test_an_empty_value_is_a_usage_error(path: Any, option: str, parameter: click.Option) -> None:
    for empty in ([option, ""], [f"{option}="], [option, " "]):
        output = refused(*path, *empty)
        assert f"Invalid value for '{parameter.opts[0]}'" in output
        assert "empty: give it a value, or leave it out" in output


@pytest.mark.parametrize(("path", "option", "parameter"), OPTIONS)
def test_a_repeated_option_is_a_usage_error(
    path: Any, option: str, parameter: click.Option
) -> None:
    if parameter.multiple:
        assert path == ("replay",)
        return
    output = refused(*path, option, "1", f"{option}=2")
    assert f"Invalid value for '{parameter.opts[0]}'" in output
    assert "given 2 times: give it once" in output


@pytest.mark.parametrize("path", ARGUMENTS)
def test_an_empty_argument_is_a_usage_error(path: Any) -> None:
    assert "empty: give it a value, or leave it out" in refused(*path, "")


def test_two_names_of_one_option_are_the_same_option() -> None:
    output = refused("report", STORE, "--at", "2024-03-10T12:00Z", "--end", "2024-03-10T13:00Z")
    assert "given 2 times: give it once" in output


@pytest.mark.parametrize("option", ["--start", "--duration", "--at"])
def test_a_report_with_an_empty_time_is_a_usage_error(option: str) -> None:
    assert "empty" in refused("report", STORE, option, "")


def test_every_command_has_help() -> None:
    for path in COMMANDS:
        assert CliRunner().invoke(cli, [*path, "--help"]).exit_code == 0


@pytest.mark.parametrize("number", ["nan", "inf", "1e400", "-inf"])
@pytest.mark.parametrize(
    "words",
    [
        ("replay", "--status", "x.csv", "--speed"),
        ("simulate", "--rate"),
        ("simulate", "--outages"),
        ("up", "--probe-period"),
    ],
)
def test_a_number_that_is_not_finite_is_a_usage_error(words: tuple[str, ...], number: str) -> None:
    assert "Invalid value" in refused(*words, number)
