from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts import polls as poll_records
from stream_app.contracts.fields import parse_status, parse_uuid, status_name, validate
from stream_app.contracts.polls import (
    PollBatch,
    PollBatchRecord,
    PollItem,
    PollRecord,
    decode_packed_polls,
    decode_poll_batch,
    encode_poll_batch,
    parse_poll_item,
)
from stream_app.domain.timestamps import LATEST, format_instant
from stream_app.errors import RecordError
from tests.unit.contracts.wire import STORE, instants, nested, uuids, wire

if TYPE_CHECKING:
    from collections.abc import Callable
    from uuid import UUID


@given(uuids, instants, st.booleans())
def test_a_single_poll_is_a_batch_of_one(store: str, instant: int, active: bool) -> None:
    value = wire(
        {"store_id": store, "status": status_name(active), "timestamp_utc": format_instant(instant)}
    )
    assert decode_poll_batch(value) == (PollBatch(store, [(instant, active)]), [])


@pytest.mark.parametrize("form", ["active", "ACTIVE", "Active", " active ", "aCtIvE\n"])
def test_status_is_read_in_any_case(form: str) -> None:
    assert parse_status(form) is True
    assert parse_status("in" + form.strip()) is False


@pytest.mark.parametrize(
    "form", ["up", "1", "activ", "inactive,", "act ive", "", "\uff49nactive", b"active"]
)
def test_other_words_are_no_status(form: Any) -> None:
    with pytest.raises(RecordError, match="neither active nor inactive"):
        parse_status(form)


@given(st.uuids())
def test_every_usual_form_of_a_uuid_becomes_the_canonical_one(value: UUID) -> None:
    for form in (str(value), str(value).upper(), value.hex, f"  {value}\n", value.hex.upper()):
        assert parse_uuid(form) == str(value)


@pytest.mark.parametrize(
    "form",
    [
        "{" + STORE + "}",
        "urn:uuid:" + STORE,
        STORE[:-1],
        STORE + "0",
        STORE.replace("-", "_"),
        STORE.replace("0", "\uff10"),
        STORE.replace("-", "--"),
        STORE + "\x00",
        "-".join(STORE),
    ],
)
def test_other_forms_are_no_uuid(form: str) -> None:
    with pytest.raises(RecordError, match="store_id is not a UUID"):
        parse_uuid(form)


def test_a_reason_names_the_field_and_shows_only_the_beginning() -> None:
    with pytest.raises(RecordError) as refusal:
        parse_uuid("x" * 100_000, "report_id")
    assert str(refusal.value) == f"report_id is not a UUID: '{'x' * 60}'"


BAD_POLLS: list[Any] = [
    [],
    [5],
    [5, 1, 1],
    [5, 2],
    [5, -1],
    [5, "1"],
    [5, None],
    ["5", 1],
    [5.0, 1],
    [5.5, 1],
    [1e300, 1],
    [True, 1],
    [None, 1],
    [-1, 1],
    [LATEST, 1],
    [2**63, 1],
    [2**64 - 1, 1],
    [10**30, 1],
    None,
    5,
    "5,1",
    {"5": 1},
    nested(300),
    nested(900),
]


@pytest.mark.parametrize("bad", BAD_POLLS, ids=lambda bad: repr(bad)[:20])
def test_a_bad_poll_does_not_refuse_its_neighbours(bad: Any) -> None:
    value = wire({"store_id": STORE, "polls": [[5, 1], bad, [6, 0]]})
    batch, refused = decode_poll_batch(value)
    assert batch == PollBatch(STORE, [(5, True), (6, False)])
    assert len(refused) == 1
    assert refused[0].startswith("poll 1: ")
    assert len(refused[0]) < 150


def test_a_record_of_bad_polls_only_gives_every_reason() -> None:
    batch, refused = decode_poll_batch(wire({"store_id": STORE, "polls": [[5, 9], [-1, 0]]}))
    assert batch.polls == []
    assert refused == [
        "poll 0: not [microseconds, 0 or 1]: [5,9]",
        "poll 1: a time outside 1970 to 2100: -1 µs",
    ]


GOOD_POLLS = st.tuples(instants, st.sampled_from([0, 1])).map(list)


