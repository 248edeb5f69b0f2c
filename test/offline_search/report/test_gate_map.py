# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET

from offline_search.report.gate_map import WIDTH, Panel, draw_gates, draw_genes


def rects(svg: str, kind: str) -> list[ET.Element]:
    return [e for e in ET.fromstring(svg).iter("rect") if e.attrib["class"] == kind]


def panel(*rows: tuple[str, list[float]], kept: tuple[str, ...] = (), group: str = "g") -> Panel:
    values = list(zip(*(course for _, course in rows), strict=True))
    return Panel("layer 1", [name for name, _ in rows], values, kept, group)


def test_the_likeliest_gate_of_a_drawing_is_the_darkest_however_unlikely() -> None:
    svg = draw_gates([panel(("a", [0.1, 0.2]), ("b", [0.05, 0.0]))])
    shades = [bar.attrib["style"] for bar in rects(svg, "heat")]
    assert shades == ["--p:50%", "--p:100%", "--p:25%"]


def test_a_gate_that_stays_is_one_rectangle_as_wide_as_its_row() -> None:
    svg = draw_gates([panel(("a", [0.8] * 40))])
    (bar,), (frame,) = rects(svg, "heat"), rects(svg, "cells")
    assert bar.attrib["width"] == frame.attrib["width"]


def test_choices_of_structure_are_drawn_alike() -> None:
    svg = draw_genes([panel(("a", [0.3, 0.4]), ("b", [0.7, 0.6]))])
    assert len(rects(svg, "heat")) == 4


def test_a_layer_that_lacks_a_candidate_leaves_its_row_empty() -> None:
    two = panel(("a", [0.1]), ("b", [0.1]))
    one = panel(("b", [0.1]))
    svg = draw_gates([two, one])
    tops = [frame.attrib["y"] for frame in rects(svg, "cells")]
    assert len(tops) == 3
    assert tops[1] == tops[2]


def test_what_was_kept_is_marked() -> None:
    svg = draw_gates([panel(("a", [0.9]), ("b", [0.9]), kept=("b",))])
    assert svg.count("was kept") == 1
    assert "b was kept" in svg


def test_neighbours_of_one_group_name_it_once() -> None:
    layers = [panel(("a", [0.5]), group=group) for group in ("stage 1", "stage 1", "stage 2")]
    svg = draw_gates(layers)
    assert svg.count("stage 1 ·") == 1
    assert svg.count("stage 2 ·") == 1


def test_many_layers_stay_within_the_drawing() -> None:
    for count in (1, 7, 24, 34):
        svg = draw_gates([panel(("mb_k3_e3", [0.2, 0.9]), kept=("mb_k3_e3",))] * count)
        root = ET.fromstring(svg)
        frames = rects(svg, "cells")
        height = float(root.attrib["viewBox"].split()[3])
        assert len(frames) == count
        for frame in frames:
            assert float(frame.attrib["x"]) + float(frame.attrib["width"]) + 9 <= WIDTH
            assert float(frame.attrib["y"]) + float(frame.attrib["height"]) <= height


def test_names_are_escaped() -> None:
    ET.fromstring(draw_gates([panel(("<a>&", [0.2]), group="<b>")]))
    assert "<a>" not in draw_genes([panel(("<a>&", [0.2]))])
