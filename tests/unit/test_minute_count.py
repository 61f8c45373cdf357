"""The comparison of many stores counts minutes as the walk over every minute does."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest

from tests.faults.ledger import Ledger
from tests.faults.stores import make_stores


@pytest.mark.parametrize("seed", range(3))
def test_the_expected_figures_of_many_stores_are_those_of_the_walk(seed: int) -> None:
    randomness = random.Random(seed)
    stores, ledger = make_stores(60, seed), Ledger()
    for store in stores:
        if store.hours is not None:
            ledger.hours[store.id] = store.hours
        if store.timezone is not None:
            ledger.timezones[store.id] = store.timezone
        for _ in range(randomness.randint(0, 40)):
            instant = store.some_instant(randomness)
            if randomness.random() < 0.5:
                # an instant on the grid belongs to the minute that it begins
                instant = store.reference - timedelta(minutes=randomness.randint(0, 10_200))
            status = randomness.choice(("active", "inactive"))
            ledger.acknowledged[store.id].add((instant, status))
    assert ledger.expected_figures_of_many(stores) == {
        store.id: ledger.expected_figures(store) for store in stores
    }
