# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from numpy.testing import assert_allclose
from scipy.spatial.distance import pdist

from fpg_pose_ros.errors import MeshError
from offline_search.data.meshes import (
    UNITS,
    diameter,
    farthest_points,
    hull_points,
    read_mesh,
    surface_points,
)
from offline_search.data.objects import RenderableObject


def write_box(path: Path, side: float = 1.0) -> Path:
    trimesh.creation.box(extents=(side, side, side)).export(path)
    return path


@pytest.mark.parametrize("units", sorted(UNITS))
@pytest.mark.parametrize("suffix", ["ply", "stl", "obj", "glb", "off"])
def test_any_format_in_any_units_comes_out_in_metres(
    tmp_path: Path, units: str, suffix: str
) -> None:
    path = write_box(tmp_path / f"box.{suffix}", side=0.2 / UNITS[units])
    mesh = read_mesh(path, units)
    assert_allclose(np.ptp(mesh.vertices, axis=0), 0.2, rtol=1e-6)
    assert len(mesh.faces) == 12


def test_a_mesh_that_does_not_exist_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"nowhere\.ply does not exist"):
        read_mesh(tmp_path / "nowhere.ply", "m")


@pytest.mark.parametrize("suffix", ["ply", "stl", "glb", "xyz123"])
def test_a_file_that_is_no_mesh_is_refused_with_formats_that_work(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"noise.{suffix}"
    path.write_bytes(bytes(range(200)))
    with pytest.raises(MeshError, match=rf"noise\.{suffix} cannot be read.*PLY"):
        read_mesh(path, "m")


def test_a_mesh_without_triangles_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "points.ply"
    trimesh.PointCloud(np.eye(3)).export(path)
    with pytest.raises(MeshError, match="no triangles"):
        read_mesh(path, "m")


def test_coordinates_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    path = write_box(tmp_path / "box.obj")
    text = path.read_text().splitlines()
    first = next(i for i, line in enumerate(text) if line.startswith("v "))
    text[first] = "v nan 0 0"
    path.write_text("\n".join(text))
    with pytest.raises(MeshError, match="not finite"):
        read_mesh(path, "m")


def test_millimetres_read_as_metres_are_refused_with_the_units_to_try(tmp_path: Path) -> None:
    path = write_box(tmp_path / "box.ply", side=120.0)
    with pytest.raises(MeshError, match=r"207\.8 m across when read as m.*are its units mm\?"):
        read_mesh(path, "m")
    assert read_mesh(path, "mm").vertices.max() == pytest.approx(0.06)


def test_metres_read_as_millimetres_are_refused_with_the_units_to_try(tmp_path: Path) -> None:
    path = write_box(tmp_path / "box.ply", side=0.2)
    with pytest.raises(MeshError, match=r"when read as mm.*are its units m\?"):
        read_mesh(path, "mm")


def test_units_that_are_not_known_are_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(MeshError, match=r"'yard' are not known; say one of m, cm, mm, inch"):
        read_mesh(write_box(tmp_path / "box.ply"), "yard")


def test_a_texture_for_a_mesh_without_texture_coordinates_is_refused(tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    cv2.imwrite(str(picture), np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(MeshError, match="no texture coordinates"):
        read_mesh(write_box(tmp_path / "box.ply"), "m", texture=picture)


def test_a_texture_that_is_no_picture_is_refused(tmp_path: Path, spot: RenderableObject) -> None:
    source = Path(__file__).parents[3] / "objects" / "spot" / "spot_triangulated.obj"
    picture = tmp_path / "picture.png"
    picture.write_text("no picture")
    with pytest.raises(MeshError, match=r"picture\.png cannot be read"):
        read_mesh(source, "m", texture=picture)


def test_vertex_colours_survive(tmp_path: Path) -> None:
    box = trimesh.creation.box()
    colors = np.arange(24, dtype=np.uint8).reshape(8, 3) * 10
    box.visual.vertex_colors = np.column_stack([colors, np.full(8, 255, np.uint8)])
    box.export(tmp_path / "box.ply")
    mesh = read_mesh(tmp_path / "box.ply", "m")
    assert mesh.vertex_colors is not None
    assert mesh.texture is None
    assert set(map(tuple, mesh.vertex_colors.tolist())) == set(map(tuple, colors.tolist()))


def test_a_texture_inside_the_file_survives(tmp_path: Path, spot: RenderableObject) -> None:
    from PIL import Image

    picture = np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    box = trimesh.creation.box()
    box.visual = trimesh.visual.TextureVisuals(
        uv=np.random.default_rng(1).random((8, 2)), image=Image.fromarray(picture)
    )
    box.export(tmp_path / "box.glb")
    mesh = read_mesh(tmp_path / "box.glb", "m")
    assert mesh.uv is not None
    assert mesh.texture is not None
    assert np.array_equal(mesh.texture, picture)


def test_a_plain_material_becomes_its_colour(tmp_path: Path) -> None:
    (tmp_path / "box.mtl").write_text("newmtl red\nKd 1.0 0.0 0.0\n")
    write_box(tmp_path / "raw.obj")
    text = (tmp_path / "raw.obj").read_text()
    faces = [line for line in text.splitlines() if line.startswith("f ")]
    rest = [line for line in text.splitlines() if line.startswith("v ")]
    lines = ["mtllib box.mtl", *rest, "usemtl red", *faces]
    (tmp_path / "box.obj").write_text("\n".join(lines) + "\n")
    mesh = read_mesh(tmp_path / "box.obj", "m")
    assert mesh.vertex_colors is not None
    assert (mesh.vertex_colors == [255, 0, 0]).all()


@pytest.mark.parametrize("parts", [1, 2])
def test_the_parts_of_a_gltf_scene_keep_their_places_and_colours(
    tmp_path: Path, parts: int
) -> None:
    scene = trimesh.Scene()
    # linear light, as glTF wants it, and the same as displayed
    for place, linear in list(enumerate(([0, 119, 238], [255, 55, 0])))[:parts]:
        box = trimesh.creation.box(extents=(0.1, 0.1, 0.1))
        material = trimesh.visual.material.PBRMaterial(baseColorFactor=[*linear, 255])
        box.visual = trimesh.visual.TextureVisuals(material=material)
        scene.add_geometry(box, transform=trimesh.transformations.translation_matrix([place, 0, 0]))
    scene.export(tmp_path / "scene.glb")
    mesh = read_mesh(tmp_path / "scene.glb", "m")
    assert_allclose(mesh.vertices.max(axis=0), [parts - 0.95, 0.05, 0.05])
    displayed = [[0, 182, 247], [255, 128, 0]]
    for place in range(parts):
        there = np.abs(mesh.vertices[:, 0] - place) < 0.1
        if mesh.texture is None:
            assert mesh.vertex_colors is not None
            colors = mesh.vertex_colors[there]
        else:
            assert mesh.uv is not None
            height, width = mesh.texture.shape[:2]
            column, row = (mesh.uv[there] * [width, height]).astype(int).T
            colors = mesh.texture[height - 1 - row, column]
        assert (colors == displayed[place]).all()


def test_the_diameter_is_that_of_all_pairs(spot: RenderableObject) -> None:
    used = spot.mesh.vertices[np.unique(spot.mesh.faces)]
    assert diameter(used) == pytest.approx(float(pdist(used).max()), abs=1e-12)


def test_a_flat_mesh_has_a_diameter_too() -> None:
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    assert diameter(square) == pytest.approx(np.sqrt(2))
    assert len(hull_points(square)) == 4


def test_normals_are_smooth_on_a_ball_and_flat_on_a_box(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.1)
    ball.export(tmp_path / "ball.ply")
    mesh = read_mesh(tmp_path / "ball.ply", "m")
    outward = mesh.vertices[mesh.faces] / 0.1
    assert (mesh.normals * outward).sum(axis=2).min() > 0.999
    box = read_mesh(write_box(tmp_path / "box.ply", side=0.1), "m")
    assert_allclose(np.abs(box.normals).max(axis=2), 1.0, atol=1e-9)


def test_surface_points_lie_on_the_surface_and_are_even() -> None:
    from offline_search.data.meshes import TexturedMesh

    # two triangles, one of three times the area of the other
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [3, 0, 1], [0, 1, 1]], float)
    mesh = TexturedMesh(vertices, np.array([[0, 1, 2], [3, 4, 5]], dtype=np.int32))
    points = surface_points(mesh, 4000, seed=0)
    assert set(np.round(points[:, 2], 9).tolist()) == {0.0, 1.0}
    assert (points[:, 2] > 0.5).mean() == pytest.approx(0.75, abs=0.001)
    assert_allclose(points[points[:, 2] < 0.5].mean(axis=0), [1 / 3, 1 / 3, 0], atol=0.02)


def test_farthest_points_spread_out() -> None:
    line = np.column_stack([np.linspace(0, 1, 101), np.zeros(101), np.zeros(101)])
    chosen = farthest_points(line, 5, first=np.zeros(3))[:, 0]
    assert_allclose(chosen[:3], [0.0, 1.0, 0.5])
    assert_allclose(np.sort(chosen), [0, 0.25, 0.5, 0.75, 1.0])


def test_a_surface_of_no_area_is_refused() -> None:
    from offline_search.data.meshes import TexturedMesh

    needle = TexturedMesh(
        np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0]], float), np.array([[0, 1, 2]], dtype=np.int32)
    )
    with pytest.raises(MeshError, match="degenerate"):
        surface_points(needle, 10, seed=0)
