"""Variables that Kubernetes makes of its services, which may look like settings of ours.

Every container gets variables of every service of its namespace, in the form of Docker's links
(Kubernetes, `pkg/kubelet/envvars`). A service called `store-uptime` makes, for a port 8000 named
`http`, `STORE_UPTIME_SERVICE_HOST`, `..._SERVICE_PORT`, `..._SERVICE_PORT_HTTP`, `..._PORT`,
`..._PORT_8000_TCP` and the latter with `_PROTO`, `_PORT` and `_ADDR`. A service called
`store-uptime-api` makes `STORE_UPTIME_API_PORT`, which is the name of a setting.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

_BY_NAME: Final = re.compile(
    r".+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?"
    r"|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_(?:PROTO|PORT|ADDR))?)"
)
"""Matches names that only variables of services have."""

_BY_VALUE: Final = re.compile(r".+_PORT")
"""Matches names that settings may have too."""

_ADDRESS: Final = re.compile(r"(?:tcp|udp|sctp)://\S+:[0-9]+")


def is_service_link(
    variable: str, environment: Mapping[str, str], settings: Container[str]
) -> bool:
    """Check whether Kubernetes made a variable of a service, so that it is no setting.

    Where the name is one of a setting, the value must be an address such as
    `tcp://10.0.0.1:8000`, and the service's `..._SERVICE_HOST` must be there too. Otherwise
    a person wrote the variable, and its value is reported as wrong.

    Args:
        variable: the variable's name.
        environment: all variables.
        settings: the names of the variables that are settings.
    """
    if variable not in settings and _BY_NAME.fullmatch(variable):
        return True
    if not (_BY_VALUE.fullmatch(variable) and is_address(environment[variable])):
        return False
    return variable not in settings or f"{_service(variable)}_SERVICE_HOST" in environment


def is_address(value: str) -> bool:
    """Check whether a value is one that Kubernetes writes for the port of a service."""
    return _ADDRESS.fullmatch(value) is not None


def service_name(variable: str) -> str:
    """Find the name of the service of which a variable that ends with `_PORT` was made."""
    return _service(variable).lower().replace("_", "-")


def _service(variable: str) -> str:
    return variable.removesuffix("_PORT")
