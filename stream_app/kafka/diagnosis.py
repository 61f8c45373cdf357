"""Finds the reason why no broker can be used, such as a wrong port, certificate or password.

aiokafka says of all of them that it is unable to bootstrap. So a client that could not connect asks
here, and the brokers are inspected once more, step by step: name, port, TLS, login, and the
addresses that the brokers call their own.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from aiokafka.conn import create_conn
from aiokafka.errors import (
    IncompatibleBrokerVersion,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.admin import SaslHandShakeRequest
from aiokafka.protocol.metadata import MetadataRequest

from stream_app.authority import LOOPBACK
from stream_app.kafka.principal import principal
from stream_app.setting_variables import PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stream_app.settings import Settings

PATIENCE_SECONDS: Final = 5.0
"""Seconds for the inspection of one address."""

_STEP_SECONDS: Final = 2.0
"""Seconds for one answer: a port of another kind may keep silent."""

_ASK_VERSIONS: Final = struct.pack(">hhih", 18, 0, 0, -1)
"""Kafka's first question on a connection (ApiVersions, version 0), of a client without a name."""

_MAX_ANSWER_BYTES: Final = 100_000
"""The largest answer that is read; a server that is no Kafka may announce any length."""

_LOCAL_HOSTS: Final = (LOOPBACK, "::1", "localhost")
_LOCAL: Final = "; to a broker that `store-uptime` started log in by its --data-dir"

_OTHER_NAME: Final = (62, 64)
"""OpenSSL's codes of a certificate that is for another name, or for another address."""

_OUT_OF_DATE: Final = (9, 10)
"""OpenSSL's codes of a certificate that is not valid yet, or not any more."""


class _Cause(Exception):  # noqa: N818  it is the answer
    """The reason why one address cannot be used; `str()` says what to do.

    Attributes:
        unreachable: whether nothing answers at the address.
    """

    def __init__(self, text: str, *, unreachable: bool = False) -> None:
        super().__init__(text)
        self.unreachable = unreachable


@dataclass(frozen=True, slots=True)
class Unusable:
    """The reason why none of the named brokers can be used.

    Attributes:
        text: one line that says what to do.
        unreachable: whether nothing answers at any address.
    """

    text: str
    unreachable: bool


async def why_unusable(settings: Settings, arguments: Mapping[str, Any]) -> Unusable | None:
    """Find the reason why none of the named brokers can be used; None if one can by now.

    Args:
        settings: name the brokers.
        arguments: the connection arguments of these settings.
    """
    addresses = [_split(address) for address in settings.kafka_bootstrap.split(",")]
    causes = await asyncio.gather(*(_cause(*address, settings, arguments) for address in addresses))
    if any(cause is None for cause in causes):
        return None
    known = [cause for cause in causes if cause is not None]
    reached = next((cause for cause in known if not cause.unreachable), None)
    if reached is not None:
        return Unusable(str(reached), unreachable=False)
    return Unusable(
        f"no Kafka broker answers at {settings.kafka_bootstrap} ({known[0]}): start one with "
        f"`store-uptime kafka start`, or name another in {PREFIX}KAFKA_BOOTSTRAP",
        unreachable=True,
    )


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


async def _cause(
    host: str, port: int, settings: Settings, arguments: Mapping[str, Any]
) -> _Cause | None:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _inspect(host, port, settings, arguments)
    except _Cause as cause:
        return cause
    except TimeoutError:
        return _Cause(f"nothing came within {PATIENCE_SECONDS:g} s", unreachable=True)
    return None


