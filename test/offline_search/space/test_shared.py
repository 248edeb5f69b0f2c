# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
import torch

from offline_search.space import Architecture, ArchitectureError, Head, Stage, cost
from offline_search.space.network import build
from offline_search.space.shared import SharedArchitecture, branch, with_outputs

STAGES = (Stage(8, 2, (("sep_k3",),)), Stage(16, 2, (("mb_k3_e3", "sep_k5"),)))
HEADS = [Head("heatmap", (8,), 5, mask=True), Head("simcc", (8,), 5)]


def tensors(outputs: Any) -> tuple[torch.Tensor, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.mark.parametrize("head", HEADS, ids=lambda head: head.kind)
def test_each_object_has_the_outputs_that_its_own_network_gives(head: Head) -> None:
    alone = Architecture((32, 32), 8, 8, STAGES, head, turns=4)
    shared = SharedArchitecture.of(alone, (4, 7, 5))
    assert shared.members[1] == with_outputs(alone, 7)
    network = build(shared, seed=3)
    image = 255 * torch.rand(6, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network.train()(image)  # norms that have seen something
    network.eval()
    with torch.no_grad():
        together = network(image)
        for place, member in enumerate(shared.members):
            own = branch(network, place)
            assert own.architecture == member
            for got, wanted in zip(tensors(own(image)), tensors(together[place]), strict=True):
                torch.testing.assert_close(got[place::3], wanted)
            build(member).load_state_dict(own.state_dict())


def test_the_cost_counts_the_backbone_s_parameters_once() -> None:
    shared = SharedArchitecture.of(Architecture((32, 32), 8, 8, STAGES, HEADS[0]), (5, 9))
    assert cost(shared).params == sum(p.numel() for p in build(shared).parameters())
    assert cost(shared).macs == sum(cost(member).macs for member in shared.members)


def test_an_architecture_that_is_not_shared_is_refused() -> None:
    alone = Architecture((32, 32), 8, 8, STAGES, HEADS[0])
    with pytest.raises(ArchitectureError, match="two or more objects"):
        SharedArchitecture.of(alone, (5,))


def test_equal_backbones_for_other_objects_are_told_apart() -> None:
    alone = Architecture((32, 32), 8, 8, STAGES, HEADS[0])
    digests = {SharedArchitecture.of(alone, outputs).digest for outputs in ((5, 5), (5, 6))}
    assert len(digests | {alone.digest}) == 3
