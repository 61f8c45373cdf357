"""Typed keys of what the routes find in the application."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from api.fleet.service import FleetService
from api.gateway import Gateway
from api.http.event_stream import EventStreams
from api.http.request_body import RequestBodies
from api.ingest.service import IngestService
from api.reports.service import ReportService
from api.stores.service import StoreService
from api.webhooks.service import WebhookService

GATEWAY: Final = web.AppKey("gateway", Gateway)
REPORTS: Final = web.AppKey("reports", ReportService)
STORES: Final = web.AppKey("stores", StoreService)
INGESTION: Final = web.AppKey("ingestion", IngestService)
FLEET: Final = web.AppKey("fleet", FleetService)
EVENT_STREAMS: Final = web.AppKey("event_streams", EventStreams)
WEBHOOKS: Final = web.AppKey("webhooks", WebhookService)
BODIES: Final = web.AppKey("bodies", RequestBodies)
DEFAULT_TIMEZONE: Final = web.AppKey("default_timezone", str)
