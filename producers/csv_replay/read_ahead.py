"""Reads files in a thread before their rows are requested, in bounded memory."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

Chunk = TypeVar("Chunk")


class ReadAhead(Generic[Chunk]):
    """A context in which a thread reads some files, one after the other.

    Its end waits for the chunk that is being read, so that the files can be closed then.

    Args:
        files: for each file, the iterator that reads its chunks.
        size: returns the bytes of memory that a chunk takes.
        limit: bytes of chunks that are read ahead. At the limit, the next chunk is read only when
            it is requested, so that with 0 nothing is read ahead.
    """

    def __init__(
        self, files: Sequence[Iterator[Chunk]], size: Callable[[Chunk], int], limit: int
    ) -> None:
        self._files = files
        self._size = size
        self._limit = limit
        self._bytes = 0
        self._may_read = asyncio.Event()
        self._queues: list[asyncio.Queue[Chunk | Exception | None]] = [
            asyncio.Queue() for _ in files
        ]

    async def __aenter__(self) -> Self:
        self._continue_below_limit()
        self._task = asyncio.create_task(self._read_files())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def chunks(self, file: int) -> AsyncIterator[Chunk]:
        """Yield the chunks of a file, once.

        Args:
            file: the index of the file; the files before it have been read to their ends.

        Raises:
            Exception: the iterator of the file raised it.
        """
        queue = self._queues[file]
        while True:
            if queue.empty():
                self._may_read.set()
            chunk = await queue.get()
            if chunk is None:
                return
            if isinstance(chunk, Exception):
                raise chunk
            self._bytes -= self._size(chunk)
            self._continue_below_limit()
            yield chunk

    def _continue_below_limit(self) -> None:
        if self._bytes < self._limit:
            self._may_read.set()

    async def _read_files(self) -> None:
        for chunks, queue in zip(self._files, self._queues, strict=True):
            chunk: Chunk | None
            try:
                while (chunk := await self._read(chunks)) is not None:
                    self._bytes += self._size(chunk)
                    self._put(queue, chunk)
            except Exception as error:  # noqa: BLE001  raised by `chunks`
                self._put(queue, error)
                return
            self._put(queue, None)

    def _put(
        self, queue: asyncio.Queue[Chunk | Exception | None], chunk: Chunk | Exception | None
    ) -> None:
        queue.put_nowait(chunk)
        if self._bytes >= self._limit:
            self._may_read.clear()

    async def _read(self, chunks: Iterator[Chunk]) -> Chunk | None:
        await self._may_read.wait()
        reading = asyncio.ensure_future(asyncio.to_thread(next, chunks, None))
        try:
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            # the file is closed after this
            await asyncio.wait([reading])
            raise
