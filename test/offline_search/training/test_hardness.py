# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drawn_world import DrawnPoses, DrawnSample, K, tetrahedron, tiny

from fpg_pose_ros.geometry import exp_so3, make_transform
from fpg_pose_ros.objects import ObjectModel
from offline_search.training.config import TrainConfig
from offline_search.training.hardness import easiest, hardness
from offline_search.training.pose_task import PoseTask

MODEL = tetrahedron()
SAMPLE = DrawnPoses(0)[0]
PLATE = ObjectModel(
    "plate",
    0.3,
    np.array([[-0.15, -0.05, 0], [0.15, -0.05, 0], [0.15, 0.05, 0], [-0.15, 0.05, 0]]),
    {},
    MODEL.symmetries,
    MODEL.mesh,
)


def at(distance: float, turn: tuple[float, float, float] = (0, 0, 0)) -> DrawnSample:
    T = make_transform(exp_so3(np.array(turn)), np.array([0, 0, distance]))
    return replace(SAMPLE, T_camera_object=T)


def test_what_is_hidden_is_what_is_not_visible() -> None:
    assert hardness(replace(SAMPLE, visible_fraction=0.6), MODEL)[0] == pytest.approx(0.4)


def test_small_is_one_half_where_the_image_has_the_crops_pixels() -> None:
    side = SAMPLE.image.shape[0]
    distance = K[0, 0] * MODEL.diameter / side
    assert hardness(at(distance), MODEL)[1] == pytest.approx(0.5)
    assert hardness(at(3 * distance), MODEL)[1] == pytest.approx(0.75)


def test_a_plate_seen_flat_is_not_foreshortened_and_seen_from_its_edge_wholly() -> None:
    for roll in (0.0, 0.7):
        assert hardness(at(1.0, (0, 0, roll)), PLATE)[2] == pytest.approx(0.0)
    for angle in (0.5, 1.2):
        found = hardness(at(1.0, (angle, 0, 0)), PLATE)[2]
        assert found == pytest.approx(1 - np.cos(angle))
    assert hardness(at(1.0, (0, np.pi / 2, 0)), PLATE)[2] == pytest.approx(1.0)


def test_the_easiest_of_some_is_drawn_and_of_one_the_sample_itself() -> None:
    samples = DrawnPoses(1, turn=1.5)
    sums = [hardness(samples[index], MODEL).sum() for index in range(12)]
    for place in range(4):
        sample, found = easiest(samples, MODEL, place, 3)
        first = place * 3 + int(np.argmin(sums[3 * place : 3 * place + 3]))
        assert np.array_equal(sample.image, samples[first].image)
        assert found.sum() == pytest.approx(sums[first])
    assert np.array_equal(easiest(samples, MODEL, 5, 1)[0].image, samples[5].image)


def test_a_task_shows_easy_samples_with_their_hardness_and_others_without() -> None:
    task = PoseTask(MODEL, DrawnPoses(0), DrawnPoses(1), tiny(), TrainConfig(), 1.0)
    assert "hardness" not in task.dataset()[0]
    easy = task.dataset(2)[3]
    sample, found = easiest(DrawnPoses(0), MODEL, 3, 2)
    assert easy["hardness"].tolist() == pytest.approx(found.tolist())
    assert np.array_equal(easy["image"].numpy(), sample.image)
