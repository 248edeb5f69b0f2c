# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from offline_search.report.svg import (
    Axis,
    Band,
    Rule,
    Series,
    histogram,
    line_chart,
    number,
    ticks,
)

NS = "{http://www.w3.org/2000/svg}"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.0, 30.0, [0.0, 10.0, 20.0, 30.0]),
        (-0.3, 0.3, [-0.2, 0.0, 0.2]),
        (995.0, 1005.0, [996.0, 998.0, 1000.0, 1002.0, 1004.0]),
    ],
)
def test_ticks_are_round_numbers_within_the_range(
    low: float, high: float, expected: list[float]
) -> None:
    assert ticks(low, high) == pytest.approx(expected)


def test_an_empty_range_has_one_tick() -> None:
    assert ticks(2.0, 2.0) == [2.0]


@pytest.mark.parametrize(("value", "text"), [(12000, "12,000"), (0.25, "0.25"), (3.0, "3")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_a_gap_in_the_data_is_a_gap_in_the_line() -> None:
    svg = line_chart(
        [Series("a", [0, 1, 2, 3, 4], [1, 2, np.nan, 2, 1])],
        x=Axis("x"),
        y=Axis("y"),
        description="d",
    )
    assert svg.count("<polyline") == 2


def test_nothing_is_drawn_outside_the_frame() -> None:
    svg = line_chart(
        [Series("a", [0, 1, 2], [0.1, 1e9, np.inf], style="dots")],
        x=Axis("x", 0, 1),
        y=Axis("y", 0.01, 1.0, log=True),
        description="d",
    )
    root = parse(svg)
    _, _, width, height = (float(v) for v in root.attrib["viewBox"].split())
    for dot in root.iter("circle"):
        assert 0 <= float(dot.attrib["cx"]) <= width
        assert 0 <= float(dot.attrib["cy"]) <= height


def test_histogram_bars_hold_every_finite_value_once() -> None:
    values = [0.1, 0.5, 0.5, 9.0, np.nan, np.inf]
    svg = histogram(values, x=Axis("x", 0.0, 1.0), bins=4, description="d")
    counts = [int(t.text.split(": ")[1]) for t in parse(svg).iter("title") if t.text]
    assert sum(counts) == 4


def test_an_empty_histogram_is_still_a_drawing() -> None:
    assert parse(histogram([], x=Axis("x"), description="none")).tag == "svg"


def test_texts_are_escaped() -> None:
    svg = line_chart(
        [Series("a", [0, 1], [0, 1])],
        x=Axis("<b>&"),
        y=Axis("y"),
        rules=[Rule(0.5, "<script>")],
        description='"quoted" <tag>',
    )
    assert "<script>" not in svg
    assert "<b>" not in svg
    parse(svg)


def test_colours_are_left_to_the_page() -> None:
    svg = histogram([1, 2], x=Axis("x"), description="d")
    assert "#" not in svg
    assert "rgb(" not in svg


def test_a_band_lies_where_its_values_are() -> None:
    svg = line_chart(
        [Series("a", [0, 1], [0, 2])],
        x=Axis("x"),
        y=Axis("y", 0.0, 2.0),
        bands=[Band(0.95, 1.0, "budget")],
        description="d",
    )
    (band,) = (r for r in parse(svg).iter("rect") if r.attrib["class"] == "band")
    grid = [float(g.attrib["y1"]) for g in parse(svg).iter("line") if g.attrib["class"] == "grid"]
    assert float(band.attrib["y"]) in grid
    assert "budget" in svg