async def _inspect(host: str, port: int, settings: Settings, arguments: Mapping[str, Any]) -> None:
    """Connect to one address step by step, as a client does.

    Raises:
        _Cause: one of the steps fails.
    """
    await _check_port(host, port)
    await _check_protocol(host, port, settings, arguments.get("ssl_context"))
    brokers = await _log_in(host, port, settings, arguments)
    own = [(name, number) for _, name, number, *_ in brokers if (name, number) != (host, port)]
    if len(own) < len(brokers) or not own:
        return
    for name, number in own:
        try:
            await _check_port(name, number)
            await _check_protocol(name, number, settings, arguments.get("ssl_context"))
        except _Cause as cause:
            last = cause
        else:
            return
    raise _Cause(
        f"the broker at {host}:{port} says that clients reach it at "
        f"{', '.join(f'{name}:{number}' for name, number in own)}, and that cannot be used from "
        f"here ({last}): its advertised.listeners must name what this machine can reach"
    )


async def _check_port(host: str, port: int) -> None:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except socket.gaierror:
        raise _Cause(f"the name {host} is not known", unreachable=True) from None
    except UnicodeError:
        raise _Cause(f"{host!r} is no name of a machine", unreachable=True) from None
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise _Cause(f"{host}:{port}: {reason}", unreachable=True) from None
    await _close(writer)


async def _check_protocol(
    host: str, port: int, settings: Settings, context: ssl.SSLContext | None
) -> None:
    """Ask the first question of Kafka's protocol, over TLS or without.

    Raises:
        _Cause: no answer came, with the reason.
    """
    setting = f"{PREFIX}KAFKA_SECURITY_PROTOCOL={settings.kafka_security_protocol}"
    try:
        await _ask(host, port, context)
    except ssl.SSLCertVerificationError as error:
        raise _Cause(_no_trust(host, port, settings, error)) from None
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        if context is not None and await _answers(host, port, None):
            raise _Cause(
                f"{host}:{port} speaks no TLS, and {setting} wants it: name the port that does, or "
                f"say {_without_tls(settings)}"
            ) from None
        if context is None and await _speaks_tls(host, port):
            raise _Cause(
                f"{host}:{port} speaks TLS only, and {setting} is without: say "
                f"{_with_tls(settings)}, or name another port"
            ) from None
        reason = getattr(error, "reason", None) or ""
        if context is not None and isinstance(error, ssl.SSLError) and "ALERT" in reason:
            raise _Cause(_not_let_in(host, port, settings, reason)) from None
        raise _Cause(
            f"what listens at {host}:{port} is no Kafka broker, or one that is just starting"
        ) from None


