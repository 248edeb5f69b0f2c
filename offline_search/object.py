# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose object create`: an object file from a mesh."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from fpg_pose_ros.errors import MeshError
from offline_search.data.create import create_object
from offline_search.data.objects import RenderableObject


def create(
    mesh: Path,
    *,
    name: str,
    out: Path = Path("objects"),
    units: str | None = None,
    scale: float = 1.0,
    size: float | None = None,
    texture: Path | None = None,
    symmetries: Path | None = None,
    parts: str = "4",
    views: Path | None = None,
    keypoints: int = 16,
) -> RenderableObject:
    """Makes `out/name.yaml`; see `create_object`.

    Args:
        mesh: any mesh that trimesh reads.
        name: of the object.
        out: folder of object files.
        units: of the mesh's coordinates: m, cm, mm or inch.
        scale: further factor on the coordinates.
        size: the object's diameter, m, instead of units and scale.
        texture: picture for a mesh whose file names none.
        symmetries: YAML or JSON file in the object file's form.
        parts: how many parts to find by clustering, or a YAML or JSON file {part: [indices]}.
        views: YAML or JSON file in the object file's form.
        keypoints: how many.

    Raises:
        MeshError: the mesh or an entry cannot be used.
    """
    if (units is None) == (size is None) or (size is not None and scale != 1.0):
        raise MeshError(
            f"how large is {mesh}? Give the --units of its coordinates (and --scale), or, where "
            "they are not known, the object's --diameter in metres"
        )
    return create_object(
        mesh,
        name=name,
        out=out,
        units=units or "m",
        scale=scale,
        size=size,
        texture=texture,
        symmetries=_mapping(symmetries) if symmetries else None,
        parts=int(parts) if parts.isdigit() else _mapping(Path(parts)),
        views=_mapping(views) if views else None,
        keypoints=keypoints,
    )


def describe(thing: RenderableObject) -> str:
    """Returns a line on an object: size, keypoints, parts, symmetries, look."""
    model, mesh = thing.model, thing.mesh
    if mesh.texture is not None and mesh.uv is not None:
        look = "texture of {1} x {0} px".format(*mesh.texture.shape)
    else:
        look = "none: it is guessed" if mesh.vertex_colors is None else "colours of its vertices"
    facts = {
        "name": model.name,
        "diameter_m": round(model.diameter, 4),
        "keypoints": len(model.keypoints),
        "parts": {part: len(indices) for part, indices in model.parts.items()},
        "symmetric": bool(model.symmetries),
        "look": look,
        "faces": len(mesh.faces),
        "light_faces": len(model.mesh.faces),
    }
    return json.dumps(facts)


def _mapping(path: Path) -> dict[str, Any]:
    """Reads a YAML (hence JSON) file of one mapping.

    Raises:
        MeshError: it cannot be read or holds something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise MeshError(f"{path} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise MeshError(f"{path} must hold a mapping, as in an object file")
    return data
