# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest

from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.geometry import Symmetries
from fpg_pose_ros.objects import MAX_FACES, MAX_KEYPOINTS, MAX_VERTICES, Mesh, ObjectModel

VERTICES = np.array([[0.0, 0, 0], [0.1, 0, 0], [0, 0.2, 0], [0, 0, 0.3]])
FACES = np.array([[0, 1, 2], [0, 1, 3]])
COLORS = np.zeros((4, 3), np.uint8)


def model(**change):
    values = {
        "name": "wedge",
        "diameter": 0.36,
        "keypoints": VERTICES,
        "parts": {"base": (0, 1)},
        "symmetries": Symmetries(),
        "mesh": Mesh(VERTICES, FACES, COLORS),
    }
    return ObjectModel(**{**values, **change})


def test_json_goes_there_and_back():
    data = json.loads(json.dumps(model().to_json()))
    again = ObjectModel.from_json(data, model().mesh)
    assert again.to_json() == model().to_json()
    np.testing.assert_array_equal(again.keypoints, VERTICES)
    assert again.parts == {"base": (0, 1)}


def test_bounds_are_those_of_the_mesh():
    np.testing.assert_array_equal(model().bounds_min, [0, 0, 0])
    np.testing.assert_array_equal(model().bounds_max, [0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("vertices", "faces", "colors", "message"),
    [
        (np.zeros((0, 3)), FACES, COLORS, "vertices"),
        (VERTICES, np.zeros((0, 3), int), COLORS, "faces"),
        (VERTICES, np.zeros((MAX_FACES + 1, 3), int), COLORS, "faces"),
        (np.zeros((MAX_VERTICES + 1, 3)), FACES, COLORS, "vertices"),
        (VERTICES * np.nan, FACES, COLORS, "finite"),
        (VERTICES + 51.0, FACES, COLORS, "origin"),
        (VERTICES, FACES + 2, COLORS, "0..3"),
        (VERTICES, FACES - 1, COLORS, "0..3"),
        (VERTICES, FACES, COLORS[:3], "colors"),
    ],
)
def test_an_unusable_mesh_is_refused_saying_why(vertices, faces, colors, message):
    with pytest.raises(MeshError, match=message):
        Mesh(vertices, faces, colors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name"),
        ({"name": "two\nlines"}, "name"),
        ({"name": "up/../there"}, "slashes"),
        ({"diameter": 360.0}, "mm"),
        ({"diameter": float("nan")}, "diameter"),
        ({"keypoints": VERTICES[:3]}, "keypoints"),
        ({"keypoints": np.zeros((MAX_KEYPOINTS + 1, 3))}, "keypoints"),
        ({"keypoints": np.full((4, 3), np.inf)}, "finite"),
        ({"keypoints": np.full((4, 3), 51.0)}, "origin"),
        ({"symmetries": Symmetries(discrete=(np.eye(4),) * 65)}, "65 discrete"),
        ({"symmetries": Symmetries(continuous=((np.ones(3), np.zeros(3)),) * 4)}, "4 continuous"),
        ({"parts": {"base": (4,)}}, "base"),
        ({"parts": {"base": ()}}, "base"),
    ],
)
def test_an_unusable_object_is_refused_naming_the_field(change, message):
    with pytest.raises(MeshError, match=message):
        model(**change)


def test_a_missing_field_is_named():
    data = model().to_json()
    del data["diameter"]
    with pytest.raises(MeshError, match=r"wedge.*diameter.*missing"):
        ObjectModel.from_json(data, model().mesh)


def test_with_fewer_keypoints_an_object_is_the_same_but_for_those_and_their_parts():
    more = np.vstack([VERTICES, VERTICES[1:3] / 2])
    whole = model(keypoints=more, parts={"base": (0, 1), "mixed": (5, 3), "far": (4, 5)})
    fewer = whole.first_keypoints(5)
    np.testing.assert_array_equal(fewer.keypoints, more[:5])
    assert fewer.parts == {"base": (0, 1), "mixed": (3,), "far": (4,)}
    assert whole.first_keypoints(4).parts == {"base": (0, 1), "mixed": (3,)}
    assert (fewer.name, fewer.diameter, fewer.mesh) == (whole.name, whole.diameter, whole.mesh)
    assert whole.first_keypoints(6) is whole
    for count in (3, 7):
        with pytest.raises(MeshError, match=rf"wedge: {count} keypoints .* 4 to 6"):
            whole.first_keypoints(count)
