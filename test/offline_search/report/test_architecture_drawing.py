# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest
from search_sample import random_point

from offline_search.report.architecture_drawing import draw_architecture, parts
from offline_search.space.architecture import Architecture, Head, Stage
from offline_search.space.cost import cost
from offline_search.space.presets import PRESETS, preset
from offline_search.space.search_space import load_space

PARALLEL = Architecture(
    (64, 64),
    8,
    8,
    (Stage(16, 2, (("mb_k3_e3", "sep_k3"), ("skip", "coord_attn", "conv_k3"))),),
    Head("simcc", (16,), 4),
)


def boxes(svg: str) -> list[ET.Element]:
    root = ET.fromstring(svg)
    return [e for e in root.iter("rect") if e.attrib["class"].startswith("block")]


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_parts_cost_what_the_network_costs(name: str) -> None:
    architecture = preset(name, 7)
    assert sum(part.macs for part in parts(architecture)) == cost(architecture).macs


def test_parallel_operators_cost_what_the_network_costs() -> None:
    assert sum(part.macs for part in parts(PARALLEL)) == cost(PARALLEL).macs


def test_fabrics_cost_what_the_network_costs() -> None:
    space = load_space("fabric_tiny")
    point = random_point(space, np.random.default_rng(0))
    architecture = space.architecture(point, 5)
    *_, head = parts(architecture)
    assert sum(part.macs for part in parts(architecture)) == cost(architecture).macs
    assert head.output == "6 ch · 16×16"
    assert "3 cells for whole" in draw_architecture(architecture)


def test_every_operator_has_a_box_and_every_mean_a_dot() -> None:
    svg = draw_architecture(PARALLEL)
    stem_and_head = 3 + 3
    assert len(boxes(svg)) == stem_and_head + 5
    assert svg.count('class="mean"') == 2
    for name in ("mb_k3_e3", "sep_k3", "skip", "coord_attn", "conv_k3"):
        assert f">{name}</text>" in svg


def test_parallel_boxes_stand_side_by_side() -> None:
    three = [b for b in boxes(draw_architecture(PARALLEL)) if "idle" in b.attrib["class"]]
    row = [b for b in boxes(draw_architecture(PARALLEL)) if b.attrib["y"] == three[0].attrib["y"]]
    lefts = [float(b.attrib["x"]) for b in row]
    widths = [float(b.attrib["width"]) for b in row]
    assert len(row) == 3
    assert all(a + w < b for a, w, b in zip(lefts, widths, lefts[1:], strict=False))


@pytest.mark.parametrize("seed", range(3))
def test_the_deepest_networks_fit_a_printed_page(seed: int) -> None:
    space = load_space("full")
    point = random_point(space, np.random.default_rng(seed))
    root = ET.fromstring(draw_architecture(space.architecture(point, 12)))
    _, _, width, height = (float(v) for v in root.attrib["viewBox"].split())
    assert height < 1.1 * width


def test_shares_add_up_to_the_whole() -> None:
    texts = [e.text or "" for e in ET.fromstring(draw_architecture(PARALLEL)).iter("text")]
    shares = [float(text.split("%")[0]) for text in texts if text.endswith("of the MACs")]
    assert len(shares) == 3
    assert sum(shares) == pytest.approx(100.0, abs=0.3)
