# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_world import DrawnPoses, DrawnSample, tetrahedron, tiny

from offline_search.training import mining as mining_module
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.loop import TrainResult, train
from offline_search.training.mining import ROUND, Mining
from offline_search.training.pose_task import PoseTask

VIEWS = 20


@dataclass(frozen=True)
class ViewedPoses(DrawnPoses):
    """A drawn world of few views."""

    views: int = VIEWS

    def view_of(self, index: int) -> int:
        return index % self.views

    def showing(self, index: int, view: int) -> DrawnSample:
        return DrawnPoses.__getitem__(self, view)


def config(**changes: object) -> TrainConfig:
    settings: dict[str, object] = {
        "images": 8,
        "batch": 8,
        "sigma_px": 2.0,
        "mining": 0.5,
        "workers": 0,
        "validation": 8,
        "validations": 0,
    }
    return TrainConfig(**{**settings, **changes})  # type: ignore[arg-type]


def hard_at(view: int) -> Mining:
    """Mining that has met one hard view, two rounds ago."""
    made = Mining(ViewedPoses(1), config(mining=0.6))
    made.learn(torch.arange(VIEWS), torch.full((VIEWS,), 0.1))
    made.learn(torch.tensor([view] * 8), torch.full((8,), 10.0))
    for _ in range(2 * ROUND):
        made.end_step()
    return made


def test_a_view_of_great_loss_is_drawn_more_often_and_no_view_is_forgotten() -> None:
    made = hard_at(7)
    drawn = [view for step in range(2 * ROUND, 3 * ROUND) for _, view in made.keys(step)]
    counts = np.bincount(drawn, minlength=VIEWS)
    assert counts[7] > 6 * counts.sum() / VIEWS
    # the share that is not mined shows each view in turn
    assert counts.min() > 0.2 * counts.sum() / VIEWS


def test_every_index_is_used_once_and_in_order() -> None:
    made = hard_at(3)
    assert [index for index, _ in made.keys(2 * ROUND)] == [2 * ROUND * 8 + i for i in range(8)]


def test_what_is_drawn_ahead_is_what_is_drawn_in_time() -> None:
    late, early = hard_at(7), hard_at(7)
    ahead = early.keys(3 * ROUND)
    for made in (late, early):
        made.learn(torch.tensor([2]), torch.tensor([99.0]))
    for _ in range(ROUND):
        late.end_step()
    assert late.keys(3 * ROUND) == ahead


def trained(out: Path, **changes: object) -> TrainResult:
    settings = config(images=8 * 20, checkpoint_images=8 * 3, **changes)
    task = PoseTask(tetrahedron(), ViewedPoses(1), DrawnPoses(2), tiny(), settings, 1.28)
    return train(task, tiny(), settings, out)


def test_a_stopped_training_and_one_with_workers_learn_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mining_module, "ROUND", 6)
    straight = trained(tmp_path / "straight")
    made_ahead = trained(tmp_path / "workers", workers=1)

    class Stopped(PoseTask):
        steps = 0

        def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
            Stopped.steps += 1
            if Stopped.steps == 15:
                raise KeyboardInterrupt
            return super().loss(outputs, batch)

    settings = config(images=8 * 20, checkpoint_images=8 * 3)
    task = Stopped(tetrahedron(), ViewedPoses(1), DrawnPoses(2), tiny(), settings, 1.28)
    with pytest.raises(KeyboardInterrupt):
        train(task, tiny(), settings, tmp_path / "stopped")
    resumed = trained(tmp_path / "stopped")
    for other in (made_ahead, resumed):
        assert other.metrics == straight.metrics
        for a, b in zip(straight.network.parameters(), other.network.parameters(), strict=True):
            assert torch.equal(a, b)


def test_samples_whose_views_cannot_be_chosen_are_refused() -> None:
    with pytest.raises(TrainingError, match="without --data"):
        PoseTask(tetrahedron(), DrawnPoses(1), DrawnPoses(2), tiny(), config(), 1.28)


def test_more_workers_than_scores_can_follow_are_refused() -> None:
    with pytest.raises(TrainingError, match="at most 31"):
        Mining(ViewedPoses(1), config(workers=32))
