# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest

from fpg_pose_ros.geometry import (
    Camera,
    exp_so3,
    log_so3,
    make_transform,
    rotation_angle,
    rotation_from_quaternion_wxyz,
    transform,
)
from fpg_pose_ros.solve import SolveError, solve_pnp

FOCAL = 600.0
ONE_PIXEL = np.eye(2) / FOCAL**2


def scene(rng: np.random.Generator, count: int = 16):
    """Points on a ball of 0.25 m, a pose 0.45 to 1.2 m away, exact observations."""
    points = rng.normal(size=(count, 3))
    points *= 0.125 / np.linalg.norm(points, axis=1)[:, None]
    R = exp_so3(rng.normal(size=3) * 2)
    T = make_transform(R, [*rng.uniform(-0.2, 0.2, 2), rng.uniform(0.45, 1.2)])
    return points, T, observe(points, T)


def observe(points: np.ndarray, T: np.ndarray) -> np.ndarray:
    camera = transform(T, points)
    return camera[:, :2] / camera[:, 2:]


def same(covariance: np.ndarray, count: int) -> np.ndarray:
    return np.tile(covariance, (count, 1, 1))


def errors(found: np.ndarray, true: np.ndarray) -> tuple[float, float]:
    return (
        float(np.linalg.norm(found[:3, 3] - true[:3, 3])),
        rotation_angle(found[:3, :3], true[:3, :3]),
    )


def test_a_square_seen_head_on_is_where_similar_triangles_put_it():
    square = np.array([[-0.1, -0.1, 0], [0.1, -0.1, 0], [0.1, 0.1, 0], [-0.1, 0.1, 0]])
    found = solve_pnp(square, square[:, :2] / 2.0, same(ONE_PIXEL, 4))
    np.testing.assert_allclose(
        found.T_camera_object, make_transform(np.eye(3), [0, 0, 2]), atol=1e-9
    )


@pytest.mark.parametrize("count", [4, 5, 6, 16, 40])
def test_without_noise_the_pose_is_exact(count):
    rng = np.random.default_rng(count)
    for _ in range(60):
        points, T, seen = scene(rng, count)
        found = solve_pnp(points, seen, same(ONE_PIXEL, count))
        offset, angle = errors(found.T_camera_object, T)
        assert offset < 1e-9
        assert angle < 1e-9
        assert found.inliers.all()
        assert found.chi2 < 1e-12


def test_a_start_near_the_pose_leads_to_the_same_pose():
    points, T, seen = scene(np.random.default_rng(1))
    start = T @ make_transform(exp_so3([0.05, -0.08, 0.02]), [0.01, 0.0, -0.03])
    found = solve_pnp(points, seen, same(ONE_PIXEL, 16), init=start)
    assert max(errors(found.T_camera_object, T)) < 1e-9


@pytest.mark.parametrize("outliers", [0.0, 0.3])
def test_the_covariance_is_that_of_the_errors(outliers):
    rng = np.random.default_rng(7)
    runs, nees, white = 250, [], []
    for _ in range(runs):
        points, T, seen = scene(rng)
        root = rng.normal(size=(16, 2, 2)) * 0.7 / FOCAL
        covariances = root @ root.transpose(0, 2, 1) + 0.25 * ONE_PIXEL
        noise = np.linalg.cholesky(covariances) @ rng.normal(size=(16, 2, 1))
        observed = seen + noise[:, :, 0]
        wrong = rng.permutation(16)[: round(outliers * 16)]
        observed[wrong] += rng.uniform(-80, 80, (len(wrong), 2)) / FOCAL
        found = solve_pnp(points, observed, covariances)
        R = found.T_camera_object[:3, :3]
        error = np.r_[T[:3, 3] - found.T_camera_object[:3, 3], log_so3(T[:3, :3] @ R.T)]
        nees.append(error @ np.linalg.solve(found.covariance, error))
        white.append(error / np.sqrt(np.diagonal(found.covariance)))
    # The mean of 250 chi-squares with six degrees of freedom is 6 +- 0.66 (three sigma); keypoints
    # that chance to lie near the truth by accident widen that a little when there are outliers.
    assert np.mean(nees) == pytest.approx(6.0, abs=0.7 if outliers == 0 else 1.0)
    # Each of the six, in the order x, y, z, then the rotation about the camera's axes.
    np.testing.assert_allclose(np.std(white, axis=0), 1.0, atol=0.18)


def test_a_third_of_gross_outliers_is_found_and_does_no_harm():
    rng = np.random.default_rng(5)
    for _ in range(60):
        points, T, seen = scene(rng)
        wrong = rng.permutation(16)[:5]
        observed = seen + rng.normal(size=seen.shape) * 0.3 / FOCAL
        observed[wrong] += rng.choice([-1, 1], (5, 2)) * rng.uniform(40, 150, (5, 2)) / FOCAL
        found = solve_pnp(points, observed, same(ONE_PIXEL, 16))
        offset, angle = errors(found.T_camera_object, T)
        assert not found.inliers[wrong].any()
        assert np.count_nonzero(found.inliers) == 11
        assert offset < 0.02
        assert angle < 0.05


