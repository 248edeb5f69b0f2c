# SPDX-License-Identifier: Apache-2.0
"""Training of a temporal cell on the features of a frozen backbone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from filmed_world import LITTLE, config, filmed, trained
from numpy.testing import assert_allclose

from offline_search.retrain import make_temporal_task
from offline_search.space.network import build
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.training.config import TrainingError
from offline_search.training.feed import to_input
from offline_search.training.loop import train
from offline_search.training.seed_network import SeedNetwork, load_seed_network
from offline_search.training.temporal_task import TemporalTask, Windows, aligned

WITH_CELL = replace(LITTLE, cell=TemporalCell((Edge(1, ("t_dw3",)), Edge(4, ("t_mix",)))))
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def seed(tmp_path_factory: pytest.TempPathFactory) -> SeedNetwork:
    return load_seed_network(trained(tmp_path_factory.mktemp("seed") / "single"))


@pytest.fixture(scope="module")
def task(layer_cache: Path, seed: SeedNetwork) -> TemporalTask:
    return make_temporal_task(filmed(layer_cache), WITH_CELL, config(), seed, layer_cache)


def windows(task: TemporalTask) -> Windows:
    return task.windows(task.lags)


def test_features_are_those_of_the_backbone_and_computed_once(
    task: TemporalTask, seed: SeedNetwork
) -> None:
    images = torch.from_numpy(np.array(task.features.films[0].images[:3]))
    with torch.no_grad():
        expected = seed.network.features(to_input(images, CPU))
    assert_allclose(task.features[0][:3], expected.numpy(), atol=1e-5)
    # whatever becomes of the network in memory: they are on disk
    weight = next(seed.network.stem.parameters())
    held = weight.detach().clone()
    with torch.no_grad():
        weight += 1.0
    assert_allclose(task.features[0][:3], expected.numpy(), atol=1e-5)
    with torch.no_grad():
        weight.copy_(held)


def test_a_window_holds_the_features_of_its_lags_and_zeros_before_the_film(
    task: TemporalTask,
) -> None:
    found = windows(task)
    for index in range(32):
        film, frame = found.frames.place(index)
        window = found.window(index, gaps=False)
        assert torch.equal(window["features"], torch.from_numpy(found.features[film][frame]))
        for past, lag in zip(window["past"], found.lags, strict=True):
            if frame < lag:
                assert not past.any()
            else:
                assert torch.equal(past, torch.from_numpy(found.features[film][frame - lag]))


def test_some_earlier_images_are_left_out_in_training_the_same_each_time(
    task: TemporalTask,
) -> None:
    found = windows(task)
    whole = [found.window(index, gaps=False)["past"] for index in range(32)]
    gaps = [found.window(index, gaps=True)["past"] for index in range(32)]
    again = [found.window(index, gaps=True)["past"] for index in range(32)]
    assert all(torch.equal(one, other) for one, other in zip(gaps, again, strict=True))
    there = sum(int(past.any()) for window in whole for past in window)
    left = sum(int(past.any()) for window in gaps for past in window)
    assert 0.5 * there < left < there


def test_what_the_task_trains_is_what_the_network_makes_of_images(
    task: TemporalTask, seed: SeedNetwork
) -> None:
    network = build(WITH_CELL, seed=0)
    network.load_state_dict(seed.start_of(network))
    assert network.cell is not None
    with torch.no_grad():
        for parameter in network.cell.parameters():
            parameter.normal_(generator=torch.Generator().manual_seed(0))
    network.eval()
    dataset = task.dataset()
    batch = torch.utils.data.default_collate([dataset[index] for index in range(4)])
    images = np.stack([task.samples[index].image for index in range(4)])
    with torch.no_grad():
        past = aligned(batch, WITH_CELL.stride, CPU)
        whole = network(to_input(torch.from_numpy(images), CPU), past)
        assert torch.allclose(task.outputs(network, batch, CPU), whole, atol=1e-4)


def test_training_moves_cell_and_head_and_leaves_the_backbone(
    tmp_path: Path, task: TemporalTask, seed: SeedNetwork
) -> None:
    result = train(task, WITH_CELL, task.config, tmp_path / "cell", seed)
    before, after = seed.network.state_dict(), result.network.state_dict()
    learnt = {name: tensor for name, tensor in before.items() if tensor.is_floating_point()}
    for name, tensor in learnt.items():
        moved = not torch.equal(after[name], tensor)
        assert moved == name.startswith("head."), name
    assert any(after[name].any() for name in after if name.startswith("cell.edges.1"))
    assert result.extra["crop_margin"] == 1.28


def test_a_cell_needs_films_and_the_network_that_it_is_for(
    layer_cache: Path, seed: SeedNetwork
) -> None:
    source = filmed(layer_cache)
    other = replace(WITH_CELL, stem_width=16)
    for network, given in ((WITH_CELL, None), (other, seed)):
        with pytest.raises(TrainingError, match="--seed-network"):
            make_temporal_task(source, network, config(), given, layer_cache)
