# SPDX-License-Identifier: Apache-2.0
"""Section on whether published scores and covariances are true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import chi2

from fpg_pose_ros.geometry import Array
from offline_search.metrics.recall import ADD_THRESHOLD
from offline_search.metrics.trust import Trust, summarise
from offline_search.report.judgement import Judged
from offline_search.report.page import Chart, Charts, Section
from offline_search.report.svg import Axis, Series, line_chart

_TEXT = (
    "A score claims to be the probability that the pose is right (ADD below "
    f"{ADD_THRESHOLD:g} of the diameter); a covariance claims to be that of the errors of right "
    "poses. Both are held against the truth. Neighbouring frames make the same errors, so one run "
    "strays further from the ideal than as many separate pictures would."
)


def honesty(frames: Sequence[Judged], dof: int) -> Section:
    """Reliability of the scores and coverage of the covariances.

    Args:
        frames: of the run; those that count and have a pose are looked at.
        dof: degrees of freedom of a pose, see `metrics.trust.degrees_of_freedom`.
    """
    posed = [frame for frame in frames if frame.counts and frame.pose is not None]
    if not posed:
        return Section("trust", "Scores and covariances", "No pose was found.")
    scores = np.array([frame.pose.score for frame in posed if frame.pose is not None])
    right = np.array([frame.right for frame in posed])
    squares = np.array([frame.nees for frame in posed])
    figures = summarise(scores, right, squares, dof)
    charts = [_reliability(figures)]
    if figures.right:
        charts.append(_coverage(np.sort(squares[right]), figures))
    return Section("trust", "Scores and covariances", _TEXT, [Charts(charts)])


def _reliability(figures: Trust) -> Chart:
    scores = [score for score, _, _ in figures.reliability]
    shares = [share for _, share, _ in figures.reliability]
    low = np.floor(10 * min(*scores, *shares, 0.9)) / 10
    drawing = line_chart(
        [
            Series("ideal", [low, 1.0], [low, 1.0], 3, "faint"),
            Series("measured", scores, shares, 0),
            Series("measured", scores, shares, 0, "dots"),
        ],
        x=Axis("score", low, 1.0),
        y=Axis("share that is right", low, 1.02),
        description="share of right poses over the score",
    )
    return Chart(
        "Reliability of the score",
        drawing,
        f"{figures.poses} poses in {len(figures.reliability)} parts of equal count. Mean score "
        f"{figures.score_mean:.3f}, right {figures.right / figures.poses:.3f}, expected "
        f"calibration error {figures.score_error:.3f}.",
        [("measured", 0), ("ideal", 3)],
    )


def _coverage(squares: Array, figures: Trust) -> Chart:
    claimed = np.linspace(0.0, 1.0, 101)
    held = np.searchsorted(squares, chi2.ppf(claimed, figures.nees_dof)) / len(squares)
    drawing = line_chart(
        [
            Series("ideal", [0.0, 1.0], [0.0, 1.0], 3, "faint"),
            Series("measured", claimed, held, 0),
        ],
        x=Axis("probability of the region", 0.0, 1.0),
        y=Axis("share of right poses inside", 0.0, 1.02),
        description="share of right poses within the regions that their covariances claim",
    )
    return Chart(
        "Coverage of the covariance",
        drawing,
        f"{figures.right} right poses; NEES {figures.nees:.2f} for {figures.nees_dof} degrees of "
        f"freedom (95 % of means of separate frames lie in {figures.nees_low:.2f} to "
        f"{figures.nees_high:.2f}); {100 * figures.coverage:.1f} % of them lie in their 95 % "
        "region.",
        [("measured", 0), ("ideal", 3)],
    )
