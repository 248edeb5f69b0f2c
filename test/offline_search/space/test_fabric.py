# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from offline_search.export import TOLERANCE, difference, to_onnx
from offline_search.space import Architecture, ArchitectureError, Head, Stage, cost
from offline_search.space.fabric import OPERATIONS, SKIP, Cell, Fabric, Part, grid
from offline_search.space.fabric_architecture import FabricArchitecture, over
from offline_search.space.fabric_network import FabricHead
from offline_search.space.fabric_prune import pruned
from offline_search.space.network import Network, build

STAGES = tuple(Stage(width, 2, (("sep_k3",),)) for width in (8, 12, 16))
HEAD = Head("heatmap", (), 5, sic=False, mask=True)
BACKBONE = Architecture((64, 64), 8, 8, STAGES, HEAD)
WHOLE = ((0, 1, 2, 3, 4),)


def fabric(
    parts: tuple[tuple[int, ...], ...] = WHOLE,
    *,
    depth: int = 5,
    cut: int = 3,
    learned: bool = True,
) -> FabricArchitecture:
    """With everything open and even."""
    cells = tuple(
        Cell(place.sources, (0.0,) * len(place.sources)) for place in grid(depth, cut, len(STAGES))
    )
    made = tuple(
        Part(f"part {number}", keypoints, (0.0,) * 4, cells)
        for number, keypoints in enumerate(parts)
    )
    return over(BACKBONE, Fabric(4, depth, cut, made, learned))


def thinned(architecture: FabricArchitecture, seed: int) -> FabricArchitecture:
    """Some of its edges, with random weights."""
    rng = np.random.default_rng(seed)

    def some(names: tuple[str, ...]) -> tuple[str, ...]:
        kept = [name for name in names if rng.random() < 0.5]
        return tuple(kept or [names[rng.integers(len(names))]])

    def thin(cell: Cell) -> Cell:
        connections = some(cell.connections)
        beta = tuple(rng.normal(size=len(connections)).tolist())
        return Cell(connections, beta, some(OPERATIONS))

    parts = tuple(
        replace(part, alpha=tuple(rng.normal(size=4).tolist()), cells=tuple(map(thin, part.cells)))
        for part in architecture.fabric.parts
    )
    return replace(architecture, fabric=replace(architecture.fabric, parts=parts))


def trained(architecture: FabricArchitecture) -> tuple[Network, torch.Tensor]:
    """A network whose norms have seen something, in evaluation mode, and an image."""
    network = build(architecture, seed=0)
    image = 255 * torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(image)
    return network.eval(), image


def test_a_fabric_has_the_papers_cells() -> None:
    for depth, cut in ((7, 4), (6, 3)):
        layers = [place.layer for place in grid(depth, cut, 4)]
        assert [layers.count(layer) for layer in range(cut, depth)] == [3, 2, 1]
    whole = [place.layer for place in grid(7, 1, 2)]
    assert [whole.count(layer) for layer in range(1, 7)] == [3, 4, 4, 3, 2, 1]
    first = grid(7, 4, 3)[:3]
    assert [place.sources for place in first] == [
        ("same", "coarser"),
        ("same", "finer", "coarser"),
        ("same", "finer"),
    ]


@pytest.mark.parametrize("seed", range(6))
def test_the_cost_is_what_is_counted_in_the_built_network(seed: int) -> None:
    architecture = fabric(
        (*WHOLE, (1, 2)), depth=7 - seed % 3, cut=1 + seed % 4, learned=seed % 2 == 0
    )
    for described in (architecture, thinned(architecture, seed)):
        network = build(described, seed=0).eval()
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            maps = network(torch.zeros(1, 3, 64, 64))
        price = cost(described)
        assert counter.get_total_flops() == 2 * price.macs
        assert sum(parameter.numel() for parameter in network.parameters()) == price.params
        assert tuple(maps.shape) == (1, 6, *described.map_size)
        assert described.map_size == (16, 16)
        assert described.output_stride == 4.0


def test_a_fabric_survives_the_way_to_json_and_has_weights_of_its_own() -> None:
    described = thinned(fabric(((0, 1, 2), (2, 3, 4))), 1)
    again = Architecture.from_json(json.loads(json.dumps(described.to_json())))
    assert again == described
    assert again.digest == described.digest != fabric().digest
    state, other = (build(described, seed=seed).state_dict() for seed in (1, 1))
    assert all(torch.equal(state[name], other[name]) for name in state)
    parts = [name for name in state if name.startswith("head.parts.1.")]
    assert any(name.endswith(".alpha") for name in parts)
    assert any(name.endswith(".beta") for name in parts)


def test_a_cell_mixes_as_the_paper_says() -> None:
    described = fabric(depth=4)  # one cell
    network, image = trained(described)
    assert isinstance(network.head, FabricHead)
    part = network.head.parts[0]
    cell = part.cells["3_0"]
    with torch.no_grad():
        part.alpha.copy_(torch.tensor([0.3, -0.2, 0.5, 0.1]))
        cell.beta.copy_(torch.tensor([0.4, -0.4]))
        features = network.layers(network.stem((image - 118.0) / 60.0))
        scaled = [part.reduce[str(scale)](features[scale]) for scale in (0, 1)]
        shares, strengths = cell.beta.softmax(0), part.alpha.softmax(0)
        x = 3 * (shares[0] * scaled[0] + shares[1] * cell.connections["coarser"](scaled[1]))
        x = x.relu()
        y = 4 * (
            strengths[0] * 0
            + strengths[1] * x
            + strengths[2] * cell.operations["dilated"](x)
            + strengths[3] * cell.operations["separable"](x)
        )
        wanted = part.maps(cell.keep(y))
        torch.testing.assert_close(network(image), wanted)


