"""Settings as the environment of a child process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stream_app.secret_files import ENDING
from stream_app.setting_variables import variable_of
from stream_app.settings import SECRETS
from stream_app.settings_table import texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings


def environment_of(settings: Settings, environment: Mapping[str, str]) -> dict[str, str]:
    """Return all variables for a child that must have exactly these settings.

    Args:
        settings: the settings that the child's `Settings.from_environment` returns.
        environment: the other variables.
    """
    files = {variable_of(name) + ENDING for name in SECRETS}
    variables = {name: text for name, text in environment.items() if name not in files}
    variables |= texts_of(settings)
    # so that every line is in the log as soon as the child has printed it
    variables["PYTHONUNBUFFERED"] = "1"
    return variables
