"""Connection arguments, and the producer and consumer that every process of this product uses."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
    UnknownError,
)

from stream_app.contracts.names import NAME_PREFIX
from stream_app.contracts.partitioning import partition_of
from stream_app.contracts.topics import MAX_STATE_BYTES
from stream_app.errors import BrokerUnavailableError, SettingsError
from stream_app.kafka import safe_records
from stream_app.kafka.diagnosis import why_unusable
from stream_app.kafka.local_login import accept_unencrypted
from stream_app.kafka.principal import GUIDE, principal
from stream_app.settings import KAFKA_PREFIX
from stream_app.tls import tls_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stream_app.settings import Settings


# A broker in trouble, such as one whose disk has just filled up, may answer with its general error.
# That passes like a lost leader, so the request is sent again. aiokafka would give a batch up for
# it, and with the batch its sequence number, without which no later batch is accepted.
UnknownError.retriable = True

_NO_RIGHT: Final = (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

STARTING_SECONDS: Final = 20.0
"""Seconds that a client which is started has to find the brokers."""

CLOSING_SECONDS: Final = 10.0
"""Seconds that a client which is stopped has to send its records, also to a lost broker."""


def connection(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments that any aiokafka client takes to reach the broker.

    Raises:
        SettingsError: a file is not what it should be, or the settings are of another deployment
            than the names of this process.
    """
    if settings.kafka_prefix != NAME_PREFIX:
        raise SettingsError(
            f"{KAFKA_PREFIX} was {NAME_PREFIX!r} when this process started and cannot be "
            f"{settings.kafka_prefix!r} now: set it in the environment of the process"
        )
    arguments: dict[str, Any] = {
        "bootstrap_servers": settings.kafka_bootstrap,
        "security_protocol": settings.kafka_security_protocol,
    }
    context = tls_context(settings)
    if context is not None:
        arguments["ssl_context"] = context
    if settings.kafka_security_protocol.startswith("SASL"):
        accept_unencrypted(settings.kafka_bootstrap)
        arguments |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_sasl_username,
            "sasl_plain_password": settings.kafka_sasl_password.get_secret_value(),
        }
    return arguments


def _partitioner(key: bytes | None, all_partitions: list[int], _available: list[int]) -> int:
    return all_partitions[partition_of(key or b"", len(all_partitions))]


def safe_consumer(settings: Settings, **arguments: Any) -> AIOKafkaConsumer:
    """Return a consumer that no batch can stop, in no group unless `group_id` says otherwise.

    Where a batch cannot be read, its records include a `safe_records.UnreadableRecords`.
    """
    safe_records.install()
    return AIOKafkaConsumer(
        **connection(settings), **{"group_id": None, "enable_auto_commit": False} | arguments
    )


def producer(settings: Settings, *, linger_ms: int = 0, **arguments: Any) -> AIOKafkaProducer:
    """Return a producer that loses and doubles nothing: `acks=all`, idempotent retries."""
    client = AIOKafkaProducer(
        **connection(settings),
        acks="all",
        enable_idempotence=True,
        linger_ms=linger_ms,
        max_request_size=MAX_STATE_BYTES,
        partitioner=_partitioner,
        **arguments,
    )
    # A batch whose partition has no leader for long would fail with its sequence numbers used
    # up, and every later batch of that partition would be refused. It waits instead: what is
    # buffered is bounded, and every caller that waits for it has a time limit.
    client._message_accumulator._batch_ttl = float("inf")  # noqa: SLF001  no public way
    return client


async def stop(client: Any, first: Callable[[], Awaitable[None]] | None = None) -> None:
    """Stop a client; what no broker takes within `CLOSING_SECONDS` is given up.

    Args:
        client: the client to stop.
        first: sends the records that wait for the client.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + CLOSING_SECONDS
    if first is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await first()
    with suppress(TimeoutError):
        # the client stops also where nobody takes what has been gathered
        async with asyncio.timeout_at(max(deadline, loop.time() + CLOSING_SECONDS / 10)):
            await client.stop()


async def start(client: Any, settings: Settings) -> None:
    """Start a client, or stop it and say in one line why the broker cannot be used.

    Raises:
        BrokerUnavailableError: nobody answered at the bootstrap addresses, or the broker does not
            let this client in.
    """
    try:
        # a port that accepts connections and stays silent would be waited for longer
        async with asyncio.timeout(STARTING_SECONDS):
            # the plain client calls it bootstrap
            await (client.start() if hasattr(client, "start") else client.bootstrap())
    except (KafkaError, OSError, ValueError, TimeoutError) as error:
        # the admin client and the plain one call it close
        await (client.stop() if hasattr(client, "stop") else client.close())
        cause = await why_unusable(settings, connection(settings))
        if cause is not None:
            raise BrokerUnavailableError(cause.text) from error
        raise unavailable(settings, error) from error


def unavailable(settings: Settings, error: BaseException) -> BrokerUnavailableError:
    """Return the error for a broker that did not answer, or that denies this client a right."""
    if isinstance(error, _NO_RIGHT):
        return BrokerUnavailableError(
            f"the broker does not let {principal(settings)} do what this process needs "
            f"({type(error).__name__}: {', '.join(map(str, error.args)) or 'unnamed'}): {GUIDE} "
            "lists the rights"
        )
    detail = "" if isinstance(error, KafkaConnectionError) else f" ({type(error).__name__})"
    return BrokerUnavailableError(
        f"no Kafka broker answers at {settings.kafka_bootstrap}{detail}: start one with "
        "`store-uptime kafka start`, or name another in STORE_UPTIME_KAFKA_BOOTSTRAP"
    )
