from __future__ import annotations

import inspect
import re

import pytest

from stream_app import errors
from stream_app.errors import StoreUptimeError

ALL = {
    name: kind
    for name, kind in vars(errors).items()
    if inspect.isclass(kind) and issubclass(kind, StoreUptimeError)
}


@pytest.mark.parametrize(
    ("name", "exit_code"),
    [
        ("StoreUptimeError", 1),
        ("SettingsError", 2),
        ("PrerequisiteError", 3),
        ("BrokerUnavailableError", 4),
        ("WorkersBehindError", 1),
        ("OverloadedError", 1),
        ("TooManyStoresError", 1),
        ("RecordError", 1),
        ("ReportError", 1),
    ],
)
def test_each_error_has_its_exit_code(name: str, exit_code: int) -> None:
    assert ALL[name].exit_code == exit_code


def test_the_drawing_shows_the_hierarchy_as_it_is() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(
        r"^((?:│   )?)(?:[├└]── )?(\w+Error)\b.*?(?:\(exit (\d).*\))?$", errors.__doc__, re.M
    )
    assert {name for _, name, _ in drawn} == set(ALL)
    parent = "StoreUptimeError"
    for indentation, name, exit_code in drawn:
        assert ALL[name].exit_code == int(exit_code or 1)
        if not indentation:
            parent = name
        if name != "StoreUptimeError":
            assert ALL[name].__bases__ == (ALL[parent if indentation else "StoreUptimeError"],)


def test_an_error_is_its_message() -> None:
    assert str(StoreUptimeError("free port 8000")) == "free port 8000"
