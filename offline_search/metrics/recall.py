# SPDX-License-Identifier: Apache-2.0
"""From pose errors to the figures that papers print.

A missing estimate is an error of infinity: it counts as a failure everywhere. An estimate is right
when its error is strictly below the threshold, as in the BOP toolkit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fpg_pose_ros.geometry import Array

ADD_THRESHOLD = 0.1
"""ADD(-S) at 0.1 d: a pose is right when ADD(-S) is below this fraction of the diameter."""

MSSD_THRESHOLDS: Array = np.linspace(0.05, 0.5, 10, dtype=np.float64)
"""BOP's thresholds for MSSD, .05 to .5, as fractions of the object's diameter."""

MSPD_THRESHOLDS_PX: Array = np.linspace(5.0, 50.0, 10, dtype=np.float64)
"""BOP's thresholds for MSPD, 5 to 50 px, in an image 640 px wide."""


def recall(errors: ArrayLike, threshold: float) -> float:
    """Fraction of errors below the threshold; NaN where there are none to judge."""
    values = np.asarray(errors, dtype=np.float64)
    return float(np.mean(values < threshold)) if values.size else float("nan")


def area_under_recall(errors: ArrayLike, limit: float) -> float:
    """Area under the curve of recall against threshold from 0 to `limit`, divided by `limit`.

    Exact, not sampled: the curve of N errors is a staircase, and an error e adds
    max(0, limit - e) / N to the area below it. 1 is perfect. With ADD(-S) and a limit of 0.1
    diameter this is the "AUC of ADD(-S)" that this project prints; PoseCNN's AUC uses the same
    formula with a limit of 10 cm.
    """
    values = np.asarray(errors, dtype=np.float64)
    if not values.size:
        return float("nan")
    return float(np.mean(np.clip(1.0 - values / limit, 0.0, None)))
