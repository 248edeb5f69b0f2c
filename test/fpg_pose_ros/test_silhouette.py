# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from fpg_pose_ros.geometry import Camera, CropBox, exp_so3, make_transform
from fpg_pose_ros.objects import Mesh
from fpg_pose_ros.silhouette import (
    Silhouette,
    log_distance_ratio,
    refine_distance,
    seen_area,
)
from fpg_pose_ros.solve import PnPSolution

CAMERA = Camera(640, 480, np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]]))
CROP = CropBox(319.5, 239.5, 256.0).affine(128)
EXTRA = {"silhouette_bias": 0.0, "silhouette_sigma": 0.01, "pose_covariance_scale": 2.0}


@pytest.fixture(scope="module")
def square() -> Silhouette:
    corners = np.array([[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]) * 0.05
    faces = np.array([[0, 1, 2], [0, 2, 3]], dtype=np.int32)
    return Silhouette(Mesh(corners, faces, np.zeros((4, 3), np.uint8)))


def at(distance: float, x: float = 0.0) -> np.ndarray:
    # turned, so that no edge runs along the grid's lines
    return make_transform(exp_so3(np.array([0.0, 0.0, 0.4])), np.array([x, 0.0, distance]))


def solution(T: np.ndarray, depth_sigma: float) -> PnPSolution:
    sigmas = np.array([1e-3, 1e-3, depth_sigma, 0.01, 0.01, 0.01])
    return PnPSolution(T, np.diag(sigmas**2), np.ones(16, bool), 1.0)


@pytest.mark.parametrize("distance", [0.4, 0.55, 0.8])
def test_the_cover_of_a_square_is_its_projected_area(square, distance):
    side = 0.1 * 600 / distance / 2  # crop px
    assert square.area(at(distance), CAMERA, CROP, (128, 128)) == pytest.approx(side**2, rel=0.12)


def test_what_lies_outside_the_crop_does_not_count(square):
    whole = square.area(at(0.5), CAMERA, CROP, (128, 128))
    # half of it is beyond the crop's edge, 128 image px from the centre
    half = square.area(at(0.5, x=128 / 600 * 0.5), CAMERA, CROP, (128, 128))
    assert half == pytest.approx(whole / 2, rel=0.1)
    assert square.area(at(0.5, x=0.4), CAMERA, CROP, (128, 128)) == 0.0


def test_what_lies_behind_the_camera_does_not_count(square):
    upright = exp_so3(np.array([0.0, np.pi / 2, 0.0]))
    through = make_transform(upright, np.array([0.0, 0.0, 0.01]))
    assert square.area(through, CAMERA, CROP, (128, 128)) < square.area(
        at(0.3), CAMERA, CROP, (128, 128)
    )
    assert square.area(at(-0.5), CAMERA, CROP, (128, 128)) == 0.0


def test_a_lens_that_bends_nothing_gives_the_same_cover_and_a_barrel_a_smaller_one(square):
    def through(k1: float) -> float:
        lens = Camera(640, 480, CAMERA.K, np.array([k1, 0.0, 0.0, 0.0]), "plumb_bob")
        return square.area(at(0.3), lens, CROP, (128, 128))

    assert through(1e-12) == pytest.approx(square.area(at(0.3), CAMERA, CROP, (128, 128)), rel=2e-3)
    assert through(-0.3) < 0.99 * through(1e-12)


def test_a_predicted_cover_is_the_sum_of_its_cells():
    logits = np.full((32, 32), -30.0, np.float32)
    logits[4:10, 4:14] = 30.0
    logits[20, 20] = 0.0
    assert seen_area(logits, 4.0) == pytest.approx((60 + 0.5) * 16)
    logits[0] = -1e4
    assert seen_area(logits, 4.0) == pytest.approx((60 + 0.5) * 16)


def test_half_the_cover_is_root_two_of_the_distance_and_specks_say_nothing():
    assert log_distance_ratio(2000.0, 1000.0) == pytest.approx(0.5 * np.log(2))
    assert log_distance_ratio(2000.0, 3.0) is None
    assert log_distance_ratio(3.0, 2000.0) is None


def test_an_uncertain_distance_becomes_that_of_the_cover(square):
    true, assumed = at(0.5), solution(at(0.53), depth_sigma=0.03)
    ratio = log_distance_ratio(
        square.area(assumed.T_camera_object, CAMERA, CROP, (128, 128)),
        square.area(true, CAMERA, CROP, (128, 128)),
    )
    assert ratio is not None
    refined = refine_distance(assumed, ratio, EXTRA)
    assert abs(refined.T_camera_object[2, 3] - 0.5) < 0.008
    assert refined.covariance[2, 2] < 0.1 * assumed.covariance[2, 2]
    np.testing.assert_allclose(refined.covariance[:2, :2], assumed.covariance[:2, :2])
    np.linalg.cholesky(refined.covariance)


def test_a_certain_distance_hardly_moves(square):
    assumed = solution(at(0.5), depth_sigma=1e-4)
    refined = refine_distance(assumed, 0.03, EXTRA)
    assert abs(refined.T_camera_object[2, 3] - 0.5) < 1e-4


def test_the_known_bias_is_taken_off():
    assumed = solution(at(0.5), depth_sigma=0.03)
    biased = refine_distance(assumed, 0.02, {**EXTRA, "silhouette_bias": 0.02})
    np.testing.assert_allclose(biased.T_camera_object, assumed.T_camera_object, atol=1e-12)


def test_contradicting_evidence_is_ignored():
    assumed = solution(at(0.5), depth_sigma=0.002)
    assert refine_distance(assumed, 0.5, EXTRA) is assumed


def test_rotation_follows_where_it_is_tied_to_the_distance():
    T = make_transform(exp_so3(np.array([0.2, 0.1, 0.0])), np.array([0.0, 0.0, 0.5]))
    tied = solution(T, depth_sigma=0.03)
    tied.covariance[2, 3] = tied.covariance[3, 2] = 0.9 * 0.03 * 0.01
    refined = refine_distance(tied, 0.03, EXTRA)
    assert not np.allclose(refined.T_camera_object[:3, :3], T[:3, :3], atol=1e-4)
    np.testing.assert_allclose(
        refined.T_camera_object[:3, :3] @ refined.T_camera_object[:3, :3].T, np.eye(3), atol=1e-9
    )
