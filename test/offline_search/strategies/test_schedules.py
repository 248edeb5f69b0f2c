# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from offline_search.strategies.schedules import annealed, moved_multiplier


@pytest.mark.parametrize(
    ("multiplier", "over", "later"),
    [(0.5, 0.5, 0.55), (0.5, 7.0, 0.6), (0.5, -0.5, 0.45), (0.01, -1.0, 0.0), (9.99, 1.0, 10.0)],
)
def test_a_multiplier_follows_the_excess_within_its_bounds(
    multiplier: float, over: float, later: float
) -> None:
    assert moved_multiplier(multiplier, 0.1, over) == pytest.approx(later)


@pytest.mark.parametrize(
    ("spent", "temperature"), [(0.0, 5.0), (0.2, 5.0), (0.6, 0.5**0.5), (1.0, 0.1), (1.1, 0.1)]
)
def test_a_temperature_falls_geometrically_behind_the_warm_up(
    spent: float, temperature: float
) -> None:
    assert annealed((5.0, 0.1), 0.2, spent) == pytest.approx(temperature)
