# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor, nn

from offline_search.space import Architecture, Head
from offline_search.space.gates import SeveralGate
from offline_search.space.network import build
from offline_search.space.search_space import Point, SearchSpace, StageSpace, load_space
from offline_search.space.supernet import Supernet, calibrate

KEYPOINTS = 4
# Every gene has a choice, and the widest stem is not the last of the list.
MINI = SearchSpace(
    name="mini",
    input_sizes=(32, 48),
    stems=((8, 4), (4, 8)),
    stages=(StageSpace(2, 2, (8, 12)), StageSpace(2, 1, (12, 20))),
    operators=("mb_k3_e3", "mb_k5_e6", "sep_k3", "coord_attn", "skip"),
    heads=(Head("heatmap", (8,), 1, mask=True), Head("simcc", (12,), 1)),
)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    return lively(Supernet(MINI, KEYPOINTS, seed=0))


def lively(net: Supernet) -> Supernet:
    """Weights as after a while of training: at the start all residual branches give nothing."""
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter += 0.2 * torch.rand(parameter.shape, generator=rng)
    return net


def images(size: int, count: int = 3, seed: int = 0) -> Tensor:
    return 255 * torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


def random_architecture(rng: random.Random, space: SearchSpace = MINI) -> Architecture:
    opened = tuple(
        tuple(name for name in slot.candidates if rng.random() < 0.5) or slot.candidates[:1]
        for slot in space.slots
    )
    choices = tuple(rng.randrange(len(gene.choices)) for gene in space.genes)
    return space.architecture(Point(choices, opened), KEYPOINTS)


def flat(outputs: Tensor | tuple[Tensor, ...]) -> Tensor:
    parts = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.cat([part.flatten() for part in parts])


def widest(space: SearchSpace, *, narrow: bool = False) -> Architecture:
    """All operators open, of the greatest or of the least widths."""
    choices = [0 if narrow else len(gene.choices) - 1 for gene in space.genes]
    choices[-1] = 0
    opened = tuple(slot.candidates for slot in space.slots)
    return space.architecture(Point(tuple(choices), opened), KEYPOINTS)


def test_running_an_architecture_is_running_its_own_network(supernet: Supernet) -> None:
    rng = random.Random(0)
    kinds = set()
    for number in range(12):
        architecture = random_architecture(rng)
        x = images(architecture.input_size[0], seed=number)
        ours = flat(supernet.run(architecture, x))
        network = supernet.inherit(architecture).train()
        assert torch.allclose(ours, flat(network(x)), atol=1e-5)
        kinds.add(architecture.head.kind)
    assert kinds == {"heatmap", "simcc"}


def test_what_ran_before_does_not_matter(supernet: Supernet) -> None:
    rng = random.Random(1)
    architectures = [random_architecture(rng) for _ in range(4)]
    runs = [
        [flat(supernet.run(network, images(network.input_size[0]))) for network in order]
        for order in (architectures, architectures[::-1])
    ]
    assert all(torch.equal(a, b) for a, b in zip(runs[0], runs[1][::-1], strict=True))


def test_a_network_has_the_first_channels_of_the_widest_and_the_middle_of_its_kernels(
    supernet: Supernet,
) -> None:
    # Both stems share one convolution, which is as wide as the widest of each.
    assert supernet.shared["body.stem.0.0.weight"].shape[0] == 8
    assert supernet.shared["body.stem.2.0.weight"].shape[:2] == (8, 8)
    # Operators of one make share the weights of the largest.
    makes = {"mb_k3_e3": "mb_k7_e6", "mb_k5_e6": "mb_k7_e6", "sep_k3": "dw_k11"}
    narrow = supernet.inherit(widest(MINI, narrow=True))
    smaller = set()
    for name, parameter in narrow.named_parameters():
        if name.startswith("head."):
            continue
        parts = name.split(".")
        if parts[0] == "layers":
            slot = int(parts[1])
            candidate = MINI.slots[slot].candidates[int(parts[3])]
            parts[3] = str(supernet.families[slot].index(makes.get(candidate, candidate)))
        shared = supernet.shared[".".join(["body", *parts])]
        corner = shared[tuple(slice(n) for n in parameter.shape[:2])]
        if parameter.dim() == 4:
            margin = (shared.shape[-1] - parameter.shape[-1]) // 2
            kept = slice(margin, margin + parameter.shape[-1])
            corner = corner[:, :, kept, kept]
        assert torch.equal(parameter, corner), name
        smaller |= {axis for axis, n in enumerate(parameter.shape) if n < shared.shape[axis]}
    assert smaller == {0, 1, 2, 3}


def test_an_inherited_network_has_weights_of_its_own(supernet: Supernet) -> None:
    before = {name: value.clone() for name, value in supernet.shared.items()}
    network = supernet.inherit(widest(MINI))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
    assert all(torch.equal(before[name], value) for name, value in supernet.shared.items())


