"""Options that several commands share, strict checks of options, and reading the settings."""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from pathlib import Path
from typing import Any

import click

from stream_app.local.processes.logged_process import PRIVATE_UMASK
from stream_app.settings import Settings
from stream_app.settings_table import links_instead_of_settings
from stream_app.tls import tls_context

log = logging.getLogger(__name__)


class StrictCommand(click.Command):
    """A command for which an empty value, or an option that is given twice, is a usage error.

    `--start ""` usually means that a variable of a script was never set. If an option is given
    twice, click by itself would use the last value and ignore the first.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the arguments, then read them as click does."""
        if not ctx.resilient_parsing:
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for parameter, times in Counter(order).items():
                _check(ctx, parameter, values.get(parameter.name or ""), times)
        return super().parse_args(ctx, args)


class StrictGroup(click.Group):
    """A group of commands, each of which is a `StrictCommand`."""

    command_class = StrictCommand


class FiniteRange(click.FloatRange):
    """A range of finite numbers: click itself accepts `nan` in any range, and `inf`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number in a text."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


def _check(ctx: click.Context, parameter: click.Parameter, value: Any, times: int) -> None:
    texts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(text, str) and not text.strip() for text in texts):
        raise click.BadParameter("empty: give it a value, or leave it out", ctx, parameter)
    single = isinstance(parameter, click.Option) and not (parameter.multiple or parameter.is_flag)
    if single and times > 1:
        raise click.BadParameter(f"given {times} times: give it once", ctx, parameter)


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all state (STORE_UPTIME_DATA_DIR).",
)


def keep_private() -> None:
    """Make all files that this process creates from now on readable by this user alone."""
    os.umask(PRIVATE_UMASK)


def read_settings(**overrides: Any) -> Settings:
    """Read the settings of this process; options win over the environment.

    Raises:
        SettingsError: a value, or a file that one names, that cannot be used.
    """
    settings = Settings.from_environment(os.environ, **overrides)
    for line in links_instead_of_settings(os.environ):
        log.info("%s", line)
    tls_context(settings)
    return settings
