"""Options that several commands share, and the settings that come of them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from stream_app.settings import Settings

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of all state (STORE_UPTIME_DATA_DIR).",
)


def read_settings(**overrides: Any) -> Settings:
    """The settings of this process: options win over the environment.

    Raises:
        SettingsError: a value that cannot be used.
    """
    return Settings.from_environment(os.environ, **overrides)
