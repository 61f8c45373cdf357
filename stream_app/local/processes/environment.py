"""Settings as the environment of a child process."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

from stream_app.secret_files import ENDING
from stream_app.settings import PREFIX, describe

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings


def environment_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """All variables for a child that is to see exactly these settings.

    Args:
        settings: what the child's `Settings.from_environment` gives.
        environment: the other variables.
    """
    variables = dict(environment)
    variables |= {line.variable: line.value for line in describe(settings, {})}
    for setting in fields(settings):
        if setting.metadata["secret"]:
            # described masked
            variable = PREFIX + setting.name.upper()
            variables[variable] = getattr(settings, setting.name)
            variables.pop(variable + ENDING, None)
    # the log shows what a child says when it says it
    variables["PYTHONUNBUFFERED"] = "1"
    return variables
