# SPDX-License-Identifier: Apache-2.0
"""Temporal cells: what they are, what they cost, and what they add."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from offline_search.space import Architecture, ArchitectureError, Head, Stage, cost
from offline_search.space.network import Network, build
from offline_search.space.presets import preset
from offline_search.space.remap import remap
from offline_search.space.search_space import Point, load_space
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.space.temporal_cell import TEMPORAL_OPERATORS
from offline_search.space.temporal_space import NONE, TemporalSpace

NAMES = tuple(TEMPORAL_OPERATORS)
CELL = TemporalCell((Edge(1, ("t_scale", "t_mix")), Edge(3, ("t_dw3",))))


def architecture(cell: TemporalCell | None = CELL, turns: int = 1) -> Architecture:
    stages = (Stage(8, 2, (("sep_k3",),)), Stage(12, 2, (("sep_k3",),)))
    head = Head("heatmap", (8,), 3)
    return Architecture((32, 48), 8, 8, stages, head, turns, cell)


def past_of(network: Network, generator: torch.Generator) -> torch.Tensor:
    found = network.architecture
    assert found.cell is not None
    shape = (2, len(found.cell.edges), found.stages[-1].width, *found.feature_size)
    return torch.randn(shape, generator=generator)


def stirred(network: Network) -> Network:
    """With a cell that adds something."""
    assert network.cell is not None
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.cell.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return network.eval()


def test_without_a_cell_an_architecture_is_written_and_hashed_as_before() -> None:
    plain = preset("small", 16)
    assert "cell" not in plain.to_json()
    assert plain.digest == "dec6eed535a890ea8ebdc00b395f37baf737c874b94a22e694596d4cb2e9bccb"


def test_json_makes_an_equal_architecture() -> None:
    found = architecture()
    assert Architecture.from_json(found.to_json()) == found
    assert found.digest != architecture(None).digest


@pytest.mark.parametrize(
    ("cell", "named"),
    [
        ({"edges": []}, "at least one edge"),
        ({"edges": [{"lag": 0, "operators": ["t_dw3"]}]}, "lag"),
        ({"edges": [{"lag": 1, "operators": []}]}, "at least one operator"),
        ({"edges": [{"lag": 1, "operators": ["t_dw3", "t_dw3"]}]}, "twice"),
        ({"edges": [{"lag": lag, "operators": ["t_dw3"]} for lag in (2, 1)]}, "rise"),
        ({"edges": [{"lag": 1, "operators": ["t_dw3"]}], "fps": 0}, "fps"),
        ({"edges": [{"lag": 1, "operators": ["t_dw3"]}], "colour": 1}, "not of the expected form"),
        ({}, "not of the expected form"),
    ],
)
def test_a_cell_that_cannot_be_is_refused(cell: dict[str, Any], named: str) -> None:
    with pytest.raises(ArchitectureError, match=named):
        Architecture.from_json({**architecture(None).to_json(), "cell": cell})


def test_an_unknown_operator_and_a_cell_of_a_locator_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="unknown temporal operator 't_none'"):
        build(architecture(TemporalCell((Edge(1, ("t_none",)),))))
    with pytest.raises(ArchitectureError, match="locator"):
        replace(architecture(), head=Head("locator", (8,), 1))


@pytest.mark.parametrize("turns", [1, 4])
def test_the_cost_of_random_cells_is_what_pytorch_counts(turns: int) -> None:
    rng = random.Random(turns)
    for _ in range(20):
        lags = sorted(rng.sample(range(1, 9), rng.randint(1, 4)))
        edges = tuple(Edge(lag, tuple(rng.sample(NAMES, rng.randint(1, 5)))) for lag in lags)
        found = architecture(TemporalCell(edges), turns)
        network = build(found, seed=0).eval()
        past = past_of(network, torch.Generator())[:1]
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, *found.input_size), past)
        params = sum(parameter.numel() for parameter in network.parameters())
        price = cost(found)
        assert (price.macs, price.params) == (counter.get_total_flops() / 2, params)


@pytest.mark.parametrize("turns", [1, 4])
def test_what_is_absent_adds_exactly_nothing(turns: int) -> None:
    network = stirred(build(architecture(turns=turns), seed=0))
    generator = torch.Generator().manual_seed(0)
    image, past = torch.rand(2, 3, 32, 48, generator=generator) * 255, past_of(network, generator)
    with torch.no_grad():
        alone = network(image)
        assert torch.equal(network(image, torch.zeros_like(past)), alone)
        assert not torch.allclose(network(image, past), alone)


def test_a_network_that_gains_a_cell_starts_as_it_was() -> None:
    plain = build(architecture(None), seed=3).eval()
    grown = build(architecture(), seed=0).eval()
    grown.load_state_dict(remap(plain, grown))
    generator = torch.Generator().manual_seed(0)
    image, past = torch.rand(2, 3, 32, 48, generator=generator) * 255, past_of(grown, generator)
    with torch.no_grad():
        assert torch.equal(grown(image, past), plain(image))


def test_a_cell_takes_over_the_operators_that_its_seed_has_at_the_same_lag() -> None:
    seed = stirred(build(architecture(), seed=0))
    target = build(architecture(TemporalCell((Edge(1, ("t_mix",)), Edge(2, ("t_dw3",))))), seed=1)
    state = remap(seed, target)
    assert torch.equal(
        state["cell.edges.1.operators.t_mix.2.weight"],
        seed.state_dict()["cell.edges.1.operators.t_mix.2.weight"],
    )
    assert not state["cell.edges.2.operators.t_dw3.0.weight"].any()


def test_a_space_of_cells_spells_every_cell_and_none() -> None:
    space = load_space("temporal")
    assert isinstance(space, TemporalSpace)
    space = space.over(architecture())
    assert space.size == 2 ** (len(space.operators) * len(space.lags))
    nothing = Point((), ((NONE,),) * len(space.slots))
    assert space.architecture(nothing, 3) == architecture(None)
    opened = ((NONE,), ("t_scale", "t_sep3"), (NONE,), ("t_mix",))
    found = space.architecture(Point((), opened), 3)
    assert found.cell == TemporalCell((Edge(2, ("t_scale", "t_sep3")), Edge(8, ("t_mix",))))
    assert space.point(found) == Point((), opened)
    # a candidate that stands for nothing says nothing beside others
    beside = ((NONE,), (NONE, "t_scale", "t_sep3"), (NONE,), ("t_mix",))
    assert space.architecture(Point((), beside), 3) == found


def test_a_space_of_cells_refuses_other_networks() -> None:
    space = load_space("temporal")
    assert isinstance(space, TemporalSpace)
    over = space.over(architecture())
    with pytest.raises(ArchitectureError, match="not of the space"):
        over.point(architecture())  # of lags that it does not look at
    with pytest.raises(ArchitectureError, match="seed network of that object"):
        over.architecture(Point((), ((NONE,),) * len(over.slots)), 5)
