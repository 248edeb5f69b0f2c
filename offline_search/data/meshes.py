# SPDX-License-Identifier: Apache-2.0
"""Meshes with their look, read from whatever file trimesh reads, and measures of their shape.

Everything returned is in metres; files may be in other units and say so to `read_mesh`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import trimesh
from numpy.typing import NDArray
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist

from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.objects import MAX_DIAMETER_M
from offline_search.data.mesh_look import look_of

Array = NDArray[np.float64]

UNITS: Final[dict[str, float]] = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "inch": 25.4e-3}
# Smaller than this nothing can be seen of an object at arm's length by an ordinary camera.
MIN_DIAMETER_M: Final = 2e-3
# A face that leans further than this from its vertex's mean normal is shaded flat.
_CREASE_COSINE: Final = float(np.cos(np.radians(40.0)))


@dataclass(frozen=True, eq=False)
class TexturedMesh:
    """A triangle mesh with its look, ready to be rendered.

    Attributes:
        vertices: (V, 3) float64, m.
        faces: (F, 3) int32 vertex indices.
        uv: (V, 2) texture coordinates, v upwards, or None.
        texture: (h, w, 3) uint8 RGB, or None; used where `uv` is given.
        vertex_colors: (V, 3) uint8 RGB, or None; grey where neither colours nor texture are.
        normals: (F, 3, 3) float64 unit normals of each face's corners; smooth but for creases.
        openness: (V,) float32 share of what is above each vertex that the mesh itself does not
            hide, or None: all of it.
    """

    vertices: Array
    faces: NDArray[np.int32]
    uv: Array | None = None
    texture: NDArray[np.uint8] | None = None
    vertex_colors: NDArray[np.uint8] | None = None
    normals: Array = field(default_factory=lambda: np.zeros((0, 3, 3)))
    openness: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        """Computes the normals where none are given."""
        if len(self.normals) != len(self.faces):
            object.__setattr__(self, "normals", corner_normals(self.vertices, self.faces))


def corner_normals(vertices: Array, faces: NDArray[np.int32]) -> Array:
    """Returns (F, 3, 3) unit normals of each face's corners.

    Vertices that coincide (texture seams) share one normal, the mean over their faces weighted by
    the angle there; corners of faces that lean far from it keep their face's own.
    """
    triangles = vertices[faces]
    edges = _unit(np.roll(triangles, -1, axis=1) - triangles)
    across = np.cross(edges[:, 0], edges[:, 1])
    flat = _unit(np.asarray(across, dtype=np.float64))[:, None]
    cosines = -(edges * np.roll(edges, 1, axis=1)).sum(axis=2)
    angles = np.arccos(np.clip(cosines, -1.0, 1.0))
    extent = max(float(np.ptp(vertices, axis=0).max()), 1e-12)
    keys = np.round(vertices / extent * 1e6).astype(np.int64)
    _, shared = np.unique(keys, axis=0, return_inverse=True)
    shared = shared.reshape(-1)[faces]
    total = np.zeros((int(shared.max()) + 1, 3))
    np.add.at(total, shared, flat * angles[..., None])
    smooth = _unit(total)[shared]
    crease = (smooth * flat).sum(axis=2) < _CREASE_COSINE
    return np.where(crease[..., None], flat, smooth)


def _unit(vectors: Array) -> Array:
    """Returns rows of length one; a null row becomes +z, as a needle triangle has no normal."""
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    units = np.where(norms > 1e-30, vectors / np.maximum(norms, 1e-30), [0.0, 0.0, 1.0])
    return np.asarray(units, dtype=np.float64)


def read_mesh(
    path: Path, units: str, *, scale: float = 1.0, texture: Path | None = None
) -> TexturedMesh:
    """Reads any mesh file that trimesh knows.

    Args:
        path: the mesh; a scene is joined into one mesh.
        units: of the file's coordinates: m, cm, mm or inch.
        scale: further factor on the coordinates.
        texture: picture for meshes with texture coordinates whose file names none.

    Returns:
        The mesh in metres.

    Raises:
        MeshError: unreadable, empty, not finite, or of a size no object has in these units.
    """
    if units not in UNITS:
        raise MeshError(f"units {units!r} are not known; say one of {', '.join(UNITS)}")
    loaded = _load(path)
    factor = UNITS[units] * scale
    vertices = np.asarray(loaded.vertices, dtype=np.float64) * factor
    faces = np.asarray(loaded.faces, dtype=np.int32)
    used = vertices[np.unique(faces)]
    if not np.isfinite(used).all():
        raise MeshError(
            f"mesh {path} holds coordinates that are not finite; repair and export it again"
        )
    check_size(str(path), diameter(used), units)
    uv, picture, colors = look_of(loaded)
    if texture is not None:
        picture = read_picture(texture)
        if uv is None:
            raise MeshError(
                f"mesh {path} has no texture coordinates for texture {texture}; leave it out"
            )
    return TexturedMesh(vertices, faces, uv, picture, colors)


def scale_to(path: Path, size: float) -> float:
    """Returns the `scale` that makes a mesh, read as metres, `size` (m) in diameter.

    Raises:
        MeshError: the mesh is unreadable or empty, or nothing can have that size.
    """
    if not MIN_DIAMETER_M <= size <= MAX_DIAMETER_M:
        raise MeshError(
            f"diameter {size:g} m: objects of {MIN_DIAMETER_M:g} to {MAX_DIAMETER_M:g} m are meant"
        )
    loaded = _load(path)
    across = diameter(np.asarray(loaded.vertices, dtype=np.float64)[np.unique(loaded.faces)])
    return float(f"{size / across:.9g}") if across > 0 else 1.0


def _load(path: Path) -> trimesh.Trimesh:
    """What trimesh makes of a file, in its own units."""
    if not path.is_file():
        raise MeshError(f"mesh {path} does not exist; give the path of a mesh file")
    try:
        loaded = trimesh.load(path, process=False, force="mesh")
    except Exception as error:  # trimesh raises whatever its many parsers happen to raise
        raise MeshError(
            f"mesh {path} cannot be read ({_first_line(error)}); "
            "export it as OBJ, PLY, STL or GLB and try again"
        ) from error
    if not isinstance(loaded, trimesh.Trimesh) or len(loaded.faces) == 0:
        raise MeshError(f"mesh {path} holds no triangles; export the surface, not points or curves")
    return loaded


def check_size(what: str, size: float, units: str) -> None:
    """Refuses sizes that betray wrong units.

    Raises:
        MeshError: `size` (m) is not that of anything a camera at arm's length sees.
    """
    if not MIN_DIAMETER_M <= size <= MAX_DIAMETER_M:
        other = "mm" if size > MAX_DIAMETER_M else "m"
        raise MeshError(
            f"mesh {what} is {size:.4g} m across when read as {units}; objects of "
            f"{MIN_DIAMETER_M:g} to {MAX_DIAMETER_M:g} m are meant: are its units {other}?"
        )


def read_picture(path: Path) -> NDArray[np.uint8]:
    """Returns a picture file as (h, w, 3) uint8 RGB.

    Raises:
        MeshError: it cannot be read.
    """
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise MeshError(f"texture {path} cannot be read; give a PNG or JPEG picture")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return text[0][:160] if text else type(error).__name__


def hull_points(vertices: Array) -> Array:
    """Returns the (H, 3) vertices of the convex hull: whatever bounds them bounds the mesh."""
    try:
        return np.asarray(vertices[ConvexHull(vertices).vertices], dtype=np.float64)
    except (QhullError, ValueError):  # flat or with too few vertices: all of them
        return np.unique(vertices, axis=0)


def diameter(vertices: Array) -> float:
    """Returns the largest distance between two vertices, exactly."""
    points = hull_points(vertices)
    if len(points) > 4000:  # only degenerate hulls: bound memory, lose nothing that matters
        points = points[np.linspace(0, len(points) - 1, 4000).astype(int)]
    return float(pdist(points).max()) if len(points) > 1 else 0.0


def surface_points(mesh: TexturedMesh, count: int, seed: int) -> Array:
    """Returns (count, 3) points drawn evenly from the surface."""
    rng = np.random.default_rng(seed)
    triangles = mesh.vertices[mesh.faces]
    areas = np.linalg.norm(
        np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]), axis=1
    )
    if not areas.sum() > 0:
        raise MeshError("the mesh has no surface: all of its triangles are degenerate; repair it")
    # stratified along the cumulated area, hence even
    where = (np.arange(count) + rng.random(count)) / count * areas.sum()
    chosen = np.minimum(np.searchsorted(np.cumsum(areas), where), len(areas) - 1)
    a, b = np.sqrt(rng.random(count)), rng.random(count)
    weights = np.stack([1 - a, a * (1 - b), a * b], axis=1)
    return np.asarray((triangles[chosen] * weights[:, :, None]).sum(axis=1), dtype=np.float64)


def farthest_points(points: Array, count: int, first: Array | None = None) -> Array:
    """Returns `count` of the points (N, 3), each the farthest from those before it.

    The first is the nearest to `first` (3,), or else the farthest from the mean.
    """
    origin = points.mean(axis=0) if first is None else np.asarray(first, dtype=np.float64)
    squared = ((points - origin) ** 2).sum(axis=1)
    chosen = [int(squared.argmax() if first is None else squared.argmin())]
    nearest = ((points - points[chosen[0]]) ** 2).sum(axis=1)
    for _ in range(count - 1):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
    return np.asarray(points[chosen], dtype=np.float64)
