# SPDX-License-Identifier: Apache-2.0
"""Trainings that start from a trained network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from drawn_world import DrawnPoses, tetrahedron, tiny

from offline_search.space import Architecture
from offline_search.space.network import build
from offline_search.training.checkpoint import save_checkpoint
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.loop import TrainResult, load_result, train
from offline_search.training.pose_task import PoseTask
from offline_search.training.seed_network import SeedNetwork, load_seed_network

# So slow that a step changes next to nothing: what a training ends with is what it began with.
CONFIG = TrainConfig(
    images=8, batch=8, lr=1e-9, sigma_px=2.0, workers=0, validation=8, validations=0
)


def learn(
    out: Path, seed_network: SeedNetwork | None, architecture: Architecture, seed: int = 0
) -> TrainResult:
    model, config = tetrahedron(), replace(CONFIG, seed=seed)
    task = PoseTask(model, DrawnPoses(1), DrawnPoses(2), architecture, config, 1.28)
    return train(task, architecture, config, out, seed_network)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("seed")
    learn(out, None, tiny())
    return out


def test_a_training_starts_from_the_seeds_weights_by_folder_or_file(
    tmp_path: Path, trained: Path
) -> None:
    held = load_result(trained).network.state_dict()
    for place in (trained, trained / "weights.safetensors"):
        started = learn(tmp_path / place.name, load_seed_network(place), tiny(), seed=5)
        state = dict(started.network.named_parameters())
        assert all(torch.allclose(value, held[name], atol=1e-6) for name, value in state.items())
    other = build(tiny(), seed=5).state_dict()
    assert not all(torch.allclose(value, held[name], atol=1e-6) for name, value in other.items())


def test_a_training_goes_on_with_the_seed_that_it_began_with(tmp_path: Path, trained: Path) -> None:
    seed = load_seed_network(trained)
    first = learn(tmp_path, seed, tiny())
    again = learn(tmp_path, load_seed_network(trained), tiny())
    assert again.metrics == first.metrics
    for other in (None, replace(seed, digest="another file's")):
        with pytest.raises(TrainingError, match="another architecture, seed network or"):
            learn(tmp_path, other, tiny())


def test_what_is_no_trained_network_is_named_with_what_to_give(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "other.safetensors", {"x": torch.zeros(1)}, {"step": 3})
    for place in (tmp_path, tmp_path / "none.safetensors", tmp_path / "other.safetensors"):
        with pytest.raises(TrainingError, match=r"seed network .*fpg-pose retrain"):
            load_seed_network(place)
