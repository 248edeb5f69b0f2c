# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from drawn_world import COLORS, CORNERS, DrawnPoses, tetrahedron, tiny
from torch import Tensor, nn

from fpg_pose_ros.decode import DecodeParameters
from fpg_pose_ros.geometry import Array, Symmetries, exp_so3, make_transform
from fpg_pose_ros.objects import ObjectModel
from offline_search.space import Architecture
from offline_search.training.config import TrainConfig
from offline_search.training.crop_error import crop_error
from offline_search.training.pose_labels import in_crop
from offline_search.training.pose_task import PoseTask
from offline_search.training.pose_validation import Prediction
from offline_search.training.search_task import PoseSearchTask

SIDE = 128
WORLD = DrawnPoses(3, resolution=SIDE, side=200.0)
HALF_TURN = make_transform(exp_so3(np.array([0.0, 0.0, np.pi])), np.zeros(3))
SIGMA_PX = 3.0


def network(side: int, outputs: int) -> Architecture:
    return replace(tiny("simcc", outputs), input_size=(side, side))


def seen(index: int, pixels: Array) -> Prediction:
    """Of a network that is sure of these pixels (K, 2)."""
    sample = WORLD[index]
    bins = (np.arange(2 * SIDE) + 0.5) / 2 - 0.5
    logits = (-0.5 * ((bins - pixels.T[..., None]) / SIGMA_PX) ** 2).astype(np.float32)
    truth = (sample.T_camera_object, sample.K, sample.A)
    return Prediction((logits[0], logits[1]), sample.keypoints[None], *truth)


def errors(outputs: int, see: object = None, *, model: ObjectModel | None = None) -> list[float]:
    """Of twelve samples of a network that sees each keypoint where it is, or as `see` has it."""
    model = model or tetrahedron()
    found, parameters = model.first_keypoints(outputs), DecodeParameters(sigma_px=SIGMA_PX)
    collected = []
    for index in range(12):
        sample = WORLD[index]
        pixels = in_crop(found, sample.T_camera_object, sample.K, sample.A)
        if callable(see):
            pixels = see(sample, pixels)
        collected.append(
            crop_error(
                seen(index, pixels),
                network(SIDE, outputs),
                model,
                model.symmetries.transforms(),
                parameters,
            )
        )
    return collected


@pytest.mark.parametrize("outputs", [4, 5])
def test_keypoints_that_are_seen_where_they_are_leave_no_error(outputs: int) -> None:
    assert max(errors(outputs)) < 0.004


def test_keypoints_taken_for_one_another_are_an_error_and_no_pose_is_the_worst() -> None:
    assert np.mean(errors(5, lambda sample, pixels: pixels[[1, 2, 3, 0, 4]])) > 0.1
    assert errors(5, lambda sample, pixels: np.full((5, 2), 64.0)) == [1.0] * 12


@pytest.mark.parametrize("reach", [1.0, 4.0])
def test_the_error_is_the_mean_of_all_keypoints_in_shares_of_the_crop(reach: float) -> None:
    # The last keypoint is none of those that are found, and may lie far from them.
    model = replace(tetrahedron(), keypoints=np.vstack([CORNERS[:4], reach * CORNERS[4:]]))
    turn = make_transform(exp_so3(np.array([0.15, 0.1, 0.0])), np.zeros(3))
    expected = []

    def turned(sample: object, pixels: Array) -> Array:
        T, K, A = sample.T_camera_object, sample.K, sample.A  # type: ignore[attr-defined]
        placed = in_crop(model, T @ turn, K, A)
        off = np.linalg.norm(placed - in_crop(model, T, K, A), axis=1)
        expected.append(off.mean() / SIDE)
        return placed[:4]

    assert errors(4, turned, model=model) == pytest.approx(expected, abs=0.01)
    assert np.mean(expected) > (0.05 if reach > 1 else 0.02)


def test_a_pose_that_looks_the_same_is_no_error() -> None:
    model = tetrahedron(Symmetries(discrete=(HALF_TURN,)))

    def turned(sample: object, pixels: Array) -> Array:
        T = sample.T_camera_object @ HALF_TURN  # type: ignore[attr-defined]
        return in_crop(model, T, sample.K, sample.A)  # type: ignore[attr-defined]

    assert max(errors(5, turned, model=model)) < 0.004
    assert np.mean(errors(5, turned)) > 0.05


class ByColour(nn.Module):
    """Finds the drawn corners by their colours, at any size, bins two to a pixel."""

    def __init__(self, order: list[int]) -> None:
        super().__init__()
        self.colours = nn.Parameter(torch.tensor(COLORS[order], dtype=torch.float32))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        far = (image[:, None] - self.colours[None, :, :, None, None]).square().sum(2)
        maps = -far / 2000.0
        axes = (maps.logsumexp(2), maps.logsumexp(3))
        across, down = (axis.repeat_interleave(2, -1) for axis in axes)
        return across, down


def search_task() -> PoseSearchTask:
    config = TrainConfig(images=8, sigma_px=1.0, validation=4)
    crops = DrawnPoses(5, resolution=SIDE)
    parts = [PoseTask(tetrahedron(), crops, crops, network(SIDE, 5), config, 1.28)] * 2

    def none(*_: object) -> PoseTask:
        raise AssertionError("nothing is trained here")

    return PoseSearchTask(tetrahedron(), parts[0], parts[1], SIDE, none)


def test_networks_of_any_input_size_and_number_of_keypoints_compare() -> None:
    task = search_task()
    found = {
        (side, outputs): task.pose_error(ByColour(list(range(outputs))), network(side, outputs), 24)
        for side in (SIDE, 64)
        for outputs in (4, 5)
    }
    assert max(found.values()) < 0.06
    assert found[64, 5] == pytest.approx(found[SIDE, 5], abs=0.015)
    assert task.pose_error(ByColour([1, 2, 3, 0, 4]), network(SIDE, 5), 24) > 0.2
    # Nothing of the task has changed by this.
    assert len(task.unseen.model.keypoints) == len(CORNERS)


@pytest.mark.parametrize("kind", ["heatmap", "simcc"])
def test_the_loss_of_a_smaller_network_is_that_of_its_own_training(kind: str) -> None:
    task = search_task()
    architecture = replace(tiny(kind, 4), input_size=(SIDE, SIDE))
    sample = task.held_out()[0]
    batch = {name: value[None] for name, value in sample.items()}
    shape = (1, 4, 2 * SIDE) if kind == "simcc" else (1, 4, *architecture.map_size)
    generator = torch.Generator().manual_seed(0)
    outputs = tuple(torch.randn(shape, generator=generator) for _ in range(2))
    given = outputs if kind == "simcc" else outputs[0]
    _, divergence = task.loss(architecture, given, batch)
    crops = DrawnPoses(5, resolution=SIDE)
    own = PoseTask(tetrahedron(), crops, crops, architecture, task.samples.config, 1.28)
    alone = own.dataset()[0]
    assert alone["keypoints"].shape == (1, 4, 2)
    loss, _ = own.loss(given, {name: value[None] for name, value in alone.items()})
    assert float(divergence) == float(loss)
