# SPDX-License-Identifier: Apache-2.0
"""Calibration of scores and covariances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.bundle import read_bundle, write_bundle
from fpg_pose_ros.calibration import check_calibration
from fpg_pose_ros.geometry import Array, Symmetries, exp_so3, make_transform
from offline_search.calibrate import (
    CalibrationError,
    _with_settings,
    calibrate_bundle,
    calibrated,
    fit_covariance,
    fit_scores,
    uncalibrated,
)
from offline_search.metrics.trust import Claim, Judged, trust

SPOT = Path(__file__).parents[2] / "models" / "spot"
NONE = Symmetries()


def poses(count: int, seed: int) -> list[Judged]:
    """Poses whose errors are wider than claimed, by axis and by misfit; scores too sure."""
    rng = np.random.default_rng(seed)
    root = np.diag([0.002, 0.002, 0.01, 0.03, 0.03, 0.03])
    found = []
    for _ in range(count):
        centre = np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.5, 0.9)])
        T = make_transform(exp_so3(rng.normal(size=3)), centre)
        turn = np.eye(6)
        turn[:3, :3] = _to_ray(centre)
        misfit = float(np.exp(rng.normal(-4, 0.4)))
        width = np.repeat([0.7, 1.6, 0.8], [2, 1, 3]) * misfit / np.exp(-4)
        error = turn @ (width * (root @ rng.normal(size=6)))
        score = float(rng.uniform(0.3, 1.0))
        claim = Claim(T, turn @ root @ root @ turn.T, score, misfit)
        found.append(Judged(claim, error, bool(rng.uniform() < score**2)))
    return found


def _to_ray(centre: Array) -> Array:
    """Rotation whose third column is the ray to a point."""
    ray = centre / np.linalg.norm(centre)
    across = np.cross(ray, [0.0, 1.0, 0.0])
    across /= np.linalg.norm(across)
    return np.stack([across, np.cross(ray, across), ray], axis=1)


def test_a_calibration_holds_for_poses_it_was_not_fitted_to() -> None:
    fitted_to, others = poses(1500, 0), poses(1500, 1)
    settings = fit_covariance(fitted_to, NONE)
    assert settings["covariance_misfit_power"] == 2.0
    ratio = settings["covariance_depth"] / settings["covariance_across"]
    assert ratio == pytest.approx((1.6 / 0.7) ** 2, rel=0.15)
    before, after = trust(others), trust(calibrated(others, settings, NONE))
    assert not before.nees_low < before.nees < before.nees_high
    assert after.nees == pytest.approx(6.0, rel=0.04)
    assert after.coverage == pytest.approx(0.95, abs=0.02)


def test_scores_become_probabilities_and_keep_their_order() -> None:
    fitted_to, others = poses(1500, 0), poses(1500, 1)
    knots = fit_scores(fitted_to)
    assert knots == sorted(knots)
    assert (knots[0], knots[-1][0]) == ((0.0, 0.0), 1.0)
    settings = {f"score_raw_{i}": raw for i, (raw, _) in enumerate(knots)}
    settings |= {f"score_probability_{i}": p for i, (_, p) in enumerate(knots)}
    check_calibration(settings)
    before, after = trust(others), trust(calibrated(others, settings, NONE))
    assert before.score_error > 0.1
    assert after.score_error < 0.05


def test_few_poses_never_make_a_certainty() -> None:
    right = [Judged(one.claim, one.error, True) for one in poses(30, 2)]
    assert 0.9 < max(probability for _, probability in fit_scores(right)) < 1.0


def test_a_bundle_takes_a_calibration_and_gives_it_back(tmp_path: Path) -> None:
    plain = uncalibrated(read_bundle(SPOT))
    settings = {**fit_covariance(poses(100, 0), NONE)}
    held = _with_settings(plain, "spot", settings, {"data": "drawn"})
    written = write_bundle(tmp_path / "spot", held.manifest, held.files)
    extra = written.objects[0].network.extra
    assert settings.items() <= extra.items()
    assert uncalibrated(written).objects[0].network.extra == plain.objects[0].network.extra
    assert written.manifest["calibration"]["spot"] == {"data": "drawn"}


def test_the_shipped_bundle_says_how_true_it_is() -> None:
    measured = read_bundle(SPOT).manifest["calibration"]["spot"]
    before, after = measured["before"], measured["after"]
    assert after["nees_low"] < after["nees"] < after["nees_high"]
    assert after["score_error"] < before["score_error"]


def test_too_few_frames_are_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(CalibrationError, match=r"spot: 3 poses .* give more --images"):
        calibrate_bundle(SPOT, ["spot"], images=3, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_command_calibrates_on_renders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = uncalibrated(read_bundle(SPOT))
    held = _with_settings(plain, "spot", {}, {})
    write_bundle(tmp_path / "plain", held.manifest, held.files)
    done = calibrate_bundle(tmp_path / "plain", ["spot"], images=60, out=tmp_path / "out")
    assert "score_raw_1" in done.objects[0].network.extra
    assert "spot after: " in capsys.readouterr().out
