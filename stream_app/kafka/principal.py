"""The words of an error about a missing right: who lacks it, and where an operator reads on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stream_app.settings import Settings

GUIDE: Final = "docs/how-to/cluster.md"
"""The page that says what an operator can do."""


def principal(settings: Settings) -> str:
    """Return who a process with these settings is to the brokers, in words."""
    if settings.kafka_sasl_username:
        return f"user {settings.kafka_sasl_username}"
    if settings.kafka_tls_cert_file is not None:
        return f"the owner of {settings.kafka_tls_cert_file}"
    return "a client that does not log in"
