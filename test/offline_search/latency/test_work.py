# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from torch import nn

from offline_search.latency.parts import head_part, head_work, operator_work, stem_work
from offline_search.latency.samples import HEAD_KINDS, samples
from offline_search.latency.work import Work, module_work
from offline_search.space import Architecture, Head, Stage
from offline_search.space.architecture import Neck
from offline_search.space.cost import head_cost, stem_cost
from offline_search.space.kits import kit
from offline_search.space.operators import OPERATORS

NECKS = get_args(Neck)

ARCHITECTURE = Architecture(
    (96, 64),
    12,
    20,
    (Stage(24, 2, (("sep_k3",),)), Stage(40, 2, (("sep_k3",),))),
    Head("simcc", (), 9),
)


PLACES = [
    (name, *place)
    for name in sorted(OPERATORS)
    for place in ((24, 24, 1), (12, 20, 1), (20, 36, 2))
    if OPERATORS[name].legal(*place)
]


@pytest.mark.parametrize(("name", "inputs", "outputs", "stride"), PLACES)
def test_without_blocks_the_macs_are_those_that_are_priced(
    name: str, inputs: int, outputs: int, stride: int
) -> None:
    work = operator_work(name, inputs, outputs, stride, (15, 10), 1)
    price = OPERATORS[name].price(kit(1), inputs, outputs, stride, (15, 10))
    assert (work.macs, work.loose_macs) == (price.macs, 0)


@pytest.mark.parametrize(
    "head",
    [
        Head("heatmap", (24, 16), 9, mask=True),
        Head("simcc", (32,), 9),
        Head("heatmap", (24,), 9, neck="spp"),
    ],
)
def test_stem_and_head_are_those_that_are_priced(head: Head) -> None:
    architecture = replace(ARCHITECTURE, head=head)
    for work, price in (
        (stem_work(architecture, 1), stem_cost(architecture)),
        (head_work(architecture, 1), head_cost(architecture)),
    ):
        assert work.macs + work.loose_macs == price.macs


def test_a_neck_makes_a_head_another_part_with_samples_of_its_own() -> None:
    names = [head_part(Head(kind, (8,), 1, neck=neck)) for kind in HEAD_KINDS for neck in NECKS]
    of_part = [samples(name) for name in names]
    assert len(set(names)) == len(names)
    assert all({one.part for one in found} == {n} for n, found in zip(names, of_part, strict=True))


def test_channels_are_counted_in_whole_blocks() -> None:
    with torch.device("meta"):
        dense, depthwise = nn.Conv2d(20, 40, 3, padding=1), nn.Conv2d(20, 20, 3, 2, 1, groups=20)
    # 32 and 48 channels; once more what is around the whole.
    words = 2 * (32 + 48) * 35
    assert module_work(dense, 20, (5, 7), 16) == Work(32 * 48 * 9 * 35, 0, words, 1)
    words = 2 * 32 * (35 + 12)
    assert module_work(depthwise, 20, (5, 7), 16) == Work(32 * 9 * 12, 0, words, 1)


def test_layers_that_know_no_blocks_are_counted_apart() -> None:
    with torch.device("meta"):
        few, up = nn.Conv2d(12, 20, 1), nn.ConvTranspose2d(20, 12, 4, 2, 1)
    assert module_work(few, 12, (5, 7), 16).loose_macs == 12 * 20 * 35
    assert module_work(up, 20, (5, 7), 16).loose_macs == 20 * 12 * 16 * 35


def test_the_identity_is_no_work() -> None:
    assert module_work(nn.Identity(), 20, (5, 7), 16) == Work()
