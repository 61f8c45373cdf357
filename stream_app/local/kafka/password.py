"""Makes the password of a local broker, and the settings in which Kafka needs it.

The login is SASL/PLAIN. With SCRAM Kafka's controllers could not log in to each other: its
passwords are in the metadata log, which they can read only after the login. A data dir that an
earlier version formatted has no such passwords either. The password is sent unencrypted, but only
over the loopback device of this machine.
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
    """Return the data dir's password, a new one if it has none. Call it only while no node runs.

    Raises:
        PrerequisiteError: it cannot be read or written.
    """
    password = read_password(data_dir)
    if not password:
        # letters and digits, - and _: no file has to escape them
        password = secrets.token_urlsafe(_BYTES)
        make_folder((data_dir / PASSWORD_FILE).parent)
        write_whole(data_dir / PASSWORD_FILE, password + "\n")
    return password


def write_client_properties(settings: Settings) -> Path:
    """Write the file that lets Kafka's own commands log in to the broker; return its path.

    Args:
        settings: the settings, with the address of the broker.

    Raises:
        PrerequisiteError: the password cannot be read, or the folder cannot be written.
    """
    path = settings.data_dir.absolute() / _CLIENT_FILE
    password = read_password(settings.data_dir)
    make_folder(path.parent)
    write_whole(path, client_properties(settings.kafka_bootstrap, password))
    return path


def listener_jaas_config(password: str) -> str:
    """Return the setting with which a listener accepts this password, and uses it to log in."""
    return jaas_config(username=USER, password=password, **{f"user_{USER}": password})
