# SPDX-License-Identifier: Apache-2.0
"""Object files: one YAML beside a mesh says all that the project needs to know of an object.

name: spot
mesh: spot/spot_triangulated.obj   # relative to the YAML
texture: spot/spot_texture.png     # only for meshes whose files name none
units: m                           # of the mesh file: m, cm, mm or inch
scale: 0.12                        # further factor on its coordinates (default 1)
diameter: 0.25                     # m; checked against the mesh
keypoints: [[x, y, z], ...]        # m, object frame, on the surface
parts: {head: [0, 4], ...}         # keypoint indices by part
symmetries:                        # as BOP declares them, but in metres
  discrete: [[16 numbers, row by row], ...]
  continuous: [{axis: [x, y, z], offset: [x, y, z]}]
views:                             # optional: the views that occur; absent = all of them
  up: [0, 0, 1]                    # what points upwards in the object frame
  elevation_deg: [0, 90]           # of the camera over the object's horizon
  roll_deg: [-30, 30]              # of the camera about its line of sight, 0 = upright
  distance_m: [0.45, 1.2]          # of the object's origin
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml

from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.geometry import Symmetries
from fpg_pose_ros.objects import ObjectModel
from offline_search.data.embree_mesh import with_openness
from offline_search.data.meshes import Array, TexturedMesh, diameter, hull_points, read_mesh
from offline_search.data.simplify import light_mesh
from offline_search.installed import share_folders

#: Distances of an object whose file names none, in diameters.
DEFAULT_DISTANCE: Final = (1.8, 4.8)
_REQUIRED: Final = ("name", "mesh", "units", "keypoints")
_OPTIONAL: Final = ("texture", "scale", "diameter", "parts", "symmetries", "views", "source")


@dataclass(frozen=True)
class Views:
    """From where an object is seen.

    Attributes:
        distance_m: range of the distance from the camera to the object's origin, m.
        up: what points upwards, object frame; read only with a limited elevation or roll.
        elevation_deg: range of the camera's height over the object's horizon, or None for any.
        roll_deg: range of the camera's turn about the line of sight, or None for any.
    """

    distance_m: tuple[float, float]
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    elevation_deg: tuple[float, float] | None = None
    roll_deg: tuple[float, float] | None = None

    @staticmethod
    def from_json(data: Mapping[str, Any], size: float) -> Views:
        """Reads a `views` entry for an object of diameter `size` (m); see the module's docstring.

        Raises:
            ValueError: an entry has the wrong form; the message says which.
        """
        unknown = set(data) - {"distance_m", "up", "elevation_deg", "roll_deg"}
        if unknown:
            raise ValueError(f"views.{min(unknown)} is not known")
        low, high = DEFAULT_DISTANCE
        distance = _range(data, "distance_m", 0.5 * size, 1e3) or (low * size, high * size)
        up = tuple(float(value) for value in data.get("up", (0.0, 0.0, 1.0)))
        if len(up) != 3 or not np.isfinite(up).all() or np.linalg.norm(up) < 1e-9:
            raise ValueError("views.up must be 3 finite numbers, not all zero")
        return Views(
            distance_m=distance,
            up=(up[0], up[1], up[2]),
            elevation_deg=_range(data, "elevation_deg", -90.0, 90.0),
            roll_deg=_range(data, "roll_deg", -180.0, 180.0),
        )

    def to_json(self) -> dict[str, Any]:
        """Returns plain values, undoing `from_json`."""
        data: dict[str, Any] = {"distance_m": list(self.distance_m)}
        if self.elevation_deg is not None or self.roll_deg is not None:
            data["up"] = list(self.up)
        if self.elevation_deg is not None:
            data["elevation_deg"] = list(self.elevation_deg)
        if self.roll_deg is not None:
            data["roll_deg"] = list(self.roll_deg)
        return data


def _range(
    data: Mapping[str, Any], key: str, low: float, high: float
) -> tuple[float, float] | None:
    if data.get(key) is None:
        return None
    values = [float(value) for value in data[key]]
    if len(values) != 2 or not low <= values[0] <= values[1] <= high:
        raise ValueError(f"views.{key} must be [low, high] within {low:g} to {high:g}")
    return values[0], values[1]


@dataclass(frozen=True, eq=False)
class RenderableObject:
    """An object with all that rendering needs.

    Attributes:
        model: what the robot knows of it (light mesh, keypoints, ...).
        mesh: the full mesh with its look, object frame, m.
        views: from where it is seen.
    """

    model: ObjectModel
    mesh: TexturedMesh
    views: Views

    @cached_property
    def hull(self) -> Array:
        """Vertices (H, 3) of the convex hull, m: their projections bound the object's."""
        return hull_points(self.mesh.vertices[np.unique(self.mesh.faces)])

    @cached_property
    def open_mesh(self) -> TexturedMesh:
        """The mesh with how open its vertices are, for light from all around."""
        return with_openness(self.mesh)

    @cached_property
    def digest(self) -> str:
        """Names what renders depend on: shape, look, symmetries and views."""
        declared = (self.model.symmetries.to_json(), self.views)
        state = hashlib.sha256(repr(declared).encode())
        mesh = self.mesh
        for array in (mesh.vertices, mesh.faces, mesh.uv, mesh.texture, mesh.vertex_colors):
            state.update(b"-" if array is None else np.ascontiguousarray(array).tobytes())
        return state.hexdigest()[:16]


