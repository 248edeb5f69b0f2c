# SPDX-License-Identifier: Apache-2.0
"""Recalls of errors whose answer is plain."""

from __future__ import annotations

import math

import numpy as np
import pytest

from offline_search.metrics.recall import (
    MSPD_THRESHOLDS_PX,
    MSSD_THRESHOLDS,
    area_under_recall,
    recall,
)


def test_a_miss_counts_as_a_failure_and_an_error_at_the_threshold_too() -> None:
    assert recall([0.05, 0.0999, 0.1, math.inf], 0.1) == 0.5


def test_recall_of_nothing_is_not_a_number() -> None:
    assert math.isnan(recall([], 0.1))
    assert math.isnan(area_under_recall([], 0.1))


def test_thresholds_are_those_of_bop() -> None:
    np.testing.assert_allclose(
        MSSD_THRESHOLDS, [0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5]
    )
    np.testing.assert_allclose(MSPD_THRESHOLDS_PX, [5, 10, 15, 20, 25, 30, 35, 40, 45, 50])


def test_area_under_recall_equals_the_integral_of_the_curve() -> None:
    errors = np.array([0.0, 0.013, 0.06, 0.2, math.inf])
    thresholds = np.linspace(0, 0.1, 200_001)
    integral = np.mean([(errors[:, None] < thresholds).mean(axis=0)])
    assert area_under_recall(errors, 0.1) == pytest.approx(integral, abs=1e-5)
    assert area_under_recall([0.0, 0.0], 0.1) == 1.0
