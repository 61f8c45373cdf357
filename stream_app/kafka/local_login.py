"""The login of clients to the broker of a data dir.

It listens on the loopback address, where every user of the machine can reach it. So it accepts only
clients that know the password in the data dir, which this user alone can read. A broker that an
earlier version started, and that still runs, has none and asks nobody.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from stream_app.errors import PrerequisiteError

if TYPE_CHECKING:
    from pathlib import Path

USER: Final = "store-uptime"

PASSWORD_FILE: Final = "kafka/password"  # noqa: S105 - its place, not the password
"""The file of the password in a data dir; a start of the broker writes it if no node runs."""


def read_password(data_dir: Path) -> str | None:
    """Return the password of the data dir's broker; None if it asks for none.

    Raises:
        PrerequisiteError: there is one that cannot be read.
    """
    path = data_dir / PASSWORD_FILE
    try:
        return path.read_text(encoding="utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise PrerequisiteError(
            f"cannot read the broker's password in {path} ({reason}): only the user who started "
            "the broker may use it"
        ) from None


def login_settings(password: str | None) -> dict[str, Any]:
    """Return the values of settings with which a client logs in."""
    if not password:
        return {}
    return {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "PLAIN",
        "kafka_sasl_username": USER,
        "kafka_sasl_password": password,
    }


class UnencryptedIsFine(logging.Filter):
    """Leaves out aiokafka's warning about passwords that are sent unencrypted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return False for that warning and True for every other record."""
        return record.msg != "Sending username and password in the clear"


_UNENCRYPTED_IS_FINE: Final = UnencryptedIsFine()


def accept_unencrypted(bootstrap: str) -> None:
    """Leave out the warning if all addresses are this machine's: the password does not leave it."""
    if all(
        address.startswith(("127.", "[::1]:", "localhost:")) for address in bootstrap.split(",")
    ):
        # a logger has a filter once, however often it is added
        logging.getLogger("aiokafka.conn").addFilter(_UNENCRYPTED_IS_FINE)


def client_properties(bootstrap: str, password: str | None) -> str:
    """Return the login for Kafka's own commands and Java clients, as text of a properties file."""
    lines = [f"bootstrap.servers={bootstrap}"]
    if password:
        lines += [
            "security.protocol=SASL_PLAINTEXT",
            "sasl.mechanism=PLAIN",
            f"sasl.jaas.config={jaas_config(username=USER, password=password)}",
        ]
    return "\n".join(lines) + "\n"


def jaas_config(**options: str) -> str:
    """Return the JAAS setting with which Java clients log in."""
    options_text = "".join(f' {name}="{value}"' for name, value in options.items())
    return f"org.apache.kafka.common.security.plain.PlainLoginModule required{options_text};"
