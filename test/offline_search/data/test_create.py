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
    source.mkdir()
    cv2.imwrite(str(source / "skin.png"), np.full((8, 8, 3), (10, 20, 200), np.uint8))
    cv2.imwrite(str(source / "other.png"), np.zeros((8, 8, 3), np.uint8))
    (source / "thing.mtl").write_text("newmtl skin\nmap_Kd skin.png\n")
    (source / "thing.obj").write_text(
        "mtllib thing.mtl\nv 0 0 0\nv 0.1 0 0\nv 0 0.1 0\nv 0 0 0.1\n"
        "vt 0 0\nvt 1 0\nvt 0 1\nusemtl skin\n"
        "f 1/1 3/2 2/3\nf 1/1 2/2 4/3\nf 2/1 3/2 4/3\nf 3/1 1/2 4/3\n"
    )
    made = create_object(source / "thing.obj", units="m", name="thing", out=tmp_path / "objects")
    copied = {file.name for file in (tmp_path / "objects" / "thing").iterdir()}
    assert copied == {"thing.obj", "thing.mtl", "skin.png"}
    assert made.mesh.texture is not None
    assert made.mesh.texture[0, 0].tolist() == [200, 20, 10]


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
    assert facts["parts"] == {"handle": 2, "body": 3}


def test_the_command_refuses_a_file_that_holds_no_mapping(mug: Path, tmp_path: Path) -> None:
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(MeshError, match=r"list\.yaml must hold a mapping"):
        create(mug, units="mm", name="mug", out=tmp_path, views=tmp_path / "list.yaml")
