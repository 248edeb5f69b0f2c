# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import MeshError
from offline_search.data.create import cluster_parts, create_object
from offline_search.data.objects import load_object
from offline_search.object import create, describe


@pytest.fixture
def mug(tmp_path: Path) -> Path:
    """A cylinder with a handle, in millimetres."""
    body = trimesh.creation.cylinder(radius=40.0, height=90.0)
    handle = trimesh.creation.torus(25.0, 5.0)
    handle.apply_translation([50.0, 0.0, 0.0])
    path = tmp_path / "mug.stl"
    trimesh.util.concatenate([body, handle]).export(path)
    return path


def test_an_object_is_made_from_a_mesh_in_millimetres(mug: Path, tmp_path: Path) -> None:
    made = create_object(mug, units="mm", name="mug", out=tmp_path / "objects")
    assert made.model.name == "mug"
    assert 0.12 < made.model.diameter < 0.16
    assert made.model.keypoints.shape == (16, 3)
    assert list(made.model.parts) == ["part_0", "part_1", "part_2", "part_3"]
    again = load_object(tmp_path / "objects" / "mug.yaml")
    assert_allclose(again.model.keypoints, made.model.keypoints)
    # it stands on its own: the mesh it was made from may go
    mug.unlink()
    assert load_object(tmp_path / "objects" / "mug.yaml").digest == made.digest


def test_making_an_object_twice_gives_the_same(mug: Path, tmp_path: Path) -> None:
    first = create_object(mug, units="mm", name="mug", out=tmp_path / "a")
    second = create_object(mug, units="mm", name="mug", out=tmp_path / "b")
    assert (tmp_path / "a/mug.yaml").read_bytes() == (tmp_path / "b/mug.yaml").read_bytes()
    assert first.digest == second.digest


def test_keypoints_are_far_apart(mug: Path, tmp_path: Path) -> None:
    model = create_object(mug, units="mm", name="mug", out=tmp_path / "objects").model
    apart = np.linalg.norm(model.keypoints[:, None] - model.keypoints[None], axis=2)
    assert apart[~np.eye(16, dtype=bool)].min() > 0.1 * model.diameter


def test_material_and_texture_beside_a_mesh_come_along(tmp_path: Path) -> None:
    source = tmp_path / "source"
    mesh = write_thing(source, "skin.png")
    cv2.imwrite(str(source / "other.png"), np.zeros((8, 8, 3), np.uint8))
    made = create_object(mesh, units="m", name="thing", out=tmp_path / "objects")
    copied = {file.name for file in (tmp_path / "objects" / "thing").iterdir()}
    assert copied == {"thing.obj", "thing.mtl", "skin.png"}
    assert made.mesh.texture is not None
    assert made.mesh.texture[0, 0].tolist() == [200, 20, 10]


def write_thing(source: Path, picture: str) -> Path:
    """Writes an OBJ into `source` whose material names a picture."""
    source.mkdir()
    (source / "thing.mtl").write_text(f"newmtl skin\nmap_Kd {picture}\n")
    (source / "thing.obj").write_text(
        "mtllib thing.mtl\nv 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\n"
        "vt 0 0\nvt 1 0\nvt 0 1\nusemtl skin\n"
        "f 1/1 3/2 2/3\nf 1/1 2/2 4/3\nf 2/1 3/2 4/3\nf 3/1 1/2 4/3\n"
    )
    target = source / picture
    target.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(target), np.full((8, 8, 3), (10, 20, 200), np.uint8))
    return source / "thing.obj"


def test_a_texture_in_a_folder_below_comes_along(tmp_path: Path) -> None:
    mesh = write_thing(tmp_path / "source", "textures/skin.png")
    made = create_object(mesh, units="m", name="thing", out=tmp_path / "objects")
    assert (tmp_path / "objects" / "thing" / "textures" / "skin.png").is_file()
    assert made.mesh.texture is not None
    assert made.mesh.texture[0, 0].tolist() == [200, 20, 10]
    assert json.loads(describe(made))["look"] == "texture of 8 x 8 px"


def test_a_size_makes_units_needless(mug: Path, tmp_path: Path) -> None:
    made = create_object(mug, size=0.25, name="mug", out=tmp_path / "objects")
    assert made.model.diameter == pytest.approx(0.25, abs=1e-6)
    assert np.abs(made.model.keypoints).max() < 0.25


def test_the_command_wants_either_units_or_a_size(mug: Path, tmp_path: Path) -> None:
    for given in ({}, {"units": "mm", "size": 0.1}, {"size": 0.1, "scale": 2.0}):
        with pytest.raises(MeshError, match=r"Give the --units .* or.* --diameter"):
            create(mug, name="mug", out=tmp_path / "objects", **given)  # type: ignore[arg-type]


def test_parts_are_neighbours() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]], dtype=float)
    points = np.concatenate([centre + 0.05 * rng.normal(size=(4, 3)) for centre in centres])
    parts = cluster_parts(points, 3)
    assert sorted(parts.values()) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "no/slash"}, "object name"),
        ({"name": ""}, "object name"),
        ({"keypoints": 3}, "3 keypoints: use 4 to 64"),
        ({"parts": 99}, "99 parts of 16 keypoints"),
        ({"units": "m"}, "are its units mm"),
        ({"size": 0.0}, "diameter 0 m: objects of 0.002 to 50 m"),
        ({"symmetries": {"discrete": [[1.0]]}}, r"symmetries\.discrete\[0\]"),
        ({"views": {"elevation_deg": [1]}}, r"views\.elevation_deg"),
    ],
)
def test_a_bad_argument_is_refused_and_leaves_nothing_behind(
    mug: Path, tmp_path: Path, change: dict[str, object], message: str
) -> None:
    arguments = {"units": "mm", "name": "mug", "out": tmp_path / "objects", **change}
    with pytest.raises(MeshError, match=message):
        create_object(mug, **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "objects").exists()


def test_the_command_reads_symmetries_parts_and_views_from_files(mug: Path, tmp_path: Path) -> None:
    symmetries = tmp_path / "symmetries.json"
    symmetries.write_text(json.dumps({"continuous": [{"axis": [0, 0, 1], "offset": [0, 0, 0]}]}))
    parts = tmp_path / "parts.yaml"
    parts.write_text("handle: [0, 1]\nbody: [2, 3, 4]\n")
    views = tmp_path / "views.yaml"
    views.write_text("elevation_deg: [0, 80]\n")
    made = create(
        mug,
        units="mm",
        name="mug",
        out=tmp_path / "objects",
        symmetries=symmetries,
        parts=str(parts),
        views=views,
    )
    assert made.model.parts == {"handle": (0, 1), "body": (2, 3, 4)}
    assert len(made.model.symmetries.continuous) == 1
    assert made.views.elevation_deg == (0.0, 80.0)
    facts = json.loads(describe(made))
    assert facts["symmetric"] is True
    assert facts["look"] == "none: it is guessed"
    assert facts["parts"] == {"handle": 2, "body": 3}


def test_the_command_refuses_a_file_that_holds_no_mapping(mug: Path, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(MeshError, match=r"list\.yaml must hold a mapping"):
        create(mug, units="mm", name="mug", out=tmp_path, views=tmp_path / "list.yaml")
