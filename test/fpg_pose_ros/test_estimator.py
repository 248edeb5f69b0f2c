# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.estimator import Estimator, Limits, pose_score
from fpg_pose_ros.geometry import Camera, exp_so3, log_so3, make_transform, rotation_angle
from fpg_pose_ros.localise import Detection
from fpg_pose_ros.steps import RejectedError

K = np.array([[600.0, 0.0, 322.3], [0.0, 604.0, 238.6], [0.0, 0.0, 1.0]])
CAMERAS = {
    "pinhole": Camera(640, 480, K),
    "plumb_bob": Camera(640, 480, K, np.array([-0.28, 0.09, 0.001, -0.0012, 0.0]), "plumb_bob"),
    "rational": Camera(
        640, 480, K, np.array([0.4, 0.1, 0.001, 0.0, 0.0, 0.7, 0.2, 0.0]), "rational_polynomial"
    ),
    "equidistant": Camera(640, 480, K, np.array([-0.02, 0.003, 0.0, 0.0]), "equidistant"),
}


@pytest.fixture(scope="module")
def estimator(cube_bundle: Bundle) -> Estimator:
    return Estimator(cube_bundle)


def poses(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(3)
    return [
        make_transform(
            exp_so3(rng.normal(size=3) * 1.2),
            [rng.uniform(-0.14, 0.14), rng.uniform(-0.08, 0.08), rng.uniform(0.72, 0.95)],
        )
        for _ in range(count)
    ]


@pytest.mark.parametrize("lens", CAMERAS)
def test_poses_are_found_through_any_lens(estimator, take_photograph, lens):
    camera = CAMERAS[lens]
    errors = []
    for T in poses(12):
        result = estimator.estimate(take_photograph(camera, T), camera, 17, "camera_frame")
        assert len(result.estimates) == 1, result.rejected
        found = result.estimates[0]
        assert (found.object_name, found.instance_id) == ("cube", 0)
        assert (found.stamp_ns, found.frame_id) == (17, "camera_frame")
        offset = np.linalg.norm(found.T_camera_object[:3, 3] - T[:3, 3])
        errors.append((offset, rotation_angle(found.T_camera_object[:3, :3], T[:3, :3])))
    offset, angle = np.array(errors).T
    assert np.median(offset) < 0.003
    assert np.median(np.degrees(angle)) < 0.7
    # Balls hide each other: an occasional keypoint is off, no pose may be.
    assert offset.max() < 0.02
    assert np.degrees(angle).max() < 4


def test_larger_images_give_the_same_pose(estimator, take_photograph):
    double = np.diag([2.0, 2.0, 1.0]) @ K
    camera = Camera(1280, 960, double)
    T = poses(1)[0]
    (found,) = estimator.estimate(take_photograph(camera, T), camera).estimates
    assert np.linalg.norm(found.T_camera_object[:3, 3] - T[:3, 3]) < 0.005
    assert found.reprojection_error < 4.0


def test_an_empty_scene_gives_no_pose_and_times_all_the_same(estimator):
    camera = CAMERAS["pinhole"]
    result = estimator.estimate(np.full((480, 640, 3), 96, np.uint8), camera)
    assert result.estimates == ()
    assert result.detections == ()
    assert result.times.total_ms >= result.times.preprocess_ms + result.times.locate_ms > 0


def test_several_instances_are_found_and_numbered_by_score(cube_bundle, take_photograph):
    camera = CAMERAS["pinhole"]
    left, right = (make_transform(np.eye(3), [x, 0.02, 0.9]) for x in (-0.19, 0.19))
    image = take_photograph(camera, left, right)
    several = Estimator(cube_bundle, limits=Limits(max_instances=4))
    found = several.estimate(image, camera).estimates
    assert [item.instance_id for item in found] == [0, 1]
    assert found[0].score >= found[1].score
    places = sorted(float(item.T_camera_object[0, 3]) for item in found)
    np.testing.assert_allclose(places, [-0.19, 0.19], atol=0.005)
    several.limits = Limits()
    assert len(several.estimate(image, camera).estimates) == 1


def test_a_pose_beyond_the_limits_is_rejected_with_a_reason(cube_bundle, take_photograph):
    camera, T = CAMERAS["pinhole"], poses(1)[0]
    image = take_photograph(camera, T)
    strict = Estimator(cube_bundle, limits=Limits(max_reprojection_error=1e-6))
    result = strict.estimate(image, camera)
    assert result.estimates == ()
    assert "keypoints" in result.rejected["cube"]
    proud = Estimator(cube_bundle, limits=Limits(min_score=1.0))
    assert "score" in proud.estimate(image, camera).rejected["cube"]


def test_a_known_box_takes_the_place_of_the_locator(estimator, take_photograph):
    camera, T = CAMERAS["pinhole"], poses(2)[1]
    u, v = camera.project(T[None, :3, 3])[0]
    box = Detection(0, 1.0, (u - 120, v - 120, u + 120, v + 120))
    found = estimator.follow_up(take_photograph(camera, T), camera, box)
    assert np.linalg.norm(found.T_camera_object[:3, 3] - T[:3, 3]) < 0.005
    with pytest.raises(RejectedError, match="box"):
        estimator.follow_up(take_photograph(camera, T), camera, Detection(0, 1.0, (5, 5, 5, 5)))


def test_the_covariance_tells_the_error(estimator, take_photograph):
    camera = CAMERAS["pinhole"]
    rng = np.random.default_rng(0)
    nees = []
    for T in poses(12):
        image = take_photograph(camera, T).astype(np.float64)
        noisy = np.clip(image + rng.normal(scale=8, size=image.shape), 0, 255).astype(np.uint8)
        (found,) = estimator.estimate(noisy, camera).estimates
        error = np.r_[
            T[:3, 3] - found.T_camera_object[:3, 3],
            log_so3(T[:3, :3] @ found.T_camera_object[:3, :3].T),
        ]
        assert np.all(np.linalg.eigvalsh(found.covariance) > 0)
        nees.append(error @ np.linalg.solve(found.covariance, error))
    # The keypoints here are surer than their spread, the size of the balls, says.
    assert np.median(nees) < 12


def test_an_image_of_another_size_than_its_camera_is_refused(estimator):
    with pytest.raises(CameraError, match=r"320 x 240.*640 x 480"):
        estimator.estimate(np.zeros((240, 320, 3), np.uint8), CAMERAS["pinhole"])
    with pytest.raises(ValueError, match="uint8"):
        estimator.estimate(np.zeros((480, 640, 3), np.float32), CAMERAS["pinhole"])


@pytest.mark.parametrize(
    "wrong", [{"min_score": 1.2}, {"max_reprojection_error": 0.0}, {"max_instances": 0}]
)
def test_limits_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"score|max_reprojection_error|max_instances"):
        Limits(**wrong)


def test_an_estimator_needs_a_thread(cube_bundle):
    with pytest.raises(ValueError, match="threads"):
        Estimator(cube_bundle, threads=0)


def test_the_score_falls_with_each_of_its_parts():
    best = pose_score(1.0, 1.0, 0.0)
    assert best == 1.0
    assert pose_score(0.5, 1.0, 0.0) < best
    assert pose_score(1.0, 0.5, 0.0) < best
    assert pose_score(1.0, 1.0, 0.06) == pytest.approx(0.5 ** (1 / 3))
