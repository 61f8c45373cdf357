"""Options that several commands share, strict reading of options, and the settings of a process."""

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
    """A command that ignores nothing: an empty value, or an option said twice, is a usage error.

    `--start ""` is mostly a variable of a script that was never set. Of an option that is there
    twice click would take the last one alone.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Check the arguments, then read them as click does."""
        if not ctx.resilient_parsing:
            values, _, order = self.make_parser(ctx).parse_args(args=list(args))
            for parameter, times in Counter(order).items():
                _check(ctx, parameter, values.get(parameter.name or ""), times)
        return super().parse_args(ctx, args)


class StrictGroup(click.Group):
    """A group of such commands."""

    command_class = StrictCommand


class FiniteRange(click.FloatRange):
    """A range of numbers; neither `nan`, which is in every range, nor `inf` is one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the number in a text."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a number that can be reckoned with.", param, ctx)
        return number


def _check(ctx: click.Context, parameter: click.Parameter, value: Any, times: int) -> None:
    texts = value if isinstance(value, list | tuple) else [value]
    if any(isinstance(text, str) and not text.strip() for text in texts):
        raise click.BadParameter("empty: give it a value, or leave it out", ctx, parameter)
    once = isinstance(parameter, click.Option) and not (parameter.multiple or parameter.is_flag)
    if once and times > 1:
        raise click.BadParameter(f"there {times} times: say it once", ctx, parameter)


data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all state (STORE_UPTIME_DATA_DIR).",
)


def keep_private() -> None:
    """Make all further files of this process readable by this user alone."""
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
