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
from stream_app.local.processes.liveness import is_ours_to_mend
from stream_app.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_PAUSE: Final = 0.1
_ANSWER_LIMIT_MS: Final = 3000

_LENGTH_BYTES: Final = 4
_ANSWER_BEGINNING: Final = b"live"
"""The number by which a request and its answer belong together, as four bytes."""

# length; key of ApiVersions, version 0, the number, no client id
_API_VERSIONS_REQUEST: Final = struct.pack(">ihh4sh", 10, 18, 0, _ANSWER_BEGINNING, -1)


async def answering_nodes(bootstrap: str, password: str | None) -> int:
    """Count the nodes that the broker's metadata lists as alive; 0 where nobody answers.

    Args:
        bootstrap: HOST:PORT[,...].
        password: the password of a local broker; None if it asks for none.
    """
    for address in bootstrap.split(","):
        # a closed port is no reason for the client to log an error
        if await _is_open(address) and (alive := await _listed_nodes(address, password)):
            return alive
    return 0


async def _nothing_to_see() -> None:
    """Check nothing: the supervisor of the processes sees their end."""


async def wait_until_answering(
    bootstrap: str,
    nodes: int,
    password: str | None,
    *,
    limit: float,
    still_starting: Callable[[], Awaitable[None]] = _nothing_to_see,
) -> None:
    """Wait until every node answers that all are alive.

    Each is asked: a node that was killed stays in the others' lists for a while.

    Args:
        bootstrap: HOST:PORT[,...].
        nodes: how many must be alive.
        password: the same as for `answering_nodes`.
        limit: seconds to wait at most.
        still_starting: called at each look; raises where waiting on is pointless.

    Raises:
        BrokerUnavailableError: not within the limit.
    """
    deadline = asyncio.get_running_loop().time() + limit
    while True:
        await still_starting()
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
    """Ask a broker, without a login, which requests it knows; True if it answers in time.

    Every client asks so before it logs in. None if it could not be asked.
    """
    host, _, port = address.rpartition(":")
    try:
        async with asyncio.timeout(limit):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            with closing(writer):
                writer.write(_API_VERSIONS_REQUEST)
                answer = await reader.readexactly(len(_ANSWER_BEGINNING) + _LENGTH_BYTES)
    except (OSError, asyncio.IncompleteReadError) as error:  # TimeoutError is an OSError
        return None if is_ours_to_mend(error) else False
    return answer[_LENGTH_BYTES:] == _ANSWER_BEGINNING


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