def test_only_open_operators_are_computed_and_learn() -> None:
    net = lively(Supernet(MINI, KEYPOINTS, seed=0))
    opened = (("sep_k3",), ("mb_k3_e3", "skip"), ("mb_k3_e3",))
    architecture = MINI.architecture(Point((1, 0, 0, 1, 0), opened), KEYPOINTS)
    x = images(48)
    outputs = net.run(architecture, x)
    outputs.square().sum().backward()
    closed = {name for name, parameter in net.named_parameters() if parameter.grad is None}
    for slot, kind in ((0, "mb_k7_e6"), (1, "coord_attn"), (1, "dw_k11"), (2, "dw_k11")):
        start = f"body.layers.{slot}.operators.{net.families[slot].index(kind)}."
        assert {name for name in net.shared if name.startswith(start)} <= closed
    assert {name.split(".")[1] for name in closed if name.startswith("heads.")} == {"1_32", "1_48"}
    # What is not computed does not matter.
    with torch.no_grad():
        for name in closed:
            net.shared[name].fill_(float("nan"))
    assert torch.equal(net.run(architecture, x), outputs)
    # Channels that a narrower network lacks do not move either.
    gradient = net.shared["body.layers.1.operators.0.body.2.0.weight"].grad
    assert gradient is not None
    assert gradient.shape[:2] == (12, 72)
    assert gradient[:8, :24].abs().sum() > 0
    assert gradient[8:].abs().sum() == gradient[:, 24:].abs().sum() == 0


def test_gates_of_one_change_nothing_and_a_closed_gate_takes_its_operator_out(
    supernet: Supernet,
) -> None:
    whole = widest(MINI)
    x = images(48)
    ones = [torch.ones(len(slot.candidates)) for slot in MINI.slots]
    assert torch.allclose(supernet.run(whole, x), supernet.run(whole, x, ones), atol=1e-5)
    opened = (("mb_k3_e3",), ("sep_k3", "skip"), ("mb_k3_e3", "mb_k5_e6"))
    some = [
        torch.tensor([float(name in names) for name in slot.candidates])
        for slot, names in zip(MINI.slots, opened, strict=True)
    ]
    point = MINI.point(whole)
    part = MINI.architecture(Point(point.choices, opened), KEYPOINTS)
    assert torch.allclose(supernet.run(part, x), supernet.run(whole, x, some), atol=1e-5)


def test_the_gates_gradients_are_finite_differences_of_the_relaxed_network() -> None:
    net = lively(Supernet(MINI, KEYPOINTS, seed=0)).double()
    architecture, x = widest(MINI), images(48, count=2).double()
    target = torch.rand(
        net.run(architecture, x).shape, generator=torch.Generator().manual_seed(3)
    ).double()
    # Open ones, and closed ones that are run to learn of them; none at the kink of max(1, sum).
    values = [[1.0, 0.0, 1.0], [1.0, 0.0, 1.0, 1.0, 0.0], [0.7, 0.8, 0.1]]

    def loss(gates: list[Tensor]) -> Tensor:
        return (net.run(architecture, x, gates) - target).square().mean()

    gates = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in values]
    gradients = torch.autograd.grad(loss(gates), gates)
    step = 1e-5
    for slot, row in enumerate(values):
        for index in range(len(row)):
            ends = []
            for sign in (1, -1):
                moved = [torch.tensor(v, dtype=torch.float64) for v in values]
                moved[slot][index] += sign * step
                with torch.no_grad():
                    ends.append(float(loss(moved)))
            slope = (ends[0] - ends[1]) / (2 * step)
            assert float(gradients[slot][index]) == pytest.approx(slope, rel=1e-4, abs=1e-9)
            assert slope != 0


def test_logits_learn_through_the_gates_by_the_relaxations_slope(supernet: Supernet) -> None:
    architecture, x, temperature = widest(MINI), images(48), 0.7
    rng = torch.Generator().manual_seed(4)
    logits = [torch.randn(len(slot.candidates), generator=rng) for slot in MINI.slots]
    noise = [torch.rand(len(slot.candidates), generator=rng) for slot in MINI.slots]
    leaves = [values.requires_grad_() for values in logits]
    gates = [SeveralGate().sample(a, u, temperature) for a, u in zip(leaves, noise, strict=True)]
    loss = supernet.run(architecture, x, gates).square().mean()
    by_gates = torch.autograd.grad(loss, gates, retain_graph=True)
    by_logits = torch.autograd.grad(loss, leaves)
    for a, u, over_gate, over_logit in zip(logits, noise, by_gates, by_logits, strict=True):
        s = torch.sigmoid((a.detach() + u.logit()) / temperature)
        assert torch.allclose(over_logit, over_gate * s * (1 - s) / temperature, rtol=1e-4)


def test_equal_seeds_give_equal_weights() -> None:
    tiny = load_space("tiny")
    a, b, c = (Supernet(tiny, KEYPOINTS, seed).shared for seed in (0, 0, 1))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert any(not torch.equal(a[name], c[name]) for name in a)


def test_calibration_measures_the_mean_over_all_batches() -> None:
    network = build(load_space("tiny").architecture(next(load_space("tiny").points()), 4), seed=0)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        norms[0].running_mean += 5  # of an earlier life
    batches = [images(64, count=4, seed=seed) * (0.2 + 0.2 * seed) for seed in range(4)]
    assert calibrate(network, batches) is network
    assert not network.training
    seen = [network.stem[0][0]((batch - 118.0) / 60.0) for batch in batches]
    mean = torch.stack([values.mean((0, 2, 3)) for values in seen]).mean(0)
    variance = torch.stack([values.var((0, 2, 3)) for values in seen]).mean(0)
    assert torch.allclose(norms[0].running_mean, mean, atol=1e-5)
    assert torch.allclose(norms[0].running_var, variance, rtol=1e-4)
    assert {norm.momentum for norm in norms} == {0.1}
    assert all(int(norm.num_batches_tracked) == len(batches) for norm in norms)


def test_a_calibrated_network_does_what_was_trained(supernet: Supernet) -> None:
    architecture = widest(MINI)
    x = images(48, count=16)
    with torch.no_grad():
        trained = supernet.run(architecture, x)
        network = calibrate(supernet.inherit(architecture), [x, x])
        difference = (network(x) - trained).abs().max()
    assert difference < 0.1 * trained.std()