def object_folders() -> tuple[Path, ...]:
    """Returns where objects are looked up by name: FPG_POSE_OBJECTS, then the built-in ones."""
    named = os.environ.get("FPG_POSE_OBJECTS", "")
    return (
        *(Path(folder) for folder in named.split(os.pathsep) if folder),
        *share_folders("objects"),
    )


def load_object(path_or_name: str | Path) -> RenderableObject:
    """Reads an object file, by path or by the name of a built-in one.

    Raises:
        MeshError: no such object, or an entry or its mesh cannot be used.
    """
    path = Path(path_or_name)
    if path.suffix not in (".yaml", ".yml"):
        found = [folder / f"{path}.yaml" for folder in object_folders()]
        existing = [candidate for candidate in found if candidate.is_file()]
        if not existing:
            names = sorted(
                {file.stem for folder in object_folders() for file in folder.glob("*.yaml")}
            )
            raise MeshError(
                f"object {path_or_name} is not known; built-in are {', '.join(names) or 'none'}; "
                "give the path of an object file, or make one with `fpg-pose object create`"
            )
        path = existing[0]
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MeshError(
            f"object file {path} cannot be read: {str(error).splitlines()[0]}"
        ) from None
    if not isinstance(data, dict):
        raise MeshError(f"object file {path} holds no mapping of entries")
    return _from_yaml(path, data)


def _from_yaml(path: Path, data: dict[str, Any]) -> RenderableObject:
    for key in _REQUIRED:
        if key not in data:
            raise MeshError(f"object file {path} lacks the entry {key}")
    unknown = set(data) - set(_REQUIRED) - set(_OPTIONAL)
    if unknown:
        raise MeshError(f"object file {path} holds the unknown entry {min(map(str, unknown))}")
    try:
        scale = float(data.get("scale", 1.0))
        texture = path.parent / data["texture"] if data.get("texture") else None
        mesh = read_mesh(path.parent / data["mesh"], data["units"], scale=scale, texture=texture)
        size = diameter(mesh.vertices[np.unique(mesh.faces)])
        stated = float(data.get("diameter", size))
        if abs(stated - size) > 0.01 * size:
            raise MeshError(
                f"object file {path} says diameter {stated:g} m, its mesh measures {size:.4g} m; "
                "correct units, scale or diameter"
            )
        return make_object(
            name=data["name"],
            mesh=mesh,
            size=size,
            keypoints=np.asarray(data["keypoints"], dtype=np.float64),
            parts=data.get("parts") or {},
            symmetries=Symmetries.from_json(data.get("symmetries") or {}),
            views=Views.from_json(data.get("views") or {}, size),
        )
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise MeshError(f"object file {path}: {error}") from None


def make_object(
    *,
    name: str,
    mesh: TexturedMesh,
    keypoints: Array,
    size: float | None = None,
    parts: Mapping[str, Any] | None = None,
    symmetries: Symmetries | None = None,
    views: Views | None = None,
) -> RenderableObject:
    """Joins a mesh and what is known of it; `size` is the diameter (m) where already measured.

    Raises:
        MeshError: an entry cannot be used.
    """
    size = diameter(mesh.vertices[np.unique(mesh.faces)]) if size is None else size
    model = ObjectModel(
        name=name,
        diameter=size,
        keypoints=keypoints,
        parts=parts or {},
        symmetries=symmetries or Symmetries(),
        mesh=light_mesh(mesh),
    )
    return RenderableObject(model, mesh, views or Views.from_json({}, size))


def save_object(path: Path, entries: Mapping[str, Any]) -> None:
    """Writes an object file's entries (see the module's docstring), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = yaml.dump(dict(entries), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=path.name, delete=False, encoding="utf-8"
    ) as file:
        file.write("# SPDX-License-Identifier: Apache-2.0\n" + text)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


class _Dumper(yaml.SafeDumper):
    """Writes lists of numbers in one line, and numbers without a tail of binary digits."""


def _flow_list(dumper: yaml.SafeDumper, value: list[Any]) -> yaml.Node:
    plain = all(isinstance(item, (int, float)) for item in value)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", value, flow_style=plain)


_Dumper.add_representer(list, _flow_list)
