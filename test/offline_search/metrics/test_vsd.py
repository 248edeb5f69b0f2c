# SPDX-License-Identifier: Apache-2.0
"""Visible surface discrepancy of planes that can be reckoned by hand, and the BOP toolkit's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.geometry import Array, exp_so3
from offline_search.data.bop import BopDataset
from offline_search.data.depth import depth_of
from offline_search.data.renderer import EmbreeRenderer
from offline_search.metrics.vsd import VSD_TAUS, vsd

#: So long a lens that all lines of sight are parallel.
K = np.array([[1e6, 0, 9.5], [0, 1e6, 9.5], [0, 0, 1]])
DIAMETER = 0.1


def _plate(depth: float, columns: slice) -> Array:
    """A plate across the rows 5 to 15 of an image of 20 x 20."""
    image = np.zeros((20, 20))
    image[5:15, columns] = depth
    return image


def test_the_true_pose_has_no_error_and_another_place_all_of_it() -> None:
    here, there = _plate(1.0, slice(0, 8)), _plate(1.0, slice(12, 20))
    nothing = np.zeros((20, 20))
    np.testing.assert_array_equal(vsd(here, here, nothing, K, DIAMETER), np.zeros(10))
    np.testing.assert_array_equal(vsd(there, here, nothing, K, DIAMETER), np.ones(10))
    np.testing.assert_array_equal(vsd(nothing, nothing, nothing, K, DIAMETER), np.ones(10))


def test_a_shift_in_depth_is_wrong_up_to_the_tolerance_that_allows_it() -> None:
    truth, estimate = _plate(1.0, slice(0, 8)), _plate(1.022, slice(0, 8))
    errors = vsd(estimate, truth, np.zeros((20, 20)), K, DIAMETER)
    np.testing.assert_array_equal(errors, np.where(VSD_TAUS < 0.22, 1.0, 0.0))


def test_pixels_that_only_one_pose_covers_are_wrong() -> None:
    truth, estimate = _plate(1.0, slice(0, 8)), _plate(1.0, slice(2, 10))
    # Of ten columns two belong to the truth alone and two to the estimate alone.
    np.testing.assert_allclose(vsd(estimate, truth, np.zeros((20, 20)), K, DIAMETER), 0.4)


def test_what_is_measured_hides_what_lies_further_behind_it() -> None:
    truth, estimate = _plate(1.0, slice(0, 8)), _plate(1.0, slice(0, 4))
    wall = np.zeros((20, 20))
    wall[:, 4:] = 0.98  # hides the columns 4 to 7, by more than 15 mm
    np.testing.assert_array_equal(vsd(estimate, truth, wall, K, DIAMETER), np.zeros(10))
    wall[:, 4:] = 0.99  # less than 15 mm: still in sight
    np.testing.assert_allclose(vsd(estimate, truth, wall, K, DIAMETER), 0.5)


@pytest.mark.parametrize(
    ("obj_id", "turn", "toolkit"),
    [
        (10, (0, 0, np.radians(5)), (0.911731, 0.111048, 0.069761, 0.069761)),
        (10, (0, 0, np.pi), (0.068169, 0.049971, 0.04766, 0.04766)),
        (5, (0, 0, np.radians(5)), (0.530047, 0.188611, 0.109386, 0.080351)),
        (8, (0, 0, np.pi), (0.68105, 0.489714, 0.318615, 0.299716)),
    ],
)
def test_errors_equal_those_of_the_bop_toolkit(
    pose_data: Path, obj_id: int, turn: tuple[float, ...], toolkit: tuple[float, ...]
) -> None:
    """Image 3 of LM-O; bop_toolkit_lib.pose_error.vsd at cea62d6 was given these depth images.

    The scene's depth is rendered: all annotated objects before a wall, and some rows without a
    measurement.
    """
    dataset = BopDataset(pose_data / "lmo")
    image, renderer = dataset.scene(2).image(3), EmbreeRenderer()
    camera = image.camera
    scene = np.full((camera.height, camera.width), 1.4)
    for item in image.instances:
        depth = depth_of(renderer, dataset.model(item.obj_id).mesh, item.T_camera_object, camera)
        scene = np.where((depth > 0) & (depth < scene), depth, scene)
    scene[100:140] = 0
    truth = next(i.T_camera_object for i in image.instances if i.obj_id == obj_id)
    estimate = truth.copy()
    estimate[:3, :3] = truth[:3, :3] @ exp_so3(turn)
    estimate[:3, 3] += (0.003, -0.002, 0.01) if turn[2] < 1 else (0, 0, 0)
    model = dataset.model(obj_id)
    depths = [depth_of(renderer, model.mesh, T, camera) for T in (estimate, truth)]
    errors = vsd(*depths, scene, camera.K, model.diameter)
    np.testing.assert_allclose(errors[[0, 1, 4, 9]], toolkit, atol=2e-3)
