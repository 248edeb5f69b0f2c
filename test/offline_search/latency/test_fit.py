# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from offline_search.latency.fit import Fit, fit
from offline_search.latency.work import Work


def works(seed: int = 0) -> list[Work]:
    rng = np.random.default_rng(seed)
    return [
        Work(*rng.uniform((1e5, 1e4, 1e3, 1.0), (1e7, 1e6, 1e5, 9.0)).tolist()) for _ in range(12)
    ]


def test_rates_are_found_again() -> None:
    rates = (8e-6, 2e-5, 3e-5, 1e-3)
    times = [Fit(rates, 0.0, 0).ms(work) for work in works()]
    found, missed = fit(works(), times, times)
    assert found.rates == pytest.approx(rates, rel=1e-6)
    assert found.error < 1e-6
    assert missed < 1e-9
    assert found.graphs == 12


def test_what_seems_to_make_a_part_faster_counts_nothing() -> None:
    times = [8e-6 * work.macs - 5e-6 * work.words for work in works()]
    found, _ = fit(works(), times, times)
    assert min(found.rates) >= 0.0
    assert found.rates[2] == 0.0


def test_noise_shows_in_the_error() -> None:
    rng = np.random.default_rng(1)
    times = [8e-6 * work.macs for work in works()]
    noisy = [time * factor for time, factor in zip(times, rng.uniform(0.8, 1.2, 12), strict=True)]
    found, _ = fit(works(), noisy, noisy)
    assert 0.02 < found.error < 0.2
    assert found.ms(Work(macs=1e7)) == pytest.approx(80, rel=0.3)
