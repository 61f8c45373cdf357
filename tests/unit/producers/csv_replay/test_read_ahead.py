"""Reading before the rows are asked for: in order, bounded, and without a thread left behind."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from producers.csv_replay.read_ahead import ReadAhead
from stream_app.errors import StoreUptimeError

if TYPE_CHECKING:
    from collections.abc import Iterator


async def chunks_of(ahead: ReadAhead[int], file: int) -> list[int]:
    return [chunk async for chunk in ahead.chunks(file)]


async def test_the_chunks_of_each_file_come_in_their_order() -> None:
    async with ReadAhead([iter([1, 2]), iter([]), iter([3])], lambda _: 1, 10) as ahead:
        assert [await chunks_of(ahead, file) for file in range(3)] == [[1, 2], [], [3]]


async def test_a_file_is_read_before_it_is_asked_for() -> None:
    read = asyncio.Event()
    loop = asyncio.get_running_loop()

    def chunks() -> Iterator[int]:
        yield 1
        loop.call_soon_threadsafe(read.set)
        yield 2

    async with ReadAhead([chunks()], lambda _: 1, 10) as ahead:
        await read.wait()
        assert await chunks_of(ahead, 0) == [1, 2]


async def chunks_read(read: list[int], count: int) -> int:
    """Wait until so many chunks are read, however busy the machine is; return how many it are."""
    while len(read) < count:  # noqa: ASYNC110  a thread reads them
        await asyncio.sleep(0.001)
    # one chunk too many would come now
    await asyncio.sleep(0.05)
    return len(read)


def counted(read: list[int]) -> Iterator[int]:
    for number in range(20):
        read.append(number)
        yield number


@pytest.mark.parametrize(("limit", "most"), [(0, 0), (1, 1), (10, 2), (12, 3)])
async def test_no_more_is_read_ahead_than_the_limit_allows(limit: int, most: int) -> None:
    read: list[int] = []
    async with ReadAhead([counted(read), counted(read)], lambda _: 5, limit) as ahead:
        assert await chunks_read(read, most) == most
        stream = ahead.chunks(0)
        assert await anext(stream) == 0
        assert await chunks_read(read, most + 1) == most + 1
        assert [chunk async for chunk in stream] == list(range(1, 20))
        assert await chunks_read(read, 20 + most) == 20 + most
        assert await chunks_of(ahead, 1) == list(range(20))


async def test_a_chunk_above_the_limit_stops_nothing() -> None:
    async with ReadAhead([iter([1, 2, 3]), iter([4])], lambda _: 100, 1) as ahead:
        assert await chunks_of(ahead, 0) == [1, 2, 3]
        assert await chunks_of(ahead, 1) == [4]


async def test_an_error_is_raised_where_the_file_is_asked_for() -> None:
    def damaged() -> Iterator[int]:
        yield 1
        raise StoreUptimeError("damaged")

    async with ReadAhead([iter([7]), damaged()], lambda _: 1, 10) as ahead:
        assert await chunks_of(ahead, 0) == [7]
        stream = ahead.chunks(1)
        assert await anext(stream) == 1
        with pytest.raises(StoreUptimeError, match="damaged"):
            await anext(stream)


async def test_leaving_waits_for_the_chunk_that_is_being_read() -> None:
    """The file is closed behind it."""
    begun, go_on, left = threading.Event(), threading.Event(), threading.Event()

    def chunks() -> Iterator[int]:
        begun.set()
        go_on.wait()
        left.set()
        yield 1

    async with ReadAhead([chunks()], lambda _: 1, 10):
        await asyncio.to_thread(begun.wait)
        asyncio.get_running_loop().call_later(0.05, go_on.set)
    assert left.is_set()
