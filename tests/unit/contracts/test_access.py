"""Each process has the rights that it needs in Kafka, and the guide to a cluster lists them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from stream_app.contracts.access import ACCESS, Operation, Process, api_process
from stream_app.contracts.topics import ALL_TOPICS, APP_ID, WEBHOOKS, WEBHOOKS_GROUP
from stream_app.settings import Settings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "cluster.md"
SECTION = re.compile(r"<!-- rights -->\n(.*?)<!-- /rights -->", re.DOTALL)


def table() -> str:
    """Return the table that stands between the comments of the page."""
    lines = ["| process | resource | operations |", "|---|---|---|"]
    for process, access in ACCESS.items():
        by_operations: dict[str, list[str]] = {}
        for spec in access.topics:
            operations = ", ".join(access.operations(spec))
            by_operations.setdefault(operations, []).append(f"`{spec.name}`")
        if process is Process.UP:
            by_operations = {operations: ["all topics"] for operations in by_operations}
        for operations, names in by_operations.items():
            kind = "topic" if names != ["all topics"] else ""
            lines.append(
                f"| {process} | {kind} {', '.join(names)} | {operations} |".replace("  ", " ")
            )
        lines += [f"| {process} | group `{group}` | Read |" for group in access.groups]
        lines += [
            f"| {process} | transactional ids that begin with `{spec.name}-` | Write |"
            for spec in access.transactional
        ]
    return "\n".join(lines) + "\n"


def test_the_page_has_the_table() -> None:
    """`python -m tests.unit.contracts.test_access` writes it into the page."""
    match = SECTION.search(PAGE.read_text(encoding="utf-8"))
    assert match is not None
    assert match[1] == table()


def test_every_process_has_its_rights() -> None:
    assert set(ACCESS) == set(Process)


def test_every_topic_has_a_process_that_writes_it_and_one_that_reads_it() -> None:
    """A topic without one of them is missing in the declaration of some process."""
    read = {spec.name for access in ACCESS.values() for spec in access.reads}
    written = {spec.name for access in ACCESS.values() for spec in access.writes}
    assert read == written == {spec.name for spec in ALL_TOPICS}


@pytest.mark.parametrize("process", set(Process) - {Process.WORKER, Process.UP})
def test_the_workers_group_and_changelog_are_the_workers_alone(process: Process) -> None:
    access = ACCESS[process]
    assert APP_ID not in access.groups
    assert access.transactional == ()
    assert not any(spec.name.endswith("changelog") for spec in access.topics)


def test_the_commands_use_only_the_topics_that_they_need() -> None:
    names = {process: [spec.name for spec in ACCESS[process].topics] for process in Process}
    facts = ["store-status", "store-business-hours", "store-timezones"]
    assert names[Process.REPLAY] == [*facts, "dead-letters"]
    assert names[Process.SIMULATE] == facts
    assert names[Process.LIST_DEAD_LETTERS] == ["dead-letters"]
    assert names[Process.EXPLAIN] == facts


def test_an_api_without_webhooks_has_no_rights_for_them() -> None:
    plain = api_process(Settings.from_environment({}))
    with_webhooks = api_process(
        Settings.from_environment(
            {}, webhook_hosts="hooks.example.com", webhook_secret="whsec_" + "AAAA" * 8
        )
    )
    assert WEBHOOKS not in ACCESS[plain].topics
    assert ACCESS[plain].groups == ()
    assert WEBHOOKS in ACCESS[with_webhooks].topics
    assert ACCESS[with_webhooks].groups == (WEBHOOKS_GROUP,)


@pytest.mark.parametrize("process", Process)
def test_an_operation_that_another_implies_is_not_asked_for(process: Process) -> None:
    access = ACCESS[process]
    for spec in access.topics:
        operations = access.operations(spec)
        assert len(set(operations)) == len(operations)
        implied = {Operation.READ, Operation.WRITE} & set(operations)
        assert (Operation.DESCRIBE in operations) == (not implied)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(
        SECTION.sub(lambda _: f"<!-- rights -->\n{table()}<!-- /rights -->", page), encoding="utf-8"
    )
    sys.stdout.write(table())
