"""Typed keys of what the routes find in the application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.event_stream import EventStreams
from api.fleet_service import FleetService
from api.gateway import Gateway
from api.ingestion import Ingestion
from api.report_service import ReportService
from api.request_body import Bodies
from api.store_service import StoreService

GATEWAY: Final = web.AppKey("gateway", Gateway)
REPORTS: Final = web.AppKey("reports", ReportService)
STORES: Final = web.AppKey("stores", StoreService)
INGESTION: Final = web.AppKey("ingestion", Ingestion)
FLEET: Final = web.AppKey("fleet", FleetService)
EVENT_STREAMS: Final = web.AppKey("event_streams", EventStreams)
BODIES: Final = web.AppKey("bodies", Bodies)
DEFAULT_TIMEZONE: Final = web.AppKey("default_timezone", str)