def test_a_keypoint_of_two_parts_gets_the_sum_of_their_maps_and_the_mask_that_of_all() -> None:
    network, image = trained(fabric(((3, 0), (1, 2, 3, 4)), depth=4))
    assert isinstance(network.head, FabricHead)
    with torch.no_grad():
        features = network.layers(network.stem((image - 118.0) / 60.0))
        first, second = (part(features) for part in network.head.parts)
        maps = network(image)
    torch.testing.assert_close(maps[:, 0], first[:, 1])
    torch.testing.assert_close(maps[:, 1], second[:, 0])
    torch.testing.assert_close(maps[:, 3], first[:, 0] + second[:, 2])
    torch.testing.assert_close(maps[:, 5], first[:, 2] + second[:, 4])


def test_vectors_are_squashed_to_maps_whose_logits_are_given() -> None:
    plain = fabric(depth=4)
    described = replace(plain, fabric=replace(plain.fabric, vector=8))
    network, image = trained(described)
    assert isinstance(network.head, FabricHead)
    assert cost(described).params == sum(p.numel() for p in network.parameters())
    more = cost(described).macs - cost(plain).macs
    assert more == 7 * 6 * plain.fabric.width * 16 * 16
    seen: list[torch.Tensor] = []
    network.head.parts[0].maps[1].register_forward_hook(lambda _m, _i, out: seen.append(out))
    with torch.no_grad():
        maps = network(image)
    squared = seen[0].reshape(2, 6, 8, 16, 16).square().sum(2)
    wanted = squared / (1 + squared)
    torch.testing.assert_close(maps.sigmoid(), wanted, atol=1e-4, rtol=0.0)


def test_pruning_of_edges_without_weight_changes_no_output() -> None:
    network, image = trained(fabric(((0, 1, 2), (2, 3, 4))))
    assert isinstance(network.head, FabricHead)
    with torch.no_grad():
        for part in network.head.parts:
            part.alpha.copy_(torch.tensor([0.0, 1.0, -200.0, 0.5]))
            part.cells["3_1"].beta.copy_(torch.tensor([0.0, 0.3, -150.0]))
            part.cells["4_0"].beta.copy_(torch.tensor([0.0, -110.0]))  # nothing reads cell 3_1
        smaller = pruned(network)
        torch.testing.assert_close(smaller(image), network(image), rtol=0.0, atol=0.0)
    before, after = network.architecture, smaller.architecture
    assert isinstance(after, FabricArchitecture)
    for part in after.fabric.parts:
        assert after.live(part) == (True, False, True)
        assert part.cells[0].operations == ("skip", "separable")
    assert cost(after).macs < cost(before).macs


def test_what_has_weight_is_not_pruned() -> None:
    network, _ = trained(thinned(fabric(), 3))
    assert pruned(network).state_dict().keys() == network.state_dict().keys()


@pytest.mark.parametrize("learned", [True, False])
def test_alpha_and_beta_learn_where_they_are_to(learned: bool) -> None:
    network = build(fabric(depth=4, learned=learned), seed=0).train()
    network(255 * torch.rand(2, 3, 64, 64)).square().mean().backward()
    mixing = {n: p for n, p in network.named_parameters() if n.endswith((".alpha", ".beta"))}
    assert len(mixing) == 2 * learned
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in mixing.values())


def test_it_can_be_exported_with_shared_keypoints() -> None:
    described = thinned(fabric(((0, 1, 2), (2, 3, 4))), 2)
    network, image = trained(replace(described, fabric=replace(described.fabric, vector=2)))
    content = to_onnx(network)
    assert difference(network, content, image[:1].numpy()) < TOLERANCE
    assert b"Softmax" not in content


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"depth": 3}, "cut < depth"),
        ({"cut": 0}, "1 <= cut"),
        ({"depth": 6}, "cells"),
        ({"width": 0}, "width"),
        ({"parts": ()}, "at least one part"),
    ],
)
def test_fabrics_that_cannot_be_are_refused(change: dict[str, object], named: str) -> None:
    described = fabric()
    with pytest.raises(ArchitectureError, match=named):
        replace(described, fabric=replace(described.fabric, **change))  # type: ignore[arg-type]


def test_backbones_that_do_not_fit_are_refused() -> None:
    made = fabric().fabric
    stages = (Stage(8, 1, (("sep_k3",),)), *STAGES)
    assert over(replace(BACKBONE, stages=stages), made).taps == (1, 2, 3)
    for backbone, named in (
        (replace(BACKBONE, stages=STAGES * 2, input_size=(128, 128)), "end at one of at most 32"),
        (replace(BACKBONE, head=replace(HEAD, width=(8,))), "without layers"),
        (replace(BACKBONE, head=replace(HEAD, outputs=6)), "parts have keypoints"),
    ):
        with pytest.raises(ArchitectureError, match=named):
            over(backbone, made)
    with pytest.raises(ArchitectureError, match="features of 1 scales"):
        grid(7, 4, 1)


def test_documents_that_describe_no_fabric_are_refused() -> None:
    for change in ({"parts": 3}, {"parts": [{"name": "x"}]}, {"colour": 1}):
        document = fabric().to_json()
        document["fabric"] |= change
        with pytest.raises(ArchitectureError, match="not of the expected form"):
            Architecture.from_json(document)
    document = fabric().to_json()
    document["fabric"]["parts"][0]["cells"][0]["operations"] = [SKIP, "magic"]
    with pytest.raises(ArchitectureError, match="a cell needs some of"):
        Architecture.from_json(document)
