# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np

from fpg_pose_ros.geometry import CropBox, apply_affine, invert_affine


def test_the_crop_has_the_boxs_side_and_centre():
    A = CropBox(100.5, 60.0, 64.0).affine(128)
    np.testing.assert_allclose(apply_affine(A, [[100.5, 60.0]]), [[63.5, 63.5]])
    # Pixel borders lie half a pixel outside the first and last centre.
    np.testing.assert_allclose(
        apply_affine(A, [[100.5 - 32, 60 - 32], [100.5 + 32, 60 + 32]]), [[-0.5] * 2, [127.5] * 2]
    )


def test_an_affine_map_is_undone_by_its_inverse():
    A = np.array([[0.3, -0.2, 5.0], [0.1, 0.4, -7.0]])
    points = np.random.default_rng(0).normal(size=(20, 2)) * 100
    np.testing.assert_allclose(apply_affine(invert_affine(A), apply_affine(A, points)), points)
