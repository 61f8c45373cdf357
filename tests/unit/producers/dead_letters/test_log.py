from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from producers.dead_letters import log as log_module
from producers.dead_letters.log import DeadLetterFilter, DeadLetterLog, StoredDeadLetter
from stream_app.contracts.dead_letters import DeadLetter
from stream_app.contracts.topics import DEAD_LETTERS
from stream_app.errors import StoreUptimeError
from tests.fake_record import FakeRecord
from tests.unit.producers.dead_letters.fake_reader import FakeReader

if TYPE_CHECKING:
    from collections.abc import Callable

OLDEST = 40


def dead_letter(number: int) -> DeadLetter:
    if number % 2:
        return DeadLetter({"file": f"/in/{number}.csv", "line": 3}, "Not a time", b"%d" % number)
    source: dict[str, str | int] = {"topic": "store-status", "partition": 1, "offset": number}
    return DeadLetter(source, "not JSON", b"%d" % number)


async def make_log(count: int) -> tuple[DeadLetterLog, FakeReader]:
    reader = FakeReader(OLDEST)
    for number in range(OLDEST, OLDEST + count):
        reader.add_dead_letter(dead_letter(number), timestamp=number)
    fake: Any = reader
    return await DeadLetterLog.open(fake), reader


def number_of(stored: StoredDeadLetter) -> int:
    assert stored.stored_at == stored.offset * 1000
    assert stored.dead_letter.original == b"%d" % stored.offset
    return stored.offset


async def test_the_newest_come_first_and_the_others_are_only_counted() -> None:
    log, reader = await make_log(2000)
    newest, more = await log.newest(DeadLetterFilter(), 3, number_of)
    assert newest == [2039, 2038, 2037]
    assert more == 1997
    assert reader.read == log_module.CHUNK_RECORDS, "not all of them are read"


async def test_a_limit_may_reach_over_several_chunks() -> None:
    log, reader = await make_log(1200)
    newest, more = await log.newest(DeadLetterFilter(), 1100, number_of)
    assert newest == list(range(1239, 139, -1))
    assert more == 100
    assert reader.most_at_once == log_module.CHUNK_RECORDS


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (DeadLetterFilter(), lambda _: True),
        (DeadLetterFilter(topic="store-status"), lambda number: number % 2 == 0),
        (DeadLetterFilter(topic="store-timezones"), lambda _: False),
        (DeadLetterFilter(file="/in/51.csv"), lambda number: number == 51),
        (DeadLetterFilter(file="1.csv"), lambda number: number % 10 == 1),
        (DeadLetterFilter(reason="json"), lambda number: number % 2 == 0),
        (DeadLetterFilter(since=600_000), lambda number: number >= 600),
        (DeadLetterFilter(since=599_001), lambda number: number >= 600),
        (DeadLetterFilter(since=10**12), lambda _: False),
        (DeadLetterFilter(reason="TIME", since=600_000), lambda n: n >= 600 and n % 2 == 1),
    ],
)
async def test_only_selected_dead_letters_are_listed_counted_and_read(
    selection: DeadLetterFilter, chosen: Callable[[int], bool]
) -> None:
    log, _ = await make_log(1200)
    expected = [number for number in range(OLDEST, OLDEST + 1200) if chosen(number)]
    newest, more = await log.newest(selection, 5, number_of)
    assert newest == expected[-5:][::-1]
    assert more == max(0, len(expected) - 5)
    assert [number_of(stored) async for stored in log.iterate(selection)] == expected


async def test_later_dead_letters_do_not_belong_to_an_open_log() -> None:
    log, reader = await make_log(3)
    reader.add_dead_letter(dead_letter(99))
    newest, _ = await log.newest(DeadLetterFilter(), 5, number_of)
    assert newest == [42, 41, 40]
    assert [stored.offset async for stored in log.iterate(DeadLetterFilter())] == [40, 41, 42]


async def test_a_dead_letter_is_read_by_its_id() -> None:
    log, _ = await make_log(3)
    assert number_of(await log.get(41)) == 41


@pytest.mark.parametrize(
    ("count", "number", "ids"),
    [(3, 39, "40 to 42 are kept"), (3, 43, "40 to 42 are kept"), (0, 40, "none is kept")],
)
async def test_an_unknown_id_is_an_error(count: int, number: int, ids: str) -> None:
    log, _ = await make_log(count)
    with pytest.raises(StoreUptimeError, match=f"^there is no dead letter {number}: {ids}$"):
        await log.get(number)


async def test_an_empty_topic_has_no_dead_letters() -> None:
    log, _ = await make_log(0)
    assert await log.newest(DeadLetterFilter(), 5, number_of) == ([], 0)
    assert [stored async for stored in log.iterate(DeadLetterFilter())] == []


async def test_a_record_of_another_program_is_shown_as_it_is() -> None:
    log, reader = await make_log(1)
    reader.partitions[DEAD_LETTERS.name, 0][0] = FakeRecord(
        DEAD_LETTERS.name, b"hello", 5, OLDEST, key=b"k"
    )
    stored = await log.get(OLDEST)
    assert (stored.dead_letter.source, stored.dead_letter.original, stored.dead_letter.key) == (
        {},
        b"hello",
        b"k",
    )
    assert stored.dead_letter.reason.startswith("not a dead letter of this product: not JSON")
