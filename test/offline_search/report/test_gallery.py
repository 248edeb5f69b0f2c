# SPDX-License-Identifier: Apache-2.0
"""The page of the worst and the median cases."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera, Symmetries, exp_so3, make_transform
from fpg_pose_ros.objects import Mesh, ObjectModel
from offline_search.metrics.causes import Cause
from offline_search.metrics.scores import ObjectGeometry
from offline_search.report.case import Case, cases_of, viewpoint
from offline_search.report.case_choice import median, worst
from offline_search.report.case_picture import SIZE, draw_case, window
from offline_search.report.gallery import caption, write_gallery
from offline_search.report.pictures import as_estimate
from offline_search.report.recall_chart import recall_chart, shares

CAMERA = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600.0, 240], [0, 0, 1]]))
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]) * 0.05
BOX = ObjectGeometry(CORNERS * [1, 0.7, 0.4], np.eye(4)[None], 0.13)
UP = np.array([0.0, 0, 1])
GREY = np.full((480, 640, 3), 128, np.uint8)


def _model() -> ObjectModel:
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = np.array([face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))])
    mesh = Mesh(BOX.points, faces, np.zeros((8, 3), np.uint8))
    return ObjectModel("box", 0.13, BOX.points, {"all": tuple(range(8))}, Symmetries(), mesh)


MODEL = _model()


def _pose(turn: float = 0.0, x: float = 0.0, z: float = 0.7) -> Array:
    return make_transform(exp_so3([0.5, turn, 0.2]), [x, 0, z])


def _said(T: Array) -> PoseEstimate:
    return as_estimate(T, CAMERA, MODEL, 0.8)


def _case(truth: Array, estimate: Array | None, visible: float = 1.0, label: str = "a") -> Case:
    found = [] if estimate is None else [_said(estimate)]
    seen = np.array([visible])
    (case,) = cases_of(
        label, CAMERA, lambda: GREY, found, truth[None], seen, BOX, name="box", up=UP
    )
    return case


def test_a_viewpoint_is_where_the_camera_stands_about_the_object() -> None:
    above = make_transform(np.diag([1.0, -1, -1]), [0, 0, 2])  # looks down along -z
    assert viewpoint(above, UP).elevation_deg == pytest.approx(90)
    assert viewpoint(above, UP).distance_m == pytest.approx(2)
    # The camera is moved about the object's z: the azimuth follows, the elevation does not.
    level = make_transform(np.array([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]]), [0, 0, 1.5])
    turn = make_transform(exp_so3([0, 0, np.radians(30)]), np.zeros(3))
    one, other = viewpoint(level, UP), viewpoint(level @ turn, UP)
    assert one.elevation_deg == pytest.approx(0, abs=1e-6)
    assert other.elevation_deg == pytest.approx(0, abs=1e-6)
    assert abs(other.azimuth_deg - one.azimuth_deg) == pytest.approx(30)


def test_each_instance_is_one_case_with_the_estimate_that_is_nearest() -> None:
    truth = np.stack([_pose(), _pose(x=0.2), _pose(x=-0.2)])
    found = [_said(_pose(x=0.201)), _said(_pose(z=0.72))]
    visible = np.array([1.0, 0.8, 0.3])
    cases = cases_of("i", CAMERA, lambda: GREY, found, truth, visible, BOX, name="box", up=UP)
    assert [case.estimate for case in cases] == [found[1], found[0], None]
    assert [case.cause for case in cases] == [Cause.DISTANCE, Cause.RIGHT, Cause.OCCLUDED]
    assert cases[0].along_mm == pytest.approx(20)
    assert np.isinf(cases[2].add_d)


def test_the_worst_are_of_each_cause_and_none_like_another() -> None:
    far = [_case(_pose(), _pose(z=0.7 + 0.02 * k), label=str(k)) for k in range(1, 5)]
    turned = [_case(_pose(turn=0.5 * k), _pose(turn=0.5 * k + 1.2)) for k in range(3)]
    missed = [_case(_pose(turn=k), None) for k in range(2)]
    right = [_case(_pose(turn=0.4 * k), _pose(turn=0.4 * k)) for k in range(9)]
    chosen = worst([*far, *turned, *missed, *right], count=5)
    assert [case.cause for case in chosen] == [
        Cause.NOT_LOCATED,
        Cause.NOT_LOCATED,
        Cause.ROTATION,
        Cause.ROTATION,
        Cause.DISTANCE,
    ]
    # All of `far` show the same view: the furthest stands for them.
    assert chosen[-1].label == "4"
    assert worst(right) == []


def test_the_median_cases_lie_about_the_median() -> None:
    cases = [_case(_pose(turn=0.4 * k), _pose(turn=0.4 * k, z=0.7 + 0.005 * k)) for k in range(9)]
    assert median(cases, 3) == cases[3:6]
    assert median(cases[:2], 6) == cases[:2]


def test_a_picture_holds_both_poses_where_they_are() -> None:
    case = _case(_pose(), _pose(x=0.1))
    picture = draw_case(case, MODEL)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    white = (picture > 240).all(axis=2)
    yellow = (picture[..., 0] > 220) & (picture[..., 1] > 200) & (picture[..., 2] < 120)
    assert white.sum() > 100
    assert yellow.sum() > 100
    assert np.nonzero(yellow)[1].mean() > np.nonzero(white)[1].mean()


def test_a_pose_behind_the_camera_is_left_out_of_the_picture() -> None:
    picture = draw_case(_case(_pose(), _pose(z=-0.5)), MODEL)
    assert (picture > 240).all(axis=2).any()


@pytest.mark.parametrize("size", [(640, 480), (1920, 1200), (480, 640)])
def test_a_window_has_the_pictures_shape_and_holds_the_points(size: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        points = rng.uniform(0, 0.4 * min(size), (5, 2)) + rng.uniform(0, 0.5 * min(size), 2)
        x0, y0, x1, y1 = window([points, np.full((1, 2), np.nan)], size)
        assert 0 <= x0 < x1 <= size[0]
        assert 0 <= y0 < y1 <= size[1]
        assert (x1 - x0) / (y1 - y0) == pytest.approx(4 / 3, abs=0.03)
        inside = (points >= [x0, y0]) & (points <= [x1, y1])
        assert inside.all() or min(x1 - x0, size[0]) == size[0] or size[0] < size[1]


def test_shares_count_every_case_once() -> None:
    found = shares([-1.0, 0.0, 0.5, 0.99, 1.0, 7.0], [1, 1, 0, 1, 0, 1], 0.0, 1.0)
    assert sum(share.count for share in found) == 6
    assert (found[0].right, found[0].count) == (2, 2)
    assert (found[-1].right, found[-1].count) == (2, 3)
    drawing = recall_chart(found, "x", "of a test")
    assert drawing.count('class="bar') == sum(share.count > 0 for share in found)


def test_the_page_needs_nothing_beside_it(tmp_path: Path) -> None:
    cases = [
        _case(_pose(), _pose(), 0.9, "image <1>"),
        _case(_pose(turn=1), None, 0.2),
        _case(_pose(turn=2), _pose(turn=2, z=1.0), float("nan")),
    ]
    path = write_gallery(tmp_path / "g", cases, [MODEL], lead="of a test", footer="a footer")
    page = path.read_text()
    assert path.name == "index.html"
    assert "box: 1 of 3 poses right" in page
    assert "image &lt;1&gt;" in page
    for word in ("occluded", "wrong distance", "Elevation", "Visibility"):
        assert word in page
    assert all(
        uri.startswith(("data:", "#")) for uri in re.findall(r'(?:src|href)="([^"]*)"', page)
    )
    assert "no pose; 20% in sight" in caption(cases[1])


def test_without_any_known_visibility_there_is_no_chart_of_it(tmp_path: Path) -> None:
    path = write_gallery(
        tmp_path, [_case(_pose(), _pose(), float("nan"))], [MODEL], lead="", footer=""
    )
    assert "Visibility" not in path.read_text()
    assert "There are none." in path.read_text()
