"""Configures Schemathesis, which compares the API's answers with the API's own description."""

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

# schemathesis 4.32.5 rewrites `prefixItems` of answers for an older draft of JSON Schema, and then
# reports them as wrong; without the rewriting it checks them as they are
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

EXCLUDED_CHECKS: Final[dict[str, list[CheckFunction]]] = {
    # items are rejected one by one, in an answer that accepts the others
    "POST /status": [negative_data_rejection],
}
"""Checks that an operation does not pass, and why; it passes all others of schemathesis."""

RULES_OUTSIDE_SCHEMAS: Final = (
    # an earlier example had the same key
    "this Idempotency-Key was used for another request",
    # this depends on the clock, or on the UTC offset at the end of the text
    "lies ahead of the clock",
    # this depends on the setting EARLIEST_POLL
    "lies before 2000-01-01",
    "a time outside 1970 to 2100",
    # the operator decides where webhooks may go
    "webhooks are off here",
    # NDJSON is one text for a schema
    "no item is accepted",
    # these rules are about two fields together
    "only one of them may be there",
    "they mean the same, say one",
    "is not before the end",
    "the requested range is longer than",
)
"""Reasons for which the API rightly rejects requests that are valid by their schema."""


def load_description() -> OpenApiSchema:
    """Load the OpenAPI document of the API into schemathesis."""
    gateway = FakeGateway()
    api = schemathesis.openapi.from_dict(openapi(create_app(gateway), RESOURCES))
    # a stream of events may never have a second event
    api.config.max_stream_events = 1
    return api


def with_examples(examples: int) -> settings:
    """Return Hypothesis settings: a number of examples for each operation, always the same ones."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


def check(case: schemathesis.Case[Any], address: str) -> None:
    """Send the request of a case, and compare the answer with the description."""
    response = case.call(base_url=address)
    excluded = list(EXCLUDED_CHECKS.get(case.operation.label, []))
    if any(reason in response.text for reason in RULES_OUTSIDE_SCHEMAS):
        excluded.append(positive_data_acceptance)
    body = response.request.body
    if isinstance(body, bytes | str) and not body.strip():
        # a blank body counts as no body, which some operations accept
        excluded.append(negative_data_rejection)
    case.validate_response(
        response, excluded_checks=excluded, transport_kwargs={"base_url": address}
    )
