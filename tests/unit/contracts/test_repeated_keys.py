"""An object with a repeated key is refused, as only one of the two values could count."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_app.contracts.json_text import (
    RepeatedKeyError,
    item_or_error,
    items_or_errors,
    parse_json,
)
from stream_app.contracts.polls import decode_poll_batch
from stream_app.contracts.report_requests import report_id_of
from stream_app.errors import RecordError
from tests.unit.contracts.test_unknown_fields import KINDS, RECORDS, decoded_text
from tests.unit.contracts.wire import REPORT, STORE

if TYPE_CHECKING:
    from collections.abc import Callable

SPACES = st.sampled_from(["", "", " ", "\n\t", "\r\n"])
TEXTS = st.text(st.sampled_from('a:"\\ {}[],'), max_size=4).map(json.dumps)
KEYS = st.sampled_from(['"a"', '"b"', '"\\u0061"', '"\\""', '""', '":"', '"\\\\"'])


@st.composite
def joined(draw: Callable[..., Any], parts: Any, brackets: str) -> str:
    between = [draw(SPACES) for _ in range(4)]
    inner = f"{between[0]},{between[1]}".join(draw(st.lists(parts, max_size=3)))
    return f"{brackets[0]}{between[2]}{inner}{between[3]}{brackets[1]}"


def members(values: Any) -> Any:
    colons = st.tuples(SPACES, SPACES).map(":".join)
    return joined(st.tuples(KEYS, colons, values).map("".join), "{}")


JSON_TEXTS = st.recursive(
    TEXTS | st.sampled_from(["null", "-1.5e3", "12"]),
    lambda inner: joined(inner, "[]") | members(inner),
    max_leaves=8,
)


def has_repeated_key(text: str) -> bool:
    """Look for a repeated key with Python's own reader of JSON, which shows each pair."""
    repeated = []

    def pairs(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) < len(members):
            repeated.append(members)
        return dict(members)

    json.loads(text, object_pairs_hook=pairs)
    return bool(repeated)


@given(JSON_TEXTS)
def test_a_repeated_key_is_refused_at_any_depth(text: str) -> None:
    if has_repeated_key(text):
        with pytest.raises(RepeatedKeyError, match="stands twice in one object"):
            parse_json(text.encode())
        assert isinstance(item_or_error(text.encode(), orjson.loads(text)), RepeatedKeyError)
    else:
        assert parse_json(text.encode()) == json.loads(text)


@given(st.lists(st.tuples(SPACES, members(JSON_TEXTS), SPACES).map("".join), max_size=4))
def test_only_the_items_with_a_repeated_key_are_refused(texts: list[str]) -> None:
    array = f"[{','.join(texts)}]".encode()
    items = items_or_errors(array, orjson.loads(array))
    assert len(items) == len(texts)
    for text, item in zip(texts, items, strict=True):
        if has_repeated_key(text):
            assert isinstance(item, RepeatedKeyError)
            assert item.original == text.strip().encode()
        else:
            assert item == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":1}',
        '{"a":1,"a" :1}',
        '{"a":1,\n"a"\n:\n2}',
        '{"a":1,"\\u0061":2}',
        '{"a":{"b":1,"b":2}}',
        '[[{"a":1}],[{"a":1,"a":2}]]',
        '[1,{"a":1,"a":2}]',
        # a quote and a colon within a text hide no key
        '{"a":"\\":","a":2}',
        '{"a":' * 500 + '{"b":1,"b":2}' + "}" * 500,
        "\ufeff" + '{"a":1,"a":2}',
    ],
)
def test_no_layout_hides_a_repeated_key(text: str) -> None:
    with pytest.raises(RepeatedKeyError) as refused:
        parse_json(text.encode())
    assert "\n" not in str(refused.value)


def test_a_long_key_is_shown_in_part() -> None:
    key = '"' + "\\n" * 1000 + '"'
    with pytest.raises(RepeatedKeyError) as refused:
        parse_json(f"{{{key}:1,{key}:1}}".encode())
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind in KINDS for name in RECORDS[kind]]
)
def test_no_record_of_a_client_may_have_a_repeated_key(kind: str, name: str) -> None:
    text = json.dumps(RECORDS[kind])
    pair = f"{json.dumps(name)}: {json.dumps(RECORDS[kind][name])}"
    decoded_text(kind, text.encode())
    with pytest.raises(RecordError, match=f"the key '{name}' stands twice in one object"):
        decoded_text(kind, f"{text[:-1]}, {pair}}}".encode())


def test_a_batch_in_the_form_of_producers_is_no_exception() -> None:
    value = f'{{"store_id":"{STORE}","polls":[[5,1]],"polls":[[6,1]]}}'.encode()
    with pytest.raises(RecordError, match="the key 'polls' stands twice"):
        decode_poll_batch(value)


def test_a_request_with_a_repeated_key_still_names_the_report_to_fail() -> None:
    value = f'{{"report_id":"{REPORT}","store_id":"{STORE}","store_id":"{STORE}"}}'.encode()
    assert report_id_of(value) == REPORT
