"""The `store-uptime` command, which imports a subcommand's module when it is called."""

from __future__ import annotations

import errno
import importlib
import logging
import sys
from typing import Final

import click

from stream_app.errors import PrerequisiteError, StoreUptimeError

_COMMANDS: Final = {
    "api": "stream_app.cli.api:api",
    "dead-letters": "stream_app.cli.dead_letters:dead_letters",
    "demo": "stream_app.cli.demo:demo",
    "explain": "stream_app.cli.explain:explain",
    "forget": "stream_app.cli.forget:forget",
    "kafka": "stream_app.cli.kafka:kafka",
    "replay": "stream_app.cli.replay:replay",
    "report": "stream_app.cli.report:report",
    "settings": "stream_app.cli.settings:settings",
    "simulate": "stream_app.cli.simulate:simulate",
    "up": "stream_app.cli.up:up",
    "worker": "stream_app.cli.worker:worker",
}


_SYSTEM_LIMITS: Final = {
    errno.EDQUOT,
    errno.EIO,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.ENFILE,
    errno.ENOMEM,
    errno.ENOSPC,
    errno.EROFS,
}
"""Error codes of the operating system, such as for a full disk, that are no fault of ours."""


class _LazyGroup(click.Group):
    """A group that imports a subcommand's module only when it is called."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        target = _COMMANDS.get(name)
        if target is None:
            return None
        module, _, attribute = target.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="How long each shop's systems were up during its own business hours.",
)
@click.version_option(package_name="store-uptime")
def cli() -> None:
    """Run one of the commands."""


def main() -> None:
    """Run the command; an expected error is one line on standard error and an exit code."""
    # until a command sets up logging, warnings of libraries are not printed
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        # click returns the code of `Context.exit`, or what the command returned
        code = cli(prog_name="store-uptime", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except StoreUptimeError as error:
        click.echo(f"store-uptime: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if error.errno not in _SYSTEM_LIMITS:
            raise
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"store-uptime: {where}{error.strerror}", err=True)
        sys.exit(PrerequisiteError.exit_code)


if __name__ == "__main__":
    main()
