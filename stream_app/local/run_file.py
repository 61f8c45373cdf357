"""The file run.json, by which other commands find the stack that runs on a data dir."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from stream_app.authority import LOOPBACK
from stream_app.data_dir import RUN_FILE, RUN_LOCK, WORKERS_FOLDER
from stream_app.local.processes.file_lock import is_locked
from stream_app.local.processes.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

ADDRESS_FILE: Final = "http-address"
"""The file in a worker's folder that holds the address of its server while the worker runs."""

_ALL_INTERFACES: Final = {"": LOOPBACK, "0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - not bound
"""The addresses that stand for all interfaces, each with one by which this machine reaches it."""


@dataclass(frozen=True, slots=True)
class RunFile:
    """The running stack of a data dir.

    Attributes:
        pid: process id of the launcher; when it ends, the whole stack ends.
        api: address of the API, such as `http://127.0.0.1:8000`.
        bootstrap: HOST:PORT[,...] of the broker.
    """

    pid: int
    api: str
    bootstrap: str

    def save(self, data_dir: Path) -> None:
        """Write the file; a reader sees the old or the new content, never a part."""
        write_whole(data_dir / RUN_FILE, json.dumps(asdict(self), indent=2) + "\n")


def running_stack_of(data_dir: Path) -> RunFile | None:
    """Read which stack runs on this data dir; None if there is none, or if it is still starting."""
    if not is_locked(data_dir / RUN_LOCK):
        return None
    try:
        return RunFile(**json.loads((data_dir / RUN_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def worker_folder(data_dir: Path, name: str) -> Path:
    """Return the folder that belongs to the worker with this name alone."""
    return data_dir / WORKERS_FOLDER / name


def worker_address(data_dir: Path, name: str) -> str | None:
    """Read the address of a worker's server, `http://HOST:PORT`; None if it has none yet."""
    try:
        return (worker_folder(data_dir, name) / ADDRESS_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


def api_address(settings: Settings) -> str:
    """Find the address of the API that runs on the data dir, or else the one in the settings."""
    running = running_stack_of(settings.data_dir.expanduser())
    return running.api if running else configured_address(settings)


def configured_address(settings: Settings) -> str:
    """Make the address of an API with these settings, such as `http://127.0.0.1:8000`."""
    host = _ALL_INTERFACES.get(settings.api_host, settings.api_host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.api_port}"
