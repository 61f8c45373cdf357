"""Schemathesis as our tests use it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson
import schemathesis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.adapter import responses
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.converter import to_json_schema

from api.app import RESOURCES, create_app
from api.openapi.openapi import openapi
from stream_app.contracts.fields import EXAMPLE_STORE
from tests.fakes import FakeGateway

if TYPE_CHECKING:
    from schemathesis.checks import CheckFunction
    from schemathesis.specs.openapi.schemas import OpenApiSchema

# schemathesis 4.32.5 writes `prefixItems` of answers in the way of an older draft, and then finds
# that it is wrong in ours; without that it checks them as they are
vars(responses)["to_json_schema"] = partial(to_json_schema, convert_prefix_items=False)

schemathesis.openapi.media_type(
    "application/x-ndjson",
    st.lists(
        st.fixed_dictionaries(
            {
                "store_id": st.one_of(st.just(EXAMPLE_STORE), st.uuids().map(str), st.just("7")),
                "status": st.sampled_from(["active", "inactive", "Active ", "closed", None]),
            },
            optional={
                "timestamp_utc": st.sampled_from(["2024-03-10T12:00:00Z", None, "9999-01-01"])
            },
        ).map(orjson.dumps),
        min_size=1,
    ).map(b"\n".join),
)

PASSED_OVER: Final[dict[str, list[CheckFunction]]] = {
    # items are refused one by one, within an answer that accepts the others
    "POST /status": [negative_data_rejection],
}
"""Checks that do not hold of an operation, and why; every other check of schemathesis does."""

NO_SCHEMA_TELLS: Final = (
    # an earlier example had the same one
    "this Idempotency-Key was used for another request",
    # by the clock, or by the zone at the end of the text
    "lies ahead of the clock",
    # by the setting EARLIEST_POLL
    "lies before 2000-01-01",
    "a time outside 1970 to 2100",
    # the operator, who lists where webhooks may go
    "webhooks are off here",
    # NDJSON is a text to a schema
    "no item is accepted",
    # two fields together
    "only one of them may be there",
    "they mean the same, say one",
    "is not before the end",
    "the time asked for is longer than",
)
"""Why a request is refused, rightly, that a schema takes."""


def described() -> OpenApiSchema:
    """The API by its own description."""
    gateway = FakeGateway()
    api = schemathesis.openapi.from_dict(openapi(create_app(gateway), RESOURCES))
    # a stream may never say more than the first event
    api.config.max_stream_events = 1
    return api


def bounded(examples: int) -> settings:
    """So many examples for an operation, the same ones each time."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def check(case: schemathesis.Case[Any], address: str) -> None:
    """Send it, and hold the answer against the description."""
    response = case.call(base_url=address)
    excluded = list(PASSED_OVER.get(case.operation.label, []))
    if any(reason in response.text for reason in NO_SCHEMA_TELLS):
        excluded.append(positive_data_acceptance)
    body = response.request.body
    if isinstance(body, bytes | str) and not body.strip():
        # a blank body is none, which may be enough
        excluded.append(negative_data_rejection)
    case.validate_response(
        response, excluded_checks=excluded, transport_kwargs={"base_url": address}
    )