def test_the_vaguer_a_keypoint_the_less_it_weighs():
    rng = np.random.default_rng(2)
    weighted, flat = [], []
    for _ in range(60):
        points, T, seen = scene(rng)
        sigma = np.where(np.arange(16) < 8, 0.3, 6.0) / FOCAL
        observed = seen + rng.normal(size=seen.shape) * sigma[:, None]
        covariances = np.eye(2) * sigma[:, None, None] ** 2
        weighted.append(errors(solve_pnp(points, observed, covariances).T_camera_object, T)[1])
        even = solve_pnp(points, observed, same(36 * ONE_PIXEL, 16))
        flat.append(errors(even.T_camera_object, T)[1])
    assert np.median(weighted) < 0.3 * np.median(flat)


def test_the_result_is_the_same_every_time():
    points, _, seen = scene(np.random.default_rng(3))
    seen[:5] += 0.1
    first, second = (solve_pnp(points, seen, same(ONE_PIXEL, 16)) for _ in range(2))
    np.testing.assert_array_equal(first.T_camera_object, second.T_camera_object)
    np.testing.assert_array_equal(first.covariance, second.covariance)


def test_unseen_keypoints_are_left_out():
    points, T, seen = scene(np.random.default_rng(4))
    covariances = same(ONE_PIXEL, 16)
    seen[3] = np.nan
    covariances[5] = np.nan
    found = solve_pnp(points, seen, covariances)
    assert max(errors(found.T_camera_object, T)) < 1e-9
    np.testing.assert_array_equal(np.flatnonzero(~found.inliers), [3, 5])


def collapsed(points, seen):
    return points, np.full_like(seen, 0.1)


def nearly_collapsed(points, seen):
    return points, 0.1 + np.random.default_rng(0).normal(size=seen.shape) * 0.3 / FOCAL


def on_a_line(points, seen):
    line = np.linspace(-0.1, 0.1, len(points))[:, None] * [1.0, 0.5, 0.2]
    return line, observe(line, make_transform(np.eye(3), [0, 0, 1]))


def three_only(points, seen):
    return points, np.where(np.arange(len(seen))[:, None] < 3, seen, np.nan)


def at_random(points, seen):
    return points[:4], np.random.default_rng(8).uniform(-0.4, 0.4, (4, 2))


@pytest.mark.parametrize("case", [collapsed, nearly_collapsed, on_a_line, three_only])
def test_keypoints_that_determine_no_pose_are_refused(case):
    points, _, seen = scene(np.random.default_rng(6))
    points, seen = case(points, seen)
    with pytest.raises(SolveError, match=r"keypoints"):
        solve_pnp(points, seen, same(ONE_PIXEL, len(points)))


def test_the_object_is_never_behind_the_camera():
    rng = np.random.default_rng(9)
    solved = 0
    for _ in range(60):
        points, _, _ = scene(rng, 8)
        seen = rng.uniform(-0.5, 0.5, (8, 2))
        try:
            found = solve_pnp(points, seen, same(400 * ONE_PIXEL, 8))
        except SolveError:
            continue
        solved += 1
        assert transform(found.T_camera_object, points)[:, 2].min() > 0
    assert solved > 10


def test_shapes_that_do_not_fit_are_a_programming_error():
    points, _, seen = scene(np.random.default_rng(0))
    with pytest.raises(ValueError, match="shapes"):
        solve_pnp(points[:5], seen, same(ONE_PIXEL, 16))


def speed(folder):
    """SPEED's camera, 11 keypoints and 12,000 poses, and a published detector's keypoints."""
    loadmat = pytest.importorskip("scipy.io").loadmat
    labels = folder / "speed" / "labels"
    entries = json.loads((labels / "camera_keypoints.json").read_text())
    camera = Camera(entries["Nu"], entries["Nv"], np.array(entries["K"]))
    poses = [
        make_transform(rotation_from_quaternion_wxyz(row[:4]), row[4:])
        for row in loadmat(str(labels / "pose_gt.mat"))["pose_gt"]
    ]
    predictions = loadmat(str(labels / "pred768all.mat"))["preds"].astype(np.float64)
    return camera, np.array(entries["keypoints_m"]), np.array(poses), predictions


def test_speeds_poses_come_back_from_their_own_projections(pose_data):
    camera, points, poses, _ = speed(pose_data)
    for T in poses[::40]:
        pixels = camera.project(transform(T, points))
        found = solve_pnp(points, camera.normalise(pixels), same(np.eye(2) / camera.fx**2, 11))
        offset, angle = errors(found.T_camera_object, T)
        assert offset < 1e-9 * T[2, 3]
        assert angle < 1e-9


def test_speeds_predicted_keypoints_give_a_better_score_than_a_plain_pipeline(pose_data):
    camera, points, poses, predictions = speed(pose_data)
    # Residuals of the detector grow about as the fourth power of its doubt: 2 px when sure.
    sigma = 2.0 / np.clip(predictions[:, :, 2], 0.05, 1.0) ** 4 / camera.fx
    scores = []
    for T, seen, s in zip(poses, predictions, sigma, strict=True):
        found = solve_pnp(points, camera.normalise(seen[:, :2]), np.eye(2) * s[:, None, None] ** 2)
        offset, angle = errors(found.T_camera_object, T)
        scores.append(offset / np.linalg.norm(T[:3, 3]) + angle)
    mean, median = np.mean(scores), np.median(scores)
    print(f"\nSPEED score over {len(scores)} images: mean {mean:.5f}, median {median:.5f}")
    assert len(scores) == 12_000
    # EPnP in RANSAC with Levenberg-Marquardt on the sure keypoints: 0.01091, median 0.00749.
    assert mean <= 0.0105
    assert median <= 0.0075
