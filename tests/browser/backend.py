"""The backend serves the real pages and answers as the API does, without Kafka.

A test changes its attributes, such as `stores` and `failing`, and sends its events.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from api.app import RESOURCES, create_app
from api.http.problems import ProblemError, problem_middleware
from api.http.services import provide
from api.openapi import routes as documents
from api.openapi.documents import Documents
from api.pages import routes as pages
from stream_app.contracts.fields import parse_uuid
from stream_app.errors import RecordError
from tests.browser import data
from tests.browser.public import CannedStatus
from tests.browser.streams import Streams
from tests.fakes import FakeGateway

if TYPE_CHECKING:
    Store = dict[str, Any]

_WORST = ("down", "unknown", "up", "closed")


class Backend:
    """The state of the API, which a test changes and checks.

    Attributes:
        stores: the stores of the fleet, by id.
        now: the time of the reference clock.
        figures_at: as in the answer of `GET /fleet`.
        freshness: how old the data is, as in the answer of `GET /fleet`.
        details: the answers of `summary`, `timeline` and `incidents`, by store.
        failing: statuses of errors, by the beginning of the paths that answer with them.
        fleet_events: the streams of `GET /fleet/events`.
        report_events: the streams of `GET /reports/{id}/events`.
        report: the state of the one report, as in the answer of `GET /get_report/{id}`.
        public: the content of the status page.
        requests: method and path of every request.
    """

    def __init__(self) -> None:
        self.stores: dict[str, Store] = {store["store_id"]: store for store in data.fleet()}
        self.now: str | None = data.NOW
        self.clock = "data"
        self.figures_at: str | None = data.FIGURES_AT
        self.freshness: dict[str, Any] = data.freshness()
        self.details: dict[str, dict[str, Any]] = {data.STORE: data.details()}
        self.failing: dict[str, HTTPStatus] = {}
        self.fleet_events = Streams("fleet")
        self.report_events = Streams("report")
        self.report: dict[str, Any] = {"status": "running"}
        self.report_csv = data.CSV
        self.public = CannedStatus()
        self.requests: list[str] = []

    def app(self) -> web.Application:
        """Return the application; to be called once for each backend."""
        app = web.Application(middlewares=[self._watch, problem_middleware, self._fail])
        app.add_routes(pages.routes)
        app.add_routes(documents.routes)
        gateway = FakeGateway()
        described = Documents(create_app(gateway), RESOURCES, gateway.settings)
        provide(app, {Documents: described})
        app.add_subapp("/public/", self.public.app())
        app.add_routes(
            [
                web.get("/fleet", self._fleet),
                web.get("/fleet/events", self._fleet_events),
                web.get("/stores/{store_id}/{what}", self._detail),
                web.post("/trigger_report", self._trigger),
                web.post("/trigger_report/{store_id}", self._trigger),
                web.get("/get_report/{report_id}", self._report),
                web.get("/reports/{report_id}/events", self._report_events),
            ]
        )
        return app

    def counts(self) -> dict[str, int]:
        """Return the counts of all stores, as in `GET /fleet`."""
        states = [store["state"] for store in self.stores.values()]
        return {**{state: states.count(state) for state in _WORST}, "total": len(states)}

    def event(self, *changed: str, more: bool = False) -> dict[str, Any]:
        """Return the event that `GET /fleet/events` sends now."""
        fields = ("store_id", "state", "last_poll")
        rows = [
            {name: self.stores[store][name] for name in fields}
            for store in changed
            if store in self.stores
        ]
        return {
            "now": self.now,
            "counts": self.counts(),
            "changed": rows,
            "removed": [store for store in changed if store not in self.stores],
            "more": more,
            "figures_at": self.figures_at,
            "freshness": self.freshness,
        }

    async def send_update(self, *changed: str, more: bool = False) -> None:
        """Send the state of these stores to all listeners."""
        await self.fleet_events.send(self.event(*changed, more=more))

    async def remove(self, store_id: str) -> None:
        """Remove a store, and send an event about it."""
        del self.stores[store_id]
        self.details.pop(store_id, None)
        await self.send_update(store_id)

    async def change(self, store_id: str, state: str, status: str) -> None:
        """Let a poll of a store arrive at `now`, and send an event about it."""
        poll = {"status": status, "timestamp_utc": self.now}
        self.stores[store_id].update(state=state, last_poll=poll)
        if store_id in self.details:
            self.details[store_id]["summary"].update(state=state, last_poll=poll)
        await self.send_update(store_id)

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(f"{request.method} {request.path_qs}")
        response: web.StreamResponse = await handler(request)
        return response

    @web.middleware
    async def _fail(self, request: web.Request, handler: Any) -> web.StreamResponse:
        for path, status in self.failing.items():
            if request.path.startswith(path):
                detail = "the Kafka broker is out of reach; try again later"
                raise ProblemError(status, detail, retry_after=1)
        response: web.StreamResponse = await handler(request)
        return response

    async def _fleet(self, request: web.Request) -> web.Response:
        query = request.query
        if not re.fullmatch(r"[0-9a-f-]*", query.get("q", "").lower()):
            raise RecordError(f"q is not a part of a store id: {query['q']}")
        states = query["state"].split(",") if "state" in query else _WORST
        matches = [
            store
            for store in self.stores.values()
            if store["state"] in states
            and query.get("zone", store["timezone"]) == store["timezone"]
            and query.get("q", "").lower() in store["store_id"]
        ]
        match query.get("sort", "worst"):
            case "id":
                matches.sort(key=lambda store: store["store_id"])
            case "last_poll":
                matches.sort(key=lambda store: (store["last_poll"] or {}).get("timestamp_utc", ""))
            case _:
                matches.sort(key=_badness)
        limit, page = int(query.get("limit", "50")), int(query.get("page", "1"))
        answer = {
            "now": self.now,
            "clock": self.clock,
            "counts": self.counts(),
            "matching": len(matches),
            "page": page,
            "pages": max(1, -(-len(matches) // limit)),
            "zones": sorted({store["timezone"] for store in self.stores.values()}),
            "figures_at": self.figures_at,
            "freshness": self.freshness,
            "stores": matches[(page - 1) * limit : page * limit],
        }
        return _json(answer)

    async def _fleet_events(self, request: web.Request) -> web.StreamResponse:
        return await self.fleet_events.serve(request, self.event)

    async def _detail(self, request: web.Request) -> web.Response:
        store_id, what = parse_uuid(request.match_info["store_id"]), request.match_info["what"]
        if store_id not in self.details:
            raise data.unknown_store(store_id)
        answer = self.details[store_id][what]
        if what == "incidents":
            return _json({**answer, **_page(answer["incidents"], request)})
        return _json(answer)

    async def _trigger(self, _request: web.Request) -> web.Response:
        return _json({"report_id": data.REPORT}, 202)

    async def _report(self, request: web.Request) -> web.Response:
        match self.report["status"]:
            case "complete":
                named = data.CSV_NAME if "columns" in request.query else f"report-{data.REPORT}.csv"
                name = f'inline; filename="{named}"'
                headers = {"Content-Disposition": name}
                return web.Response(text=self.report_csv, content_type="text/csv", headers=headers)
            case "failed":
                return _json(self.report, 410)
            case _:
                return _json(self.report, 202)

    async def _report_events(self, request: web.Request) -> web.StreamResponse:
        return await self.report_events.serve(
            request, lambda: {"report_id": data.REPORT, **self.report}
        )

    async def set_report(self, **report: Any) -> None:
        """Set the state of the report, and send it to all listeners."""
        self.report = report
        await self.report_events.send({"report_id": data.REPORT, **report})

    def stop(self) -> None:
        """End all streams, so that none of them holds up the server."""
        for streams in (self.fleet_events, self.report_events):
            streams.refused = HTTPStatus.SERVICE_UNAVAILABLE
            streams.go_on()
            streams.cut()


def _page(incidents: list[dict[str, Any]], request: web.Request) -> dict[str, Any]:
    after, limit = request.query.get("after"), int(request.query["limit"])
    older = [incident for incident in incidents if after is None or incident["start"] < after]
    page, following = older[:limit], None
    if len(older) > limit:
        query = {"limit": str(limit), "after": page[-1]["start"]}
        following = str(request.rel_url.with_query(query))
    return {"incidents": page, "next": following}


def _badness(store: Store) -> tuple[int, float]:
    down = (store["figures"] or {}).get("downtime_last_day", 0)
    return (_WORST.index(store["state"]), -down)


def _json(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(content), content_type="application/json")
