# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.localise import locate, overlap
from fpg_pose_ros.preprocess import letterbox_affine

A = letterbox_affine((480, 640), (168, 224))
SCALE = 640 / 224


def outputs(peaks, classes: int = 2):
    """Maps with peaks {(class, row, column): logit}; each box reaches 1, 2, 3, 4 strides out."""
    heat = np.full((classes, 21, 28), -8.0, np.float32)
    for place, logit in peaks.items():
        heat[place] = logit
    sides = np.tile(np.array([1, 2, 3, 4], np.float32)[:, None, None], (1, 21, 28))
    return heat, sides


def test_the_box_is_where_cell_and_sides_put_it_in_the_image():
    (found,) = locate(*outputs({(1, 5, 9): 2.0}), stride=8, A=A, min_score=0.3)
    assert found.class_index == 1
    assert found.score == pytest.approx(1 / (1 + np.exp(-2)))
    # The centre of cell (5, 9) lies at (9.5, 5.5) cells from the image's corner.
    x, y = 9.5 * 8 * SCALE - 0.5, 5.5 * 8 * SCALE - 0.5
    step = 8 * SCALE
    np.testing.assert_allclose(found.box, [x - step, y - 2 * step, x + 3 * step, y + 4 * step])


def test_each_class_gives_its_best_instance_the_best_first():
    peaks = {(0, 3, 3): 1.0, (0, 15, 20): 0.5, (1, 10, 10): 3.0}
    found = locate(*outputs(peaks), stride=8, A=A, min_score=0.1)
    assert [(d.class_index, round(d.score, 3)) for d in found] == [(1, 0.953), (0, 0.731)]


def test_below_the_threshold_nothing_is_found():
    assert locate(*outputs({(0, 3, 3): -1.0}), stride=8, A=A, min_score=0.3) == []
    assert locate(*outputs({}), stride=8, A=A, min_score=0.01) == []


def test_further_instances_are_peaks_and_not_the_slopes_of_one():
    heat, sides = outputs({(0, 4, 4): 3.0, (0, 4, 5): 2.9, (0, 3, 4): 2.8, (0, 12, 20): 1.0})
    found = locate(heat[:1], sides, stride=8, A=A, min_score=0.3, max_per_class=3)
    assert [round(d.score, 2) for d in found] == [0.95, 0.73]


def test_of_peaks_whose_boxes_are_of_one_thing_the_best_is_kept():
    heat, sides = outputs({(0, 4, 4): 3.0, (0, 4, 6): 2.0, (0, 12, 4): 1.0, (0, 12, 20): 0.5})
    found = locate(heat[:1], 3 * sides, stride=8, A=A, min_score=0.3, max_per_class=3)
    assert [round(d.score, 2) for d in found] == [0.95, 0.73, 0.62]


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1.0
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0.0


def test_extreme_logits_do_no_harm():
    heat, sides = outputs({(0, 0, 0): 1e30, (1, 20, 27): -1e30})
    (found,) = locate(heat, sides, stride=8, A=A, min_score=0.5)
    assert found.score == pytest.approx(1)
