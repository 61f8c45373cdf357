"""Any value in a result is refused where it is read, or it is answered in every form."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from api.reports.representations import MEDIA
from stream_app.contracts.report_results import decode_event
from stream_app.errors import RecordError
from tests.fakes import FakeGateway, report_state
from tests.report_contents import FORMS, store_content
from tests.unit.api.answers import REPORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.http_client import TestClient

ODD: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 2**53, 2**63, 1e300),
    *("", "x", "5", "a\r\nb", "a\0b", "é", "2024-02-30T00:00:00Z", "2024-03-10"),
    *([], [1], [[]], {}, {"a": 1}, {"store_id": 5}),
)


def strays(content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the content with one field of it, of its first day or of a new column made odd."""
    for odd in ODD:
        for name in content:
            yield {**content, name: odd}
        if "days" in content:
            first, *rest = content["days"]
            for name in first:
                yield {**content, "days": [{**first, name: odd}, *rest]}
        yield {**content, "columns": [*content["columns"], "mood"], "mood": odd}
        yield {**content, "columns": [*content["columns"], odd], str(odd): 1}


@pytest.mark.parametrize("form", ["window", "window exact", "span", "daily"])
async def test_no_result_causes_an_internal_error(
    client: TestClient, gateway: FakeGateway, form: str
) -> None:
    answered = 0
    for content in strays(store_content(FORMS[form])):
        value = {"report_id": REPORT, "status": "complete", "at": "2024-03-10T12:00:00Z"}
        try:
            document = decode_event(orjson.dumps({**value, "report": content})).report
        except RecordError:
            continue
        assert document is not None
        gateway.reports[REPORT] = report_state(REPORT, "complete", content=document.fields)
        for media in MEDIA:
            response = await client.get(f"/get_report/{REPORT}", headers={"Accept": media})
            assert response.status == HTTPStatus.OK, (media, content)
            assert await response.read()
            answered += 1
    assert answered
