"""The services that the routes of an application use, each found by its class.

A class is its own key, so a service needs to know nothing of HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

_Service = TypeVar("_Service")

_SERVICES: Final = web.AppKey("services", dict[type[Any], Any])


def provide(app: web.Application, services: Mapping[type[Any], Any]) -> None:
    """Give an application its services, by class."""
    app[_SERVICES] = dict(services)


def service_of(request: web.Request, kind: type[_Service]) -> _Service:
    """Return the service of a class that the application of a request has."""
    return service_in(request.app, kind)


def service_in(app: web.Application, kind: type[_Service]) -> _Service:
    """Return the service of a class that an application has."""
    return cast("_Service", app[_SERVICES][kind])
