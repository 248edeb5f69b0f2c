# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from offline_search.report.scatter import Mark, front, scatter
from offline_search.report.svg import Axis, Rule

X, Y = Axis("MMACs", 1.0, 100.0, log=True), Axis("score", 0.0, 1.0)


def draw(marks: list[Mark], **more: object) -> ET.Element:
    return ET.fromstring(scatter(marks, x=X, y=Y, description="d", **more))  # type: ignore[arg-type]


def test_the_front_is_what_nothing_beats_in_both() -> None:
    points = [(3.0, 0.5), (1.0, 0.2), (2.0, 0.6), (4.0, 0.55), (1.0, 0.3), (5.0, 0.9)]
    assert front(points) == [(1.0, 0.3), (2.0, 0.6), (5.0, 0.9)]


def test_every_mark_has_its_values_in_a_tooltip() -> None:
    root = draw([Mark(2.0, 0.5, "two"), Mark(9.0, 0.7, "nine", shape="star")])
    assert [title.text for title in root.iter("title")] == ["two", "nine"]


def test_a_mark_without_a_score_is_left_out() -> None:
    assert not list(draw([Mark(2.0, float("nan"), "two")]).iter("circle"))


def test_labels_of_marks_at_one_place_do_not_cover_each_other() -> None:
    root = draw([Mark(10.0, 0.5, "t", f"method number {i}") for i in range(5)])
    places = [
        (float(e.attrib["x"]), float(e.attrib["y"]), e.attrib["class"])
        for e in root.iter("text")
        if (e.text or "").startswith("method")
    ]
    for i, (x, y, style) in enumerate(places):
        for other_x, other_y, other in places[i + 1 :]:
            assert style != other or abs(x - other_x) > 50 or abs(y - other_y) >= 13


def test_labels_stay_within_the_drawing() -> None:
    root = draw([Mark(x, 0.5, "t", "a rather long label") for x in (1.0, 100.0)])
    for e in root.iter("text"):
        if (e.text or "").startswith("a rather"):
            length = 6.0 * len(e.text or "")
            left = float(e.attrib["x"]) - length * ("end" in e.attrib["class"])
            assert left > 0
            assert left + length < 570


@pytest.mark.parametrize("high", [1.5, 5.0, 1000.0])
def test_a_logarithmic_axis_has_ticks_however_short_it_is(high: float) -> None:
    svg = scatter([], x=Axis("x", 1.1, high, log=True), y=Y, description="d")
    below = [e for e in ET.fromstring(svg).iter("text") if e.attrib["class"] == "tick mid"]
    assert len(below) >= 3


def test_rules_and_steps_are_drawn() -> None:
    root = draw(
        [Mark(2.0, 0.5, "two")], rules=[Rule(30.0, "budget")], steps=[(1.0, 0.2), (2.0, 0.5)]
    )
    assert [e for e in root.iter("line") if e.attrib["class"] == "rule"]
    (steps,) = (e for e in root.iter("polyline") if e.attrib["class"] == "front")
    assert len(steps.attrib["points"].split()) == 4
