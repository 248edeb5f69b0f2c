# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_world import DrawnPoses, tetrahedron, tiny
from torch import nn

from fpg_pose_ros.geometry import apply_affine, transform
from offline_search.report.examples import crop_camera, write_examples
from offline_search.space.network import build
from offline_search.training.config import TrainConfig
from offline_search.training.pose_task import PoseTask
from offline_search.training.pose_validation import Prediction

K = np.array([[310.0, 1.5, 160.0], [0.0, 300.0, 118.0], [0.0, 0.0, 1.0]])


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.5, -2.0])
def test_a_turned_crop_has_a_camera_of_its_own(turn: float) -> None:
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    A = np.column_stack([0.4 * rotation, [12.0, 40.0]])
    points = np.random.default_rng(1).uniform([-0.2, -0.2, 0.8], [0.2, 0.2, 1.2], (20, 3))
    camera, T_crop_camera = crop_camera(K, A, (96, 96))
    full = points @ K.T
    assert np.allclose(
        camera.project(transform(T_crop_camera, points)), apply_affine(A, full[:, :2] / full[:, 2:])
    )


class _Told(PoseTask):
    """A task whose networks find something else than their images show by themselves."""

    def predictions(self, network: nn.Module, indices: Sequence[int]) -> list[Prediction]:
        return super().predictions(build(tiny(), seed=0), indices)


def test_the_best_the_typical_and_the_worst_are_written(tmp_path: Path) -> None:
    network = tiny()
    config = TrainConfig(images=8, workers=0)
    task = PoseTask(tetrahedron(), DrawnPoses(0), DrawnPoses(1), network, config, 1.28)
    write_examples(build(network, seed=0), task, tmp_path)
    rows = json.loads((tmp_path / "examples.json").read_text())
    assert [row["heading"] for row in rows] == 3 * ["Best"] + 3 * ["Typical"] + 3 * ["Worst"]
    for row in rows:
        image = cv2.imread(str(tmp_path / row["file"]))
        assert image.shape == (384, 384, 3)
    other = _Told(tetrahedron(), DrawnPoses(0), DrawnPoses(1), network, config, 1.28)
    write_examples(build(network, seed=1), other, tmp_path / "other")
    assert json.loads((tmp_path / "other" / "examples.json").read_text()) == rows
    errors = [float(row["caption"].split()[1]) for row in rows if row["caption"].startswith("ADD")]
    assert len(errors) >= 6
    assert errors == sorted(errors)
