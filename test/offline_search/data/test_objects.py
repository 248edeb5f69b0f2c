# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
import yaml
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import MeshError
from offline_search.data.meshes import surface_points
from offline_search.data.objects import RenderableObject, Views, load_object, save_object


def entries(**changes: Any) -> dict[str, Any]:
    return {
        "name": "box",
        "mesh": "box.ply",
        "units": "m",
        "keypoints": np.array(trimesh.creation.box((0.1, 0.2, 0.3)).vertices).tolist(),
        **changes,
    }


def write(folder: Path, data: dict[str, Any]) -> Path:
    trimesh.creation.box((0.1, 0.2, 0.3)).export(folder / "box.ply")
    save_object(folder / "box.yaml", data)
    return folder / "box.yaml"


def test_spot_is_a_figurine_of_a_quarter_metre_with_named_parts(spot: RenderableObject) -> None:
    assert spot.model.name == "spot"
    assert spot.model.diameter == pytest.approx(0.25, abs=1e-6)
    assert spot.model.keypoints.shape == (16, 3)
    assert list(spot.model.parts) == ["head", "body", "front legs", "rear legs", "tail"]
    assert sorted(i for part in spot.model.parts.values() for i in part) == list(range(16))
    assert spot.mesh.texture is not None


def test_an_object_is_seen_from_anywhere_at_arms_length_unless_its_file_says_otherwise(
    tmp_path: Path,
) -> None:
    thing = load_object(write(tmp_path, entries()))
    assert thing.views.elevation_deg is None
    assert thing.views.roll_deg is None
    size = thing.model.diameter
    assert thing.views.distance_m == pytest.approx((1.8 * size, 4.8 * size))


def test_spots_keypoints_lie_on_its_surface(spot: RenderableObject) -> None:
    surface = surface_points(spot.mesh, 200_000, seed=1)
    for keypoint in spot.model.keypoints:
        assert np.linalg.norm(surface - keypoint, axis=1).min() < 1e-3


def test_a_name_that_is_not_known_is_refused_with_those_that_are() -> None:
    with pytest.raises(MeshError, match=r"object nix is not known; built-in are .*spot"):
        load_object("nix")


def test_objects_of_ones_own_are_found_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, entries())
    monkeypatch.setenv("FPG_POSE_OBJECTS", str(tmp_path))
    assert load_object("box").model.name == "box"


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    path = write(
        tmp_path,
        entries(
            diameter=0.374166,
            parts={"top": [0, 1], "rest": [2, 3, 4, 5, 6, 7]},
            symmetries={
                "discrete": [turn.ravel().tolist()],
                "continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0.1]}],
            },
            views={"elevation_deg": [0, 60], "up": [0, 1, 0]},
        ),
    )
    thing = load_object(path)
    assert thing.model.diameter == pytest.approx(np.sqrt(0.01 + 0.04 + 0.09))
    assert thing.model.parts == {"top": (0, 1), "rest": (2, 3, 4, 5, 6, 7)}
    assert_allclose(thing.model.symmetries.discrete[0], turn)
    assert_allclose(thing.model.symmetries.continuous[0][1], [0, 0, 0.1])
    assert thing.views.elevation_deg == (0.0, 60.0)
    assert thing.views.up == (0.0, 1.0, 0.0)
    again = Views.from_json(thing.views.to_json(), thing.model.diameter)
    assert again == thing.views


def test_numbers_in_an_object_file_stand_in_rows(tmp_path: Path) -> None:
    text = write(tmp_path, entries()).read_text()
    assert text.startswith("# SPDX-License-Identifier: Apache-2.0\n")
    assert "- [" in text
    assert yaml.safe_load(text) == entries()


@pytest.mark.parametrize("missing", ["name", "mesh", "units", "keypoints"])
def test_a_missing_entry_is_named(tmp_path: Path, missing: str) -> None:
    data = entries()
    del data[missing]
    with pytest.raises(MeshError, match=f"lacks the entry {missing}"):
        load_object(write(tmp_path, data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown entry colour"),
        ({"diameter": 0.5}, r"says diameter 0\.5 m, its mesh measures 0\.3742 m"),
        ({"units": "km"}, "'km' are not known"),
        ({"keypoints": [[0, 0, 0]]}, "keypoints have shape"),
        ({"keypoints": "many"}, "could not convert"),
        ({"parts": {"top": [99]}}, "part top"),
        ({"symmetries": {"discrete": [[1, 2, 3]]}}, r"symmetries\.discrete\[0\]"),
        ({"views": {"elevation_deg": [50, 10]}}, r"views\.elevation_deg must be"),
        ({"views": {"distance_m": [0.01, 1]}}, r"views\.distance_m must be"),
        ({"views": {"up": [0, 0, 0]}}, r"views\.up must be"),
        ({"views": {"tilt": [0, 1]}}, r"views\.tilt is not known"),
        ({"scale": "big"}, "could not convert"),
    ],
)
def test_an_entry_that_cannot_be_used_is_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(MeshError, match=message):
        load_object(write(tmp_path, entries(**changes)))


@pytest.mark.parametrize("text", ["[1, 2", "just words", "- a\n- list"])
def test_a_file_that_is_no_object_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(MeshError, match=r"broken\.yaml"):
        load_object(path)


def test_the_digest_follows_shape_and_look_alone(tmp_path: Path) -> None:
    plain = load_object(write(tmp_path, entries()))
    again = load_object(write(tmp_path, entries(parts={"all": [0, 1, 2, 3]})))
    assert plain.digest == again.digest
    scaled = load_object(write(tmp_path, entries(scale=1.01)))
    assert plain.digest != scaled.digest
    seen = load_object(write(tmp_path, entries(views={"elevation_deg": [0, 90]})))
    assert plain.digest != seen.digest
