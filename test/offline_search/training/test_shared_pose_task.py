# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_world import CORNERS, DrawnPoses, DrawnSample, tetrahedron, tiny

from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform
from fpg_pose_ros.objects import ObjectModel
from offline_search.space.shared import SharedArchitecture, branch
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.feed import batches
from offline_search.training.journal import read_metrics
from offline_search.training.loop import CHECKPOINT_FILE, TrainResult, train
from offline_search.training.pose_task import PoseTask
from offline_search.training.shared_pose_task import SharedPoseTask, shared_configs

SHORT = TrainConfig(
    images=48, batch=7, sigma_px=2.0, workers=0, validation=4, validations=1, checkpoint_images=16
)
SHARED = SharedArchitecture.of(tiny(mask=True), (5, 4))
HALF_TURN = make_transform(exp_so3(np.array([0.0, 0.0, np.pi])), np.zeros(3))


class FourPoints(DrawnPoses):
    """Shows the same world, but is asked for four of its corners only."""

    def __getitem__(self, index: int) -> DrawnSample:
        sample = super().__getitem__(index)
        return replace(sample, keypoints=sample.keypoints[:4])


def models() -> tuple[ObjectModel, ObjectModel]:
    """With unlike numbers of keypoints, and of labels a sample."""
    first = tetrahedron()
    symmetric = Symmetries(discrete=(HALF_TURN,))
    return first, ObjectModel("four", 0.283, CORNERS[:4], {}, symmetric, first.mesh)


class Interrupted(Exception):
    """As a kill: nothing is saved on the way out."""


class Breaking(SharedPoseTask):
    """Ends without a word after so many steps."""

    steps = 9

    def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
        self.steps -= 1
        if self.steps < 0:
            raise Interrupted
        return super().loss(outputs, batch)


def task(config: TrainConfig, kind: type[SharedPoseTask] = SharedPoseTask) -> SharedPoseTask:
    own, _ = shared_configs(config, 2)
    worlds = ((DrawnPoses(1), DrawnPoses(2)), (FourPoints(3), FourPoints(4)))
    return kind(
        [
            PoseTask(model, *samples, member, own, 1.28)
            for model, samples, member in zip(models(), worlds, SHARED.members, strict=True)
        ]
    )


def learn(out: Path, config: TrainConfig = SHORT) -> TrainResult:
    return train(task(config), SHARED, shared_configs(config, 2)[1], out)


@pytest.mark.parametrize(
    ("batch", "shards", "count", "each"),
    [(16, 1, 8, 2), (16, 1, 3, 6), (16, 4, 3, 8), (2, 1, 8, 1)],
)
def test_every_object_is_equally_often_in_every_part_of_a_batch(
    batch: int, shards: int, count: int, each: int
) -> None:
    config = TrainConfig(images=50, batch=batch, shards=shards)
    own, whole = shared_configs(config, count)
    assert (own.images, own.batch) == (50, each)
    assert (whole.images, whole.batch) == (50 * count, each * count)
    assert whole.batch >= batch
    assert (whole.batch // shards) % count == 0
    assert whole.steps == own.steps


def test_the_loss_is_the_mean_of_the_objects_own_losses() -> None:
    together = task(SHORT)
    (batch,) = batches(together.dataset(), start=2, stop=3, batch=8, workers=0)
    outputs = (torch.randn(4, 6, 16, 16), torch.randn(4, 5, 16, 16))
    loss, figures = together.loss(outputs, batch)
    alone = []
    for own, logits in zip(together.tasks, outputs, strict=True):
        (part,) = batches(own.dataset(), start=2, stop=3, batch=4, workers=0)
        alone.append(own.loss(logits, part))
    torch.testing.assert_close(loss, (alone[0][0] + alone[1][0]) / 2)
    torch.testing.assert_close(figures["mask"], (alone[0][1]["mask"] + alone[1][1]["mask"]) / 2)


def test_all_objects_are_learnt_by_one_backbone(tmp_path: Path) -> None:
    config = replace(SHORT, images=320, batch=16, lr=4e-3, validation=8)
    result = learn(tmp_path, config)
    assert result.images == 640
    losses = [row["divergence"] for row in read_metrics(tmp_path, "train")]
    assert losses[-1] < 0.9 * losses[0]
    rows = read_metrics(tmp_path, "validation")
    assert len(rows) == 2
    for row in rows:
        each = [row["add01/tetra"], row["add01/four"]]
        assert row["add01"] == pytest.approx(sum(each) / 2, abs=1e-5)
    for name in ("tetra", "four"):
        verdict = result.extra[name]
        assert verdict["metrics"]["add01"] == result.metrics[f"add01/{name}"]
        assert verdict["extra"]["crop_margin"] == 1.28
        assert verdict["extra"]["silhouette_sigma"] > 0
    first, second = (branch(result.network, place).state_dict() for place in range(2))
    backbone = [name for name in first if not name.startswith("head.")]
    assert all(torch.equal(first[name], second[name]) for name in backbone)
    assert not torch.equal(first["head.up.0.0.weight"], second["head.up.0.0.weight"])


def test_interrupted_it_goes_on_and_ends_bitwise_the_same(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    learn(whole)
    with pytest.raises(Interrupted):
        train(task(SHORT, Breaking), SHARED, shared_configs(SHORT, 2)[1], broken)
    assert 0 < load_checkpoint(broken / CHECKPOINT_FILE)[1]["step"] < 9
    learn(broken)
    (straight, _), (resumed, _) = (
        load_checkpoint(out / CHECKPOINT_FILE) for out in (whole, broken)
    )
    assert straight.keys() == resumed.keys()
    assert all(torch.equal(straight[name], resumed[name]) for name in straight)
    timed = ("images_per_s", "minutes")
    stories = [
        [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(out, kind)]
        for out in (whole, broken)
        for kind in ("train", "validation")
    ]
    assert stories[:2] == stories[2:]


def test_mining_is_refused() -> None:
    with pytest.raises(TrainingError, match="set it to 0"):
        shared_configs(replace(SHORT, mining=0.5), 2)
