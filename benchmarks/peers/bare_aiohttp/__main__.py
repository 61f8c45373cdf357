"""Acknowledges `POST /stores/ID/status` and `POST /status` and does nothing else: --port N."""

from __future__ import annotations

import argparse

import orjson
from aiohttp import web


def accepted(content: object) -> web.Response:
    """Answer 202 with JSON."""
    return web.Response(status=202, body=orjson.dumps(content), content_type="application/json")


async def post_status(request: web.Request) -> web.Response:
    """Acknowledge one poll of the store in the path."""
    poll = orjson.loads(await request.read())
    return accepted({"store_id": request.match_info["store_id"], **poll})


async def post_statuses(request: web.Request) -> web.Response:
    """Acknowledge polls of many stores."""
    polls = orjson.loads(await request.read())
    return accepted({"accepted": len(polls), "refused": 0, "refused_items": []})


def application() -> web.Application:
    """Return an application with the two routes."""
    app = web.Application()
    app.router.add_post("/stores/{store_id}/status", post_status)
    app.router.add_post("/status", post_statuses)
    return app


def main() -> None:
    """Listen on the loopback interface until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    web.run_app(application(), host="127.0.0.1", port=port, access_log=None, print=None)


if __name__ == "__main__":
    main()
