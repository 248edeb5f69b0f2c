# SPDX-License-Identifier: Apache-2.0
"""What a loaded mesh looks like: texture, colours of its vertices, or one plain colour."""

from __future__ import annotations

from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array


def look_of(
    loaded: trimesh.Trimesh,
) -> tuple[Array | None, NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """Returns (uv, texture, vertex colours) of a loaded mesh; what it lacks is None."""
    count = len(loaded.vertices)
    visual: Any = loaded.visual
    if visual.kind == "texture":
        material = visual.material
        uv = None if visual.uv is None else np.asarray(visual.uv, dtype=np.float64)
        image = getattr(material, "baseColorTexture", None)
        if image is None:
            image = getattr(material, "image", None)
        # trimesh stands in a 2x2 grey picture where a file names none
        if uv is not None and len(uv) == count:
            if image is not None and min(image.size) > 2:
                return uv, np.asarray(image.convert("RGB"), dtype=np.uint8), None
            return uv, None, np.tile(_plain_color(material), (count, 1))
        return None, None, np.tile(_plain_color(material), (count, 1))
    if visual.kind in ("vertex", "face"):
        return None, None, np.asarray(visual.vertex_colors, dtype=np.uint8)[:, :3].copy()
    return None, None, None


def _plain_color(material: Any) -> NDArray[np.uint8]:
    """Returns (3,) uint8 RGB of a material without a picture, as it is displayed.

    glTF gives linear light (glTF 2.0, 3.9.2), which trimesh turns into sRGB only where it joins
    several materials; other formats' colours are meant as displayed.
    """
    color = np.asarray(material.main_color, dtype=np.uint8)[:3]
    if not isinstance(material, trimesh.visual.material.PBRMaterial):
        return color
    linear = color / 255.0
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(shown * 255.0), dtype=np.uint8)
