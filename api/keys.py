"""Typed keys of what the routes find in the application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.gateway import Gateway

GATEWAY: Final = web.AppKey("gateway", Gateway)
