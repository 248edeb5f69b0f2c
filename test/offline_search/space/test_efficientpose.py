# SPDX-License-Identifier: Apache-2.0
"""EfficientPose's networks cost what was published of them, and its space holds them."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from offline_search.cli import app
from offline_search.space import Architecture, cost
from offline_search.space.efficientpose import EFFICIENTPOSE_A, EFFICIENTPOSE_B, EFFICIENTPOSE_C
from offline_search.space.named import filled
from offline_search.space.presets import preset
from offline_search.space.search_space import load_space
from offline_search.space.supernet import Supernet

SPACE = load_space("efficientpose")
NETWORKS = [
    (EFFICIENTPOSE_A, 0.54, 1.30),
    (EFFICIENTPOSE_B, 1.39, 3.25),
    (EFFICIENTPOSE_C, 1.86, 5.0),
]


@pytest.mark.parametrize(("network", "gmacs", "million"), NETWORKS, ids="abc")
def test_costs_are_the_published_ones_to_their_last_digit(
    network: Architecture, gmacs: float, million: float
) -> None:
    price = cost(network)
    assert (network.input_size, network.head.outputs) == ((256, 256), 16)
    assert round(price.macs / 1e9, 2) == gmacs
    assert round(price.params / 1e6, 2) == million
    assert (network.stride, network.map_size) == (16, (64, 64))


def test_widths_and_depths_are_the_papers() -> None:
    shapes = [[(stage.width, len(stage.layers)) for stage in n.stages] for n, _, _ in NETWORKS]
    deep = [(32, 6), (64, 8), (96, 10), (160, 10)]
    assert shapes == [[(24, 4), (32, 6), (64, 8), (96, 8)], deep, deep]


def test_the_space_has_the_papers_candidates_and_its_networks() -> None:
    names = {f"mb_k{kernel}_e{expand}" for kernel in (3, 5, 7) for expand in (3, 6)} | {"skip"}
    assert {name for slot in SPACE.slots for name in slot.candidates} == names
    for network, _, _ in NETWORKS:
        longer = filled(network, SPACE)
        assert SPACE.architecture(SPACE.point(longer), 16) == longer
        assert cost(longer) == cost(network)


def test_shared_weights_run_the_papers_networks_among_all_others() -> None:
    head = replace(EFFICIENTPOSE_A.head, outputs=4)
    network = replace(filled(EFFICIENTPOSE_A, SPACE), input_size=(96, 96), head=head)
    supernet = Supernet(SPACE, 4, seed=0)
    x = 255 * torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        own = supernet.inherit(network).train()(x)
        assert torch.allclose(supernet.run(network, x), own, atol=1e-5)


def test_the_command_lists_the_networks_that_a_space_holds() -> None:
    def listed(space: str) -> dict[str, dict[str, object]]:
        result = CliRunner().invoke(app, ["space", "--name", space, "--json"])
        return {entry["name"]: entry for entry in json.loads(result.stdout)["named"]}

    assert set(listed("full")) == {"demo", "small"}
    assert listed("tiny") == {}
    found = listed("efficientpose")
    assert set(found) == {"efficientpose_a", "efficientpose_b", "efficientpose_c"}
    assert found["efficientpose_b"] == {
        "name": "efficientpose_b",
        "input_size": [256, 256],
        "outputs": 16,
        "macs": cost(EFFICIENTPOSE_B).macs,
        "params": cost(EFFICIENTPOSE_B).params,
    }
    shown = CliRunner().invoke(app, ["space", "--name", "efficientpose"]).stdout
    assert "efficientpose_a: 542.2 MMACs at 256x256, 1.30 M parameters" in shown


def test_the_presets_are_these_networks_for_any_object() -> None:
    assert preset("efficientpose_c", 16) == EFFICIENTPOSE_C
    assert preset("efficientpose_a", 9).head.outputs == 9
