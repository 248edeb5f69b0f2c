# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest
import torch
from drawn_world import tiny

from fpg_pose_ros.localise import locate
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.locator_task import LocatorTask, locator_targets
from offline_search.training.locator_validation import iou
from offline_search.training.loop import TrainResult, train

SIDE = 64
CONFIG = TrainConfig(
    images=2400, batch=16, lr=4e-3, workers=0, validation=48, validations=1, threads=1
)


@dataclass(frozen=True)
class DrawnFrame:
    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray


@dataclass(frozen=True)
class DrawnFrames:
    """A red or a green ellipse, both or none, on grey."""

    seed: int

    def __getitem__(self, index: int) -> DrawnFrame:
        rng = np.random.default_rng((self.seed, index))
        image = np.full((SIDE, SIDE, 3), rng.integers(60, 140), np.uint8)
        boxes, classes = [], []
        for index_of_class, color in enumerate(((230, 30, 30), (30, 230, 30))):
            if rng.random() < 0.3:
                continue
            centre, axes = rng.uniform(12, SIDE - 12, 2), rng.uniform(7, 15, 2)
            box = tuple(round(float(v) * 16) for v in (*centre, *axes))
            cv2.ellipse(image, box[:2], box[2:], 0, 0, 360, color, -1, cv2.LINE_AA, 4)
            boxes.append([*(centre - axes), *(centre + axes)])
            classes.append(index_of_class)
        return DrawnFrame(image, np.array(boxes).reshape(-1, 4), np.array(classes, np.int64))


@pytest.fixture(scope="module")
def learnt(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    architecture = tiny("locator", outputs=2)
    task = LocatorTask(DrawnFrames(1), DrawnFrames(2), architecture, CONFIG)
    return train(task, architecture, CONFIG, tmp_path_factory.mktemp("locator"))


def test_a_locator_learns_to_find_and_to_stay_silent(learnt: TrainResult) -> None:
    assert learnt.metrics["found"] > 0.65
    assert learnt.metrics["false"] < 0.35
    assert learnt.metrics["iou"] > 0.7
    assert learnt.metrics["centre"] < 0.1
    assert 0.1 <= learnt.extra["min_score"] <= 0.8


def test_the_robots_decoder_reads_the_trained_locator(learnt: TrainResult) -> None:
    hits = total = 0
    for index in range(500, 530):
        frame = DrawnFrames(2)[index]
        image = torch.from_numpy(frame.image).permute(2, 0, 1)[None].float()
        with torch.no_grad():
            heat, sides = learnt.network(image)
        found = locate(
            heat[0].numpy(),
            sides[0].numpy(),
            stride=8.0,
            A=np.eye(2, 3),
            min_score=learnt.extra["min_score"],
        )
        for box, label in zip(frame.boxes, frame.classes, strict=True):
            total += 1
            hits += any(d.class_index == label and iou(np.array(d.box), box) > 0.5 for d in found)
    assert hits > 0.6 * total


def test_targets_say_where_the_box_is() -> None:
    box = np.array([[9.0, 20.0, 40.0, 50.0]])
    targets = locator_targets(box, np.array([1]), 2, (8, 8), 8.0)
    assert targets.heat[0].max() == 0
    i, j = np.unravel_index(targets.heat[1].argmax(), (8, 8))
    assert (i, j) == (4, 3)  # the centre, (24.5, 35), is in the cell of pixels 24..31 x 32..39
    assert targets.heat[1, i, j] == 1.0
    x, y = (j + 0.5) * 8 - 0.5, (i + 0.5) * 8 - 0.5
    left, top, right, bottom = targets.sides[:, i, j] * 8
    assert np.allclose([x - left, y - top, x + right, y + bottom], box[0], atol=1e-4)


def test_sides_are_taught_inside_the_box_only_and_never_negative() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        low = rng.uniform(-30, 60, 2)
        box = np.array([[*low, *(low + rng.uniform(3, 40, 2))]])
        targets = locator_targets(box, np.array([0]), 1, (8, 8), 8.0)
        taught = targets.weight > 0
        assert (targets.sides[:, taught] > 0).all()
        assert targets.heat.max() == 1.0


def test_of_two_overlapping_boxes_each_keeps_its_own_centre() -> None:
    boxes = np.array([[0.0, 0.0, 63.0, 63.0], [30.0, 30.0, 50.0, 50.0]])
    targets = locator_targets(boxes, np.array([0, 1]), 2, (8, 8), 8.0)
    small = targets.sides[:, 5, 5] * 8
    assert small.sum() == pytest.approx(2 * 20, abs=1e-3)
    big = targets.sides[:, 3, 3] * 8
    assert big.sum() == pytest.approx(2 * 63, abs=1e-3)


def test_an_empty_frame_has_empty_targets() -> None:
    targets = locator_targets(np.zeros((0, 4)), np.zeros(0, np.int64), 2, (8, 8), 8.0)
    assert not targets.heat.any()
    assert not targets.weight.any()


def test_overlap_of_known_boxes() -> None:
    a = np.array([0.0, 0.0, 2.0, 2.0])
    assert iou(a, a) == 1.0
    assert iou(a, np.array([1.0, 0.0, 3.0, 2.0])) == pytest.approx(1 / 3)
    assert iou(a, np.array([5.0, 5.0, 6.0, 6.0])) == 0.0
    assert iou(a, np.array([2.0, 0.0, 3.0, 2.0])) == 0.0


def test_a_pose_network_is_refused_as_a_locator() -> None:
    with pytest.raises(TrainingError, match="locator head"):
        LocatorTask(DrawnFrames(1), DrawnFrames(2), tiny(), CONFIG)