@given(
    st.lists(
        st.tuples(st.just(True), GOOD_POLLS)
        | st.tuples(st.just(False), st.sampled_from(BAD_POLLS)),
        min_size=1,
        max_size=20,
    )
)
def test_every_poll_is_either_accepted_or_refused(items: list[tuple[bool, Any]]) -> None:
    value = wire({"store_id": STORE, "polls": [item for _, item in items]})
    batch, refused = decode_poll_batch(value)
    assert batch.polls == [(item[0], bool(item[1])) for good, item in items if good]
    assert len(refused) == sum(not good for good, _ in items)


def outcome_of(value: bytes) -> Any:
    try:
        return decode_packed_polls(value)
    except RecordError as error:
        return str(error)


@given(
    uuids,
    st.lists(st.tuples(instants, st.booleans()), min_size=1, max_size=6),
    st.lists(
        st.tuples(
            st.integers(0, 400),
            st.integers(0, 3),
            st.sampled_from([b"", *(bytes([c]) for c in b'[],019-. {}"e'), b"],[", b"99999999999"]),
        ),
        max_size=3,
    ),
)
def test_the_fast_way_to_read_a_batch_gives_the_result_of_the_general_way(
    store: str, polls: list[tuple[int, bool]], edits: list[tuple[int, int, bytes]]
) -> None:
    value = encode_poll_batch(store, polls)
    assert poll_records._plain_batch(value) is not None
    for position, deleted, inserted in edits:
        start = position % (len(value) + 1)
        value = value[:start] + inserted + value[start + deleted :]
    outcome = outcome_of(value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(poll_records, "_plain_batch", lambda _: None)
        assert outcome == outcome_of(value)


odd_values: st.SearchStrategy[Any] = st.sampled_from(
    [None, 2, -1, "1", [], LATEST, LATEST - 1, 2**63]
)
poll_texts = st.sampled_from(["active", " Inactive ", "up", None, 1])
times = st.sampled_from(["2024-03-10T12:00:00Z", "2024-03-10 12:00:00.5 UTC", "yesterday", None, 5])
poll_contents = st.fixed_dictionaries(
    {},
    optional={
        "store_id": uuids | st.sampled_from(["x", None, 5]),
        "status": poll_texts,
        "timestamp_utc": times,
    },
) | st.fixed_dictionaries(
    {
        "store_id": uuids | st.just("x"),
        "polls": st.lists(
            st.tuples(instants | odd_values, st.sampled_from([0, 1]) | odd_values)
            | st.lists(odd_values, max_size=3),
            max_size=3,
        )
        | odd_values,
    },
    optional={"status": poll_texts},
)


@given(poll_contents)
def test_polls_that_are_parsed_by_hand_are_those_of_the_published_models(content: Any) -> None:
    try:
        batch, rejected = decode_poll_batch(wire(content))
    except RecordError:
        batch, rejected = None, ["all of it"]
    try:
        if "polls" in content:
            model: Any = validate(PollBatchRecord, json.loads(wire(content)))
            expected = model["polls"]
        else:
            model = validate(PollRecord, content)
            expected = [(model["timestamp_utc"], model["status"])]
    except RecordError:
        assert rejected
    else:
        assert not rejected
        assert batch == PollBatch(model["store_id"], [(t, bool(active)) for t, active in expected])


STRAY: st.SearchStrategy[object] = st.none() | st.booleans() | st.integers() | st.text(max_size=5)


@given(
    st.fixed_dictionaries(
        {
            "store_id": st.sampled_from([STORE, STORE.upper(), f" {STORE} "]) | STRAY,
            "status": st.sampled_from(["active", " INACTIVE"]) | STRAY,
            "timestamp_utc": st.sampled_from(
                ["2024-03-10T12:00:00Z", "2024-02-30T12:00:00Z", "2024-03-10 12:00:00.5 UTC"]
            )
            | STRAY,
        }
    )
)
def test_an_item_with_all_fields_is_parsed_as_its_model_says(content: dict[str, object]) -> None:
    def by_hand() -> object:
        store_id, (instant, active) = parse_poll_item(content, 7)
        return store_id, instant, active

    def by_model() -> object:
        item = validate(PollItem, content)
        instant = item.get("timestamp_utc")
        return item["store_id"], 7 if instant is None else instant, item["status"]

    def outcome(parse: Callable[[], object]) -> object:
        try:
            return parse()
        except RecordError as error:
            return str(error)

    assert outcome(by_hand) == outcome(by_model)
