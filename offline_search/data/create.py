# SPDX-License-Identifier: Apache-2.0
"""Making an object file from a mesh: metres, diameter, keypoints, parts."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from scipy.cluster.vq import kmeans2

from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.geometry import Symmetries
from offline_search.data.meshes import (
    Array,
    diameter,
    farthest_points,
    read_mesh,
    scale_to,
    surface_points,
)
from offline_search.data.objects import RenderableObject, Views, load_object, save_object

_SURFACE_POINTS = 20_000
_COMPANIONS = (".mtl", ".png", ".jpg", ".jpeg", ".bin")
_SUFFIX = re.compile(rb"\.(?:png|jpe?g|bin)", re.IGNORECASE)
_LONGEST_NAME = 256


def create_object(
    mesh: Path,
    *,
    name: str,
    out: Path,
    units: str = "m",
    scale: float = 1.0,
    size: float | None = None,
    texture: Path | None = None,
    symmetries: Mapping[str, Any] | None = None,
    parts: Mapping[str, Sequence[int]] | int = 4,
    views: Mapping[str, Any] | None = None,
    keypoints: int = 16,
) -> RenderableObject:
    """Makes `out/name.yaml` and a copy of the mesh in `out/name/`.

    Args:
        mesh: any mesh that trimesh reads.
        name: of the object: letters, digits, `_` and `-`.
        out: folder of object files.
        units: of the mesh's coordinates: m, cm, mm or inch.
        scale: further factor on the coordinates.
        size: the object's diameter, m, instead of units and scale.
        texture: picture for a mesh whose file names none.
        symmetries: in the object file's form (BOP's, in metres).
        parts: keypoint indices by part, or how many parts to find by clustering.
        views: the views that occur, in the object file's form.
        keypoints: how many, by farthest-point sampling on the surface.

    Returns:
        The object as read back from its file.

    Raises:
        MeshError: the mesh or an entry cannot be used; nothing is left behind.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise MeshError(f"object name {name!r}: use letters, digits, _ and -, at most 64")
    if not 4 <= keypoints <= 64:
        raise MeshError(f"{keypoints} keypoints: use 4 to 64")
    if size is not None:
        units, scale = "m", scale_to(mesh, size)
    surface = read_mesh(mesh, units, scale=scale, texture=texture)
    measured = diameter(surface.vertices[np.unique(surface.faces)])
    try:
        checked_symmetries = Symmetries.from_json(dict(symmetries or {}))
        checked_views = Views.from_json(dict(views or {}), measured) if views else None
    except (TypeError, ValueError, KeyError) as error:
        raise MeshError(f"object {name}: {error}") from None
    points = farthest_points(surface_points(surface, _SURFACE_POINTS, seed=0), keypoints)
    named = cluster_parts(points, parts) if isinstance(parts, int) else parts
    entries: dict[str, Any] = {
        "name": name,
        "mesh": f"{name}/{mesh.name}",
        **({"texture": f"{name}/{texture.name}"} if texture else {}),
        "units": units,
        **({"scale": scale} if scale != 1.0 else {}),
        "diameter": round(measured, 6),
        "keypoints": [[round(float(value), 6) for value in point] for point in points],
        "parts": {part: [int(index) for index in indices] for part, indices in named.items()},
        "symmetries": checked_symmetries.to_json(),
        **({"views": checked_views.to_json()} if checked_views else {}),
    }
    _copy_mesh(mesh, texture, out / name)
    save_object(out / f"{name}.yaml", entries)
    return load_object(out / f"{name}.yaml")


def cluster_parts(points: Array, count: int) -> dict[str, list[int]]:
    """Groups points (K, 3) into `count` parts of neighbours, named part_0 and so on."""
    if not 1 <= count <= len(points):
        raise MeshError(f"{count} parts of {len(points)} keypoints: use 1 to {len(points)}")
    _, labels = kmeans2(points, farthest_points(points, count), minit="matrix")
    groups = [np.flatnonzero(labels == label).tolist() for label in np.unique(labels)]
    return {f"part_{index}": group for index, group in enumerate(groups)}


def _copy_mesh(mesh: Path, texture: Path | None, folder: Path) -> None:
    """Copies a mesh with the materials and pictures beside or below it that its file names."""
    wanted = [mesh, *([texture] if texture else [])]
    seen = [mesh.read_bytes()]
    for companion in sorted(mesh.parent.iterdir()):
        if companion.suffix.lower() == ".mtl" and companion.name.encode() in seen[0]:
            wanted.append(companion)
            seen.append(companion.read_bytes())
    for companion in sorted(mesh.parent.iterdir()):
        named = any(companion.name.encode() in text for text in seen)
        if companion.suffix.lower() in _COMPANIONS and named and companion not in wanted:
            wanted.append(companion)
    targets = {folder / source.name: source for source in wanted}
    for source in _named_below(mesh.parent, seen):
        targets[folder / source.relative_to(mesh.parent)] = source
    for target, source in targets.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.resolve() != target.resolve():
            shutil.copyfile(source, target)


def _named_below(folder: Path, texts: Sequence[bytes]) -> list[Path]:
    """The files in folders below one that texts name, as glTF and MTL do: textures/skin.png."""
    places = set()
    for text in texts:
        for suffix in _SUFFIX.finditer(text):
            before = text[max(suffix.end() - _LONGEST_NAME, 0) : suffix.end()]
            name = re.split(rb"[\s\"'<>]", before)[-1].decode(errors="replace")
            places.add(Path(unquote(name).replace("\\", "/")))
    below = [place for place in places if len(place.parts) > 1 and ".." not in place.parts]
    # os.path: bytes of a picture may look like a name that no file system takes
    return sorted(
        folder / place
        for place in below
        if not place.is_absolute() and os.path.isfile(folder / place)
    )
