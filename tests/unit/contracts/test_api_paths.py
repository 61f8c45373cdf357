from __future__ import annotations

import pytest

from stream_app.contracts.api_paths import STORE_HOURS, STORE_STATUS, store_in


@pytest.mark.parametrize(
    ("path", "store"),
    [
        ("/stores/7/status", "7"),
        ("/stores/a b/status", "a b"),
        ("/stores//status", None),
        ("/stores/status", None),
        ("/stores/7/8/status", None),
        ("/stores/7/business_hours", None),
        ("/status", None),
        ("", None),
    ],
)
def test_a_path_names_the_store_of_its_template(path: str, store: str | None) -> None:
    assert store_in(path, STORE_STATUS) == store


def test_each_template_matches_its_own_paths() -> None:
    assert store_in("/stores/7/business_hours", STORE_HOURS) == "7"
