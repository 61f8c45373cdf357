"""The command `explain` against the API over a fake gateway, and topics that the test fills."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from api.app import create_app
from stream_app.cli import explain as explain_module
from stream_app.contracts.report_results import EXTRA_COLUMNS
from stream_app.domain.report_spec import ReportSpec
from stream_app.domain.timestamps import DAY, HOUR, MINUTE
from tests.fakes import FakeGateway, report_state
from tests.strategies import Case
from tests.unit.api.answers import REPORT, UNKNOWN
from tests.unit.explain.cases import SETTINGS, STORE, FakeReader, offsets_of, report_of, topics_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from click.testing import Result

    from tests.unit.explain.cases import Topics

NOON = 1_710_072_000_000_000
CASE = Case(
    [(day, "09:00", "17:00") for day in range(7)],
    "Europe/Berlin",
    [(NOON - DAY, True), (NOON - HOUR - MINUTE, True), (NOON - HOUR, False)],
    NOON,
    False,
)


class Product:
    """An API with reports, and the topics that they were made from."""

    def __init__(self, address: str, gateway: FakeGateway, topics: Topics) -> None:
        self.address = address
        self.gateway = gateway
        self.topics = topics

    def add(self, spec: ReportSpec, *, of_many: bool = False, **changed: Any) -> None:
        content = report_of(CASE, spec, offsets_of(self.topics), of_many=of_many) | changed
        progress = {}
        if of_many:
            rows = [list(row.values()) for row in content.pop("reports")]
            content["further"] = EXTRA_COLUMNS
            self.gateway.rows[REPORT] = [[orjson.dumps(rows)]]
            progress = {"parts": (1, 1)}
        state = report_state(REPORT, "complete", content=content, **progress)
        self.gateway.reports[REPORT] = state

    async def explain(self, *arguments: str, report_id: str = REPORT) -> Result:
        command = [report_id, "--api", self.address, *arguments]
        return await asyncio.to_thread(CliRunner().invoke, explain_module.explain, command)


async def no_topics(*_: object) -> int:
    return 0


@pytest.fixture
async def product(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Product]:
    topics = topics_of(CASE)

    @asynccontextmanager
    async def reader(_settings: Any) -> AsyncIterator[FakeReader]:
        yield FakeReader(topics)

    monkeypatch.setattr(explain_module, "partition_reader", reader)
    monkeypatch.setattr(explain_module, "ensure_topics", no_topics)
    monkeypatch.setattr(explain_module, "read_settings", lambda **_: SETTINGS)
    monkeypatch.setattr(explain_module, "resolve_bootstrap", lambda settings: settings)
    gateway = FakeGateway(STORE)
    server = TestServer(create_app(gateway))
    await server.start_server()
    yield Product(str(server.make_url("/")), gateway, topics)
    await server.close()


async def test_a_report_is_explained_with_all_its_sources(product: Product) -> None:
    product.add(ReportSpec())
    result = await product.explain()

    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0] == f"report {REPORT} of store {STORE}"
    assert "  to          2024-03-10T12:00:00Z, Sun 2024-03-10 13:00:00 CET" in lines
    assert any("Mon Tue Wed Thu Fri Sat Sun 09:00-17:00" in line for line in lines)
    assert (
        "  last hour                          60              0             60              0"
        in lines
    )
    assert "  polls counted                       3" in lines
    stretches = [line for line in lines if line.startswith("  S")]
    assert [line.split("  ")[-1] for line in stretches] == [
        "by default: no poll before",
        "poll of 2024-03-09T12:00:00Z, store-status/1/1, and on to that of 2024-03-10T10:59:00Z",
        "poll of 2024-03-10T11:00:00Z, store-status/1/3",
    ]
    assert stretches[1].startswith("  Sat 2024-03-09 13:00:00 CET  Sun 2024-03-10 12:00:00 CET ")
    assert lines[-1] == "agrees: every figure, polls counted and coverage"


async def test_a_wrong_figure_is_named(product: Product) -> None:
    product.add(ReportSpec(), uptime_last_day=3.0)
    result = await product.explain()

    assert result.exit_code == 1
    assert result.stdout.splitlines()[-1] == (
        "differs: uptime_last_day is 3.0 in the report and 7.0 recomputed"
    )


@pytest.mark.parametrize(
    ("spec", "unit", "windows"),
    [
        (ReportSpec(), "minutes", ["last hour", "last day", "last week"]),
        (ReportSpec(exact=True), "seconds", ["last hour", "last day", "last week"]),
        (ReportSpec(start=NOON - DAY), "minutes", ["the requested range"]),
        (ReportSpec(duration=DAY, daily=True), "minutes", ["2024-03-09", "2024-03-10"]),
    ],
)
@pytest.mark.parametrize("of_many", [False, True])
async def test_programs_get_json_of_every_spec(
    product: Product, spec: ReportSpec, unit: str, windows: list[str], of_many: bool
) -> None:
    product.add(spec, of_many=of_many)
    result = await product.explain("--format", "json", *(["--store", STORE] if of_many else []))

    assert result.exit_code == 0, result.output
    document = orjson.loads(result.stdout)
    assert document["outcome"] == "agrees"
    assert [window["window"] for window in document["windows"]] == windows
    total = sum(stretch[f"open_{unit}"] for stretch in document["stretches"])
    longest = document["windows"][2:] if spec.windows else document["windows"]
    assert total == sum(window[f"open_{unit}"] for window in longest)
    assert document["stretches"][-1]["status"] == "inactive"
    assert document["stretches"][-1]["first_poll"] == {
        "timestamp_utc": "2024-03-10T11:00:00Z",
        "offset": 3,
    }


async def test_a_report_of_many_stores_needs_the_name_of_one(product: Product) -> None:
    product.add(ReportSpec(), of_many=True)
    result = await product.explain()
    assert "say which one with --store" in str(result.exception)


async def test_many_stretches_are_shortened_for_people(product: Product) -> None:
    polls = [(NOON - number * MINUTE, number % 2 == 0) for number in range(60)]
    case = CASE._replace(polls=polls)
    product.topics.records = topics_of(case).records
    content = report_of(case, ReportSpec(), offsets_of(product.topics))
    product.gateway.reports[REPORT] = report_state(REPORT, "complete", content=content)
    result = await product.explain()

    assert result.exit_code == 0, result.output
    assert "  ... 40 earlier ones: --format json has them" in result.stdout


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        (("running", {}), "is still running"),
        (("failed", {"reason": "no poll"}), "the report failed: no poll"),
    ],
)
async def test_a_report_that_is_not_complete_cannot_be_explained(
    product: Product, state: tuple[Any, dict[str, Any]], reason: str
) -> None:
    product.gateway.reports[REPORT] = report_state(REPORT, state[0], **state[1])
    result = await product.explain()
    assert reason in str(result.exception)


async def test_an_unknown_report_is_an_error(product: Product) -> None:
    result = await product.explain(report_id=UNKNOWN)
    assert "is unknown or expired" in str(result.exception)


@pytest.mark.parametrize("arguments", [["x"], [REPORT, "--store", "x"]])
def test_ids_are_uuids(arguments: list[str]) -> None:
    result = CliRunner().invoke(explain_module.explain, arguments)
    assert result.exit_code == 2
    assert "is not a UUID" in result.stderr
