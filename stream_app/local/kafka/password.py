"""The password of a local broker.

SASL/PLAIN, not SCRAM: Kafka's controllers cannot log in to each other with SCRAM, whose passwords
are in the very log that they vote on, and a data dir that an earlier version formatted has none
in it. What is sent unencrypted stays on this machine's loopback device.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from stream_app.kafka.local_login import (
    PASSWORD_FILE,
    USER,
    client_properties,
    jaas_config,
    read_password,
)
from stream_app.local.processes.files import make_folder, write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from stream_app.settings import Settings

_BYTES: Final = 24
_CLIENT_FILE: Final = "kafka/client.properties"


def make_password(data_dir: Path) -> str:
    """Return the password that the data dir has, or a new one; only while none of its nodes runs.

    Raises:
        PrerequisiteError: it cannot be read or written.
    """
    password = read_password(data_dir)
    if not password:
        # only characters that no file must escape: letters and digits, - and _
        password = secrets.token_urlsafe(_BYTES)
        make_folder((data_dir / PASSWORD_FILE).parent)
        write_whole(data_dir / PASSWORD_FILE, password + "\n")
    return password


def write_client_properties(settings: Settings) -> Path:
    """Write the file by which Kafka's own commands reach the data dir's broker; return its path.

    Args:
        settings: the settings, with the broker resolved.

    Raises:
        PrerequisiteError: the password cannot be read, or the folder not be written.
    """
    path = settings.data_dir.absolute() / _CLIENT_FILE
    password = read_password(settings.data_dir)
    make_folder(path.parent)
    write_whole(path, client_properties(settings.kafka_bootstrap, password))
    return path


def accepting(password: str) -> str:
    """Write the setting by which a listener accepts this password and logs in to other nodes."""
    return jaas_config(username=USER, password=password, **{f"user_{USER}": password})
