# SPDX-License-Identifier: Apache-2.0
"""Price lists, the formula of an architecture's cost, and PyTorch's count of its network."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, flop_registry

from offline_search.space import Architecture, cost
from offline_search.space.kits import kit
from offline_search.space.meter import MacsMeter, price_list
from offline_search.space.network import Layer, Network, build, build_head, build_stem, places
from offline_search.space.search_space import Point, SearchSpace, load_space

KEYPOINTS = 9
PARTS: dict[tuple[Any, ...], nn.Module] = {}


def random_point(space: SearchSpace, rng: random.Random) -> Point:
    """Any structure, with as many open operators in a layer as a budget leaves."""
    choices = tuple(rng.randrange(len(gene.choices)) for gene in space.genes)
    opened = []
    for slot in space.slots:
        count = min(rng.choice((1, 1, 1, 2, 3)), len(slot.candidates))
        kept = rng.sample(range(len(slot.candidates)), count)
        opened.append(tuple(slot.candidates[i] for i in sorted(kept)))
    return Point(choices, tuple(opened))


def listed(space: SearchSpace, point: Point) -> float:
    """Cost by the structure's price list: what is fixed, and what is open."""
    prices = price_list(space, point.choices, KEYPOINTS, MacsMeter())
    return prices.fixed + sum(
        price
        for slot, names, values in zip(space.slots, point.opened, prices.slots, strict=True)
        for name, price in zip(slot.candidates, values, strict=True)
        if name in names
    )


class Counter(TorchDispatchMode):
    """`FlopCounterMode`'s formulas without its book-keeping by modules, which takes time."""

    flops = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **(kwargs or {}), out_val=out)
        return out


@torch.no_grad()
def counted(network: Network) -> float:
    with Counter() as counter:
        network(torch.zeros(1, 3, *network.architecture.input_size))
    return counter.flops / 2


def part(key: tuple[Any, ...], make: Callable[[], nn.Module]) -> nn.Module:
    if key not in PARTS:
        PARTS[key] = make().eval()
    return PARTS[key]


def assembled(architecture: Architecture) -> Network:
    """The network that `build` makes, of parts that others share: new ones take too long."""
    make = kit(architecture.turns)
    layers = [
        Layer(
            part(
                (name, place.inputs, place.outputs, place.stride), partial(place.build, make, name)
            )
            for name in place.names
        )
        for place in places(architecture)
    ]
    stem = (architecture.stem_width, architecture.stem_out)
    head = (architecture.head, architecture.input_size, architecture.stages[-1].width)
    return Network(
        architecture,
        part(stem, partial(build_stem, architecture)),
        layers,
        part(head, partial(build_head, architecture)),
    ).eval()


@pytest.mark.parametrize("name", ["small", "full"])
@pytest.mark.parametrize("block", range(5))
def test_price_list_formula_and_network_agree_exactly(name: str, block: int) -> None:
    """1,000 random architectures in all blocks, each of which PyTorch counts as a whole."""
    space, rng = load_space(name), random.Random(block)
    for _ in range(180 if name == "small" else 20):
        point = random_point(space, rng)
        architecture = space.architecture(point, KEYPOINTS)
        macs = cost(architecture).macs
        assert listed(space, point) == macs
        assert MacsMeter().total(architecture) == macs
        assert counted(assembled(architecture)) == macs, architecture.to_json()


@pytest.mark.parametrize("name", ["small", "full"])
def test_what_is_counted_is_the_built_network_by_pytorchs_own_mode(name: str) -> None:
    space, rng = load_space(name), random.Random(99)
    for _ in range(3):
        architecture = space.architecture(random_point(space, rng), KEYPOINTS)
        network = build(architecture, seed=0).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            network(torch.zeros(1, 3, *architecture.input_size))
        assert counter.get_total_flops() / 2 == counted(assembled(architecture))
        shared = assembled(architecture).state_dict()
        assert {k: v.shape for k, v in network.state_dict().items()} == {
            k: v.shape for k, v in shared.items()
        }


def test_a_price_list_counts_every_slot_at_its_own_size() -> None:
    """By hand: a separable 3x3 from 16 to 32 channels that halves a map of 16 x 16."""
    tiny = load_space("tiny")
    prices = price_list(tiny, (0,) * len(tiny.genes), KEYPOINTS, MacsMeter())
    slot = next(i for i, slot in enumerate(tiny.slots) if (slot.stage, slot.layer) == (1, 0))
    position = tiny.slots[slot].candidates.index("sep_k3")
    assert prices.slots[slot][position] == 8 * 8 * (16 * 9 + 16 * 32)
    skips = [
        price
        for slot, values in zip(tiny.slots, prices.slots, strict=True)
        for name, price in zip(slot.candidates, values, strict=True)
        if name == "skip"
    ]
    assert skips == [0]
