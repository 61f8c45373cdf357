"""Checks whether a broker answers, in Kafka's own protocol."""

from __future__ import annotations

import asyncio
import struct
from contextlib import closing
from typing import TYPE_CHECKING, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from stream_app.contracts.names import NAME_PREFIX
from stream_app.errors import BrokerUnavailableError
from stream_app.kafka.clients import connection
from stream_app.kafka.local_login import login_settings
from stream_app.local.processes.liveness import is_own_failure
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PAUSE: Final = 0.1
_ANSWER_LIMIT_MS: Final = 3000

_LENGTH_BYTES: Final = 4
_CORRELATION_ID: Final = b"live"
"""Kafka's correlation id of a request, which its answer repeats, as four bytes."""

# the length, the API key of ApiVersions, its version 0, the correlation id, no client id
_API_VERSIONS_REQUEST: Final = struct.pack(">ihh4sh", 10, 18, 0, _CORRELATION_ID, -1)


async def answering_nodes(bootstrap: str, password: str | None) -> int:
    """Count the nodes that the broker's metadata lists as alive; 0 if no node answers.

    Args:
        bootstrap: HOST:PORT[,...].
        password: the password of a local broker; None if it requires none.
    """
    for address in bootstrap.split(","):
        # the client would log an error at a closed port
        if await _is_open(address) and (alive := await _listed_nodes(address, password)):
            return alive
    return 0


async def _check_nothing() -> None:
    """Check nothing: somebody else notices the end of the nodes."""


async def wait_until_answering(
    bootstrap: str,
    nodes: int,
    password: str | None,
    *,
    limit: float,
    require_running: Callable[[], Awaitable[None]] = _check_nothing,
) -> None:
    """Wait until every node answers that all are alive.

    Every node is asked, because the others list a killed node as alive for a while.

    Args:
        bootstrap: HOST:PORT[,...].
        nodes: how many must be alive.
        password: the same as for `answering_nodes`.
        limit: seconds to wait at most.
        require_running: called before each attempt; it raises an error to end the waiting.

    Raises:
        BrokerUnavailableError: not all nodes answer within the limit.
    """
    deadline = asyncio.get_running_loop().time() + limit
    while True:
        await require_running()
        answers = [await answering_nodes(address, password) for address in bootstrap.split(",")]
        if min(answers) >= nodes:
            return
        if asyncio.get_running_loop().time() >= deadline:
            raise BrokerUnavailableError(
                f"the broker at {bootstrap} is not ready after {limit:g} s: "
                f"{sum(map(bool, answers))} of {nodes} nodes answer"
            )
        await asyncio.sleep(_PAUSE)


async def answers_kafka(address: str, limit: float) -> bool | None:
    """Ask a broker for its API versions, as every client does before it logs in.

    Returns:
        True if it answers within `limit` seconds; None if this process could not ask.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            with closing(writer):
                writer.write(_API_VERSIONS_REQUEST)
                answer = await reader.readexactly(len(_CORRELATION_ID) + _LENGTH_BYTES)
    except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
        return None if is_own_failure(error) else False
    return answer[_LENGTH_BYTES:] == _CORRELATION_ID


async def _is_open(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(_ANSWER_LIMIT_MS / 1000):
            _, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError:  # TimeoutError is one
        return False
    with closing(writer):
        return True


async def _listed_nodes(address: str, password: str | None) -> int:
    settings = Settings.from_environment(
        {}, kafka_bootstrap=address, kafka_prefix=NAME_PREFIX, **login_settings(password)
    )
    client = AIOKafkaClient(**connection(settings), request_timeout_ms=_ANSWER_LIMIT_MS)
    try:
        async with asyncio.timeout(2 * _ANSWER_LIMIT_MS / 1000):
            await client.bootstrap()
        return len(client.cluster.brokers())
    except (KafkaError, OSError):
        return 0
    finally:
        await client.close()
