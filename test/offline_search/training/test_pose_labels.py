# SPDX-License-Identifier: Apache-2.0
"""Labels of symmetric objects: what looks the same is taught the same."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from fpg_pose_ros.geometry import (
    Array,
    Symmetries,
    apply_affine,
    exp_so3,
    make_transform,
    transform,
)
from fpg_pose_ros.objects import Mesh, ObjectModel
from offline_search.data.views import canonical_pose
from offline_search.training.loss import heatmap_loss
from offline_search.training.pose_labels import CONTINUOUS_STEPS, symmetric_labels

K = np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]])
A = np.array([[0.5, 0, -96.0], [0, 0.5, -56.0]])
TWOFOLD = Symmetries(discrete=(make_transform(exp_so3([0, 0, np.pi]), [0.002, 0, 0]),))
ROUND = Symmetries(continuous=((np.array([0, 0, 1.0]), np.array([0.002, 0, 0])),))
KEYPOINTS = np.random.default_rng(0).uniform(-0.05, 0.05, (8, 3))


@dataclass(frozen=True)
class Sample:
    """What labels are made of."""

    image: NDArray[np.uint8]
    keypoints: Array
    mask: NDArray[np.uint8]
    T_camera_object: Array
    K: Array
    A: Array


def _model(symmetries: Symmetries) -> ObjectModel:
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    mesh = Mesh(KEYPOINTS, faces, np.zeros((8, 3), np.uint8))
    return ObjectModel("thing", 0.15, KEYPOINTS, {"all": tuple(range(8))}, symmetries, mesh)


def _taught(pose: Array, symmetries: Symmetries) -> Sample:
    """A sample as training sees it: of the canonical one among the poses that look alike."""
    T = canonical_pose(pose, symmetries)
    pixels = transform(T, KEYPOINTS) @ K.T
    empty = np.zeros((128, 128), np.uint8)
    keypoints = apply_affine(A, pixels[:, :2] / pixels[:, 2:])
    return Sample(np.stack([empty] * 3, -1), keypoints, empty, T, K, A)


@pytest.mark.parametrize(
    ("symmetries", "turn", "slack"),
    [
        (TWOFOLD, TWOFOLD.discrete[0], 1e-9),
        # A continuous symmetry is canonical up to the steps in which it is searched, 1 degree.
        (ROUND, ROUND.transforms(steps=7)[3], 1.0),
    ],
    ids=["discrete", "continuous"],
)
def test_poses_that_look_alike_have_the_same_labels(
    symmetries: Symmetries, turn: Array, slack: float
) -> None:
    model, transforms = _model(symmetries), symmetries.transforms(CONTINUOUS_STEPS)
    rng = np.random.default_rng(1)
    for _ in range(10):
        pose = make_transform(exp_so3(rng.normal(size=3)), [0, 0, rng.uniform(0.6, 1.0)])
        one, other = (
            symmetric_labels(_taught(T, symmetries), model, transforms) for T in (pose, pose @ turn)
        )
        np.testing.assert_allclose(one, other, atol=slack)


def test_without_the_canonical_pose_the_loss_is_the_same_all_the_same() -> None:
    """The least over the symmetric labels does not ask which of the poses they were made from."""
    model, transforms = _model(TWOFOLD), TWOFOLD.transforms(CONTINUOUS_STEPS)
    pose = make_transform(exp_so3([0.3, -0.8, 0.4]), [0, 0, 0.8])
    logits = torch.randn(1, 8, 32, 32, generator=torch.Generator().manual_seed(0))
    losses = []
    for T in (pose, pose @ TWOFOLD.discrete[0]):
        plain = _taught(T, Symmetries())
        labels = symmetric_labels(replace(plain, T_camera_object=T), model, transforms)
        keypoints = torch.from_numpy(labels.astype(np.float32))[None]
        losses.append(float(heatmap_loss(logits, keypoints, stride=4.0, sigma=1.0)))
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
