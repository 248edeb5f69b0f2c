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

from fpg_pose_ros import memory
from offline_search.retrain import make_temporal_task
from offline_search.space.network import Network, build
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.training.config import TrainingError
from offline_search.training.feed import to_input
from offline_search.training.loop import train
from offline_search.training.pose_validation import predict
from offline_search.training.seed_network import SeedNetwork, load_seed_network
from offline_search.training.temporal_task import TemporalTask, Windows, aligned

WITH_CELL = replace(LITTLE, cell=TemporalCell((Edge(1, ("t_dw3",)), Edge(4, ("t_mix",)))))
CPU = torch.device("cpu")
_MUCH = 1000.0  # of what an untrained backbone gives, which is little


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


@pytest.fixture(scope="module")
def told(seed: SeedNetwork) -> Network:
    """The trained network with a cell that adds something."""
    network = build(WITH_CELL, seed=0)
    network.load_state_dict(seed.start_of(network))
    assert network.cell is not None
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.cell.parameters():
            parameter.normal_(std=_MUCH, generator=generator)
    return network.eval()


def test_a_window_is_aligned_as_the_robot_aligns_what_it_keeps(task: TemporalTask) -> None:
    found, other = windows(task), 0.0
    for index in range(32):
        film, frame = found.frames.place(index)
        window, crops = found.window(index, gaps=False), found.frames.store[film].A
        batch = {name: value[None] for name, value in window.items()}
        got = aligned(batch, LITTLE.stride, CPU)[0].numpy()
        for past, lag in zip(got, found.lags, strict=True):
            if lag > frame:
                continue
            kept, then, now = found.features[film][frame - lag], crops[frame - lag], crops[frame]
            robots = memory.aligned(kept, then, now, LITTLE.stride)
            scale = float(np.abs(kept).max())
            assert_allclose(past, robots, atol=1e-4 * scale)
            back = memory.aligned(kept, now, then, LITTLE.stride)
            other = max(other, float(np.abs(back - robots).max()) / scale)
    assert other > 0.1  # the crops do differ


def test_what_is_judged_is_what_the_network_finds_with_earlier_images(
    task: TemporalTask, told: Network
) -> None:
    indices, found = range(4), task.windows(task.lags, held_out=True)
    judged = [one.logits[0] for one in task.predictions(told, indices)]
    alone = [one.logits[0] for one in predict(told, task.model, task.held_out, indices)]
    for index, got, single in zip(indices, judged, alone, strict=True):
        window = found.window(index, gaps=False)
        past = aligned({name: value[None] for name, value in window.items()}, LITTLE.stride, CPU)
        image = np.array(task.held_out[index].image)[None]
        with torch.no_grad():
            whole = told(to_input(torch.from_numpy(image), CPU), past)[0].numpy()
        assert_allclose(got, whole, atol=1e-4)
        assert (np.abs(got - single).max() > 0.01) == bool(past.any())


def test_what_the_task_trains_is_what_the_network_makes_of_images(
    task: TemporalTask, told: Network
) -> None:
    dataset = task.dataset()
    batch = torch.utils.data.default_collate([dataset[index] for index in range(4)])
    images = np.stack([task.samples[index].image for index in range(4)])
    with torch.no_grad():
        past = aligned(batch, WITH_CELL.stride, CPU)
        whole = told(to_input(torch.from_numpy(images), CPU), past)
        assert torch.allclose(task.outputs(told, batch, CPU), whole, atol=1e-4)


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


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (TemporalCell((Edge(1, ("t_dw3",)),), fps=15.0), "films have 30: set its fps to 30"),
        (TemporalCell((Edge(1, ("t_dw3",)), Edge(32, ("t_dw3",)))), "leave out lags above 31"),
    ],
)
def test_a_cell_that_looks_back_at_what_no_film_has_is_refused(
    layer_cache: Path, seed: SeedNetwork, cell: TemporalCell, message: str
) -> None:
    source = filmed(layer_cache)
    with pytest.raises(TrainingError, match=message):
        make_temporal_task(source, replace(LITTLE, cell=cell), config(), seed, layer_cache)
    long = TemporalCell((Edge(31, ("t_dw3",)),))
    make_temporal_task(source, replace(LITTLE, cell=long), config(), seed, layer_cache)


def test_the_easiest_of_several_samples_have_no_windows(task: TemporalTask) -> None:
    with pytest.raises(TrainingError, match="take a strategy"):
        task.dataset(easiest_of=2)
