"""A local HTTP server receives webhooks, for tests of deliveries."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = int | Callable[[web.Request], Awaitable[web.StreamResponse]]

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  an example of the specification
KEY = base64.b64decode(SECRET.removeprefix("whsec_"))


class Receiver:
    """A local HTTP server that remembers its requests.

    Attributes:
        answers: statuses or handlers of its answers, in order; the last one repeats.
        requests: headers and body of every request.
        paths: the path of every request.
    """

    def __init__(self, *answers: Answer) -> None:
        self.answers: list[Any] = list(answers) or [204]
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._handle)
        self._server = TestServer(app)

    async def __aenter__(self) -> Receiver:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("/hook"))

    @property
    def host(self) -> str:
        """Return the host as the operator lists it."""
        return f"http://127.0.0.1:{self._server.port}"

    async def wait_for_requests(self, count: int) -> None:
        while len(self.requests) < count:  # noqa: ASYNC110  short, and in tests alone
            await asyncio.sleep(0.01)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((dict(request.headers), await request.read()))
        self.paths.append(request.path)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return web.Response(status=answer)
        response: web.StreamResponse = await answer(request)
        return response
