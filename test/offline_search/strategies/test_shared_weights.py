# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace

import torch
from drawn_search import KEYPOINTS, drawn_problem
from drawn_world import tiny

from offline_search.space.network import build
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.training.distributed import joined
from offline_search.training.seed_network import SeedNetwork


def test_a_searchs_weights_start_from_its_seed_network() -> None:
    seed = build(tiny(outputs=KEYPOINTS), seed=7)
    problem = replace(drawn_problem(), seed_network=SeedNetwork(seed, digest="of no file"))
    with joined("cpu") as world:
        started = SharedWeights(problem, world).supernet.shared
        fresh = SharedWeights(drawn_problem(), world).supernet.shared
    name = "body.stem.0.0.weight"
    taken = dict(seed.named_parameters())["stem.0.0.weight"]
    assert torch.equal(started[name], taken)
    assert not torch.equal(fresh[name], taken)