def _no_trust(host: str, port: int, settings: Settings, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code in _OTHER_NAME:
        return (
            f"the certificate of the broker at {host}:{port} is for another name than {host}: name "
            f"the broker in {PREFIX}KAFKA_BOOTSTRAP as its certificate does"
        )
    if error.verify_code in _OUT_OF_DATE:
        return f"the certificate of the broker at {host}:{port}: {error.verify_message}"
    trusted = settings.kafka_tls_ca_file or "the system's authorities"
    return (
        f"the certificate of the broker at {host}:{port} is of an authority that {trusted} does "
        f"not hold ({error.verify_message}): set {PREFIX}KAFKA_TLS_CA_FILE to the right one"
    )


def _not_let_in(host: str, port: int, settings: Settings, reason: str) -> str:
    words = reason.replace("_", " ").lower()
    if settings.kafka_tls_cert_file is None:
        return (
            f"the broker at {host}:{port} ends TLS ({words}): it may want a client certificate, "
            f"{PREFIX}KAFKA_TLS_CERT_FILE and {PREFIX}KAFKA_TLS_KEY_FILE"
        )
    return (
        f"the broker at {host}:{port} does not take the certificate "
        f"{settings.kafka_tls_cert_file} ({words}): set {PREFIX}KAFKA_TLS_CERT_FILE and "
        f"{PREFIX}KAFKA_TLS_KEY_FILE to one that it trusts"
    )


def _without_tls(settings: Settings) -> str:
    return "SASL_PLAINTEXT" if settings.kafka_security_protocol == "SASL_SSL" else "PLAINTEXT"


def _with_tls(settings: Settings) -> str:
    return "SASL_SSL" if settings.kafka_security_protocol == "SASL_PLAINTEXT" else "SSL"


async def _log_in(
    host: str, port: int, settings: Settings, arguments: Mapping[str, Any]
) -> list[Any]:
    """Log in as the settings say, and ask for the brokers.

    Raises:
        _Cause: the broker does not let this client in.
    """
    options = {name: value for name, value in arguments.items() if name != "bootstrap_servers"}
    options["request_timeout_ms"] = int(_STEP_SECONDS * 1000)
    wants_login = settings.kafka_security_protocol.startswith("SASL")
    if wants_login:
        await _check_mechanism(host, port, settings, options)
    connection = None
    try:
        connection = await create_conn(host, port, **options)
        answer = await connection.send(MetadataRequest([]))
        return list(answer.brokers)
    except SaslAuthenticationFailed:
        raise _Cause(
            f"the broker at {host}:{port} does not let {principal(settings)} in: the password is "
            f"wrong, or there is no such user ({PREFIX}KAFKA_SASL_USERNAME, "
            f"{PREFIX}KAFKA_SASL_PASSWORD)"
        ) from None
    except IncompatibleBrokerVersion:
        raise _Cause(
            f"{host}:{port} is a port of Kafka that takes no clients, a controller's perhaps: name "
            "one of a broker"
        ) from None
    except (KafkaError, OSError, ValueError, TimeoutError):
        if wants_login:
            raise _Cause(f"the broker at {host}:{port} breaks off the login: see its log") from None
        raise _Cause(
            f"the broker at {host}:{port} ends the connection of a client that does not log in: "
            f"say SASL_SSL or SASL_PLAINTEXT in {PREFIX}KAFKA_SECURITY_PROTOCOL, with a user and a "
            f"password, or name another port{_LOCAL if host in _LOCAL_HOSTS else ''}"
        ) from None
    finally:
        if connection is not None:
            connection.close()


async def _check_mechanism(
    host: str, port: int, settings: Settings, options: Mapping[str, Any]
) -> None:
    plain = settings.kafka_security_protocol.removeprefix("SASL_")
    mechanism = settings.kafka_sasl_mechanism
    connection = None
    try:
        connection = await create_conn(host, port, **{**options, "security_protocol": plain})
        answer = await connection.send(SaslHandShakeRequest(mechanism))
    except (KafkaError, OSError, ValueError, TimeoutError):
        # the login itself tells more
        return
    finally:
        if connection is not None:
            connection.close()
    if answer.error_code == UnsupportedSaslMechanismError.errno:
        raise _Cause(
            f"the broker at {host}:{port} takes no SASL mechanism {mechanism}: set "
            f"{PREFIX}KAFKA_SASL_MECHANISM to one of {', '.join(answer.enabled_mechanisms)}"
        )
    if answer.error_code:
        raise _Cause(
            f"the broker at {host}:{port} takes no login on this port: say {plain} in "
            f"{PREFIX}KAFKA_SECURITY_PROTOCOL, without a user, or name the port that does"
        )


async def _ask(host: str, port: int, context: ssl.SSLContext | None) -> None:
    async with asyncio.timeout(_STEP_SECONDS):
        reader, writer = await asyncio.open_connection(host, port, ssl=context)
        try:
            writer.write(struct.pack(">i", len(_ASK_VERSIONS)) + _ASK_VERSIONS)
            (size,) = struct.unpack(">i", await reader.readexactly(4))
            if not 0 < size < _MAX_ANSWER_BYTES:
                raise ValueError("not Kafka's protocol")
            await reader.readexactly(size)
        finally:
            await _close(writer)


async def _answers(host: str, port: int, context: ssl.SSLContext | None) -> bool:
    try:
        await _ask(host, port, context)
    except (OSError, EOFError, ValueError, TimeoutError):
        return False
    return True


async def _speaks_tls(host: str, port: int) -> bool:
    # only whether it is TLS: nothing is sent, and nothing that it says is believed
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(_STEP_SECONDS):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except (OSError, TimeoutError):
        return False
    await _close(writer)
    return True


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(_STEP_SECONDS):
            await writer.wait_closed()
