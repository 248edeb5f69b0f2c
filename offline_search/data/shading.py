# SPDX-License-Identifier: Apache-2.0
"""Colour of surface points under light: textures, normals, diffuse and specular terms.

Everything is float32 and flat over points; light is linear, pictures are encoded with gamma 2,
which is close to sRGB and costs one square root.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from offline_search.data.meshes import TexturedMesh
from offline_search.data.scene import Light, Material

Floats = NDArray[np.float32]

_ROW: Final = 4096  # cv2.remap takes pictures narrower than 2**15


def to_linear(values: NDArray[np.uint8]) -> Floats:
    """Decodes uint8 to linear light, 0 to 1."""
    scaled = values.astype(np.float32) * np.float32(1.0 / 255.0)
    return scaled * scaled


def to_uint8(linear: Floats) -> Floats:
    """Encodes linear light to 0..255, rolling off smoothly above 0.8; still float32."""
    knee = np.float32(0.8)
    over = np.maximum(linear - knee, 0.0)
    rolled = np.minimum(linear, knee) + over / (1.0 + over * np.float32(5.0))
    return np.asarray(np.sqrt(np.maximum(rolled, 0.0)) * np.float32(255.0), dtype=np.float32)


class Surface:
    """A mesh's attributes laid out for interpolation at (face, u, v).

    Attributes:
        levels: the texture and its halvings, linear RGB; empty without a texture.
        texels_per_meter: of the full texture, the median over the faces.
    """

    def __init__(self, mesh: TexturedMesh) -> None:
        """Lays out normals and texture coordinates or colours corner by corner."""
        textured = mesh.uv is not None and mesh.texture is not None
        if textured:
            assert mesh.uv is not None
            look = np.asarray(mesh.uv[mesh.faces], dtype=np.float32)
        elif mesh.vertex_colors is not None:
            look = to_linear(mesh.vertex_colors)[mesh.faces]
        else:
            look = np.full((len(mesh.faces), 3, 3), 0.4, dtype=np.float32)
        corners = np.concatenate([mesh.normals, look], axis=2).astype(np.float32)
        # value = base + u * along_u + v * along_v, in one row so that one gather fetches all
        self._rows: Floats = np.concatenate(
            [corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=1
        )
        self._width = corners.shape[2]
        self.levels: list[Floats] = []
        self.texels_per_meter = 0.0
        if textured:
            assert mesh.texture is not None
            self._build_levels(mesh, mesh.texture)

    def _build_levels(self, mesh: TexturedMesh, texture: NDArray[np.uint8]) -> None:
        assert mesh.uv is not None
        level = to_linear(texture)
        while True:
            self.levels.append(level)
            if min(level.shape[:2]) <= 8:
                break
            size = (max(1, level.shape[1] // 2), max(1, level.shape[0] // 2))
            level = np.asarray(cv2.resize(level, size, interpolation=cv2.INTER_AREA), np.float32)
        scale = np.array([texture.shape[1], texture.shape[0]])
        edges_uv = np.linalg.norm(
            (mesh.uv[mesh.faces[:, 1]] - mesh.uv[mesh.faces[:, 0]]) * scale, axis=1
        )
        edges = np.linalg.norm(
            mesh.vertices[mesh.faces[:, 1]] - mesh.vertices[mesh.faces[:, 0]], axis=1
        )
        self.texels_per_meter = float(np.median(edges_uv / np.maximum(edges, 1e-12)))

    def at(
        self, face: NDArray[np.int32], u: Floats, v: Floats, pixels_per_meter: float
    ) -> tuple[Floats, Floats]:
        """Returns normals (n, 3), not normalised, and linear colours (n, 3) of surface points.

        Args:
            face: (n,) face indices.
            u: (n,) barycentric coordinate of the second corner.
            v: (n,) that of the third.
            pixels_per_meter: of the picture to be made: chooses the texture's level.
        """
        rows, width = self._rows[face], self._width
        values = rows[:, :width]
        values += u[:, None] * rows[:, width : 2 * width]
        values += v[:, None] * rows[:, 2 * width :]
        if not self.levels:
            return values[:, :3], values[:, 3:]
        coarse = np.log2(max(self.texels_per_meter / max(pixels_per_meter, 1e-6), 1.0))
        level = self.levels[min(int(coarse + 0.3), len(self.levels) - 1)]
        return values[:, :3], _look_up(level, values[:, 3], values[:, 4])


def _look_up(level: Floats, u: Floats, v: Floats) -> Floats:
    """Returns the bilinear colours (n, 3) of a picture that repeats; u right, v up, in 0..1."""
    height, width = level.shape[:2]
    count = len(u)
    rows = -(-count // _ROW)
    x = np.zeros(rows * _ROW, dtype=np.float32)
    y = np.zeros(rows * _ROW, dtype=np.float32)
    x[:count] = (u - np.floor(u)) * width - 0.5
    y[:count] = (1.0 - (v - np.floor(v))) * height - 0.5
    columns = _ROW if rows > 1 else max(count, 1)
    shape = (rows, columns)
    looked = cv2.remap(
        level,
        x[: rows * columns].reshape(shape),
        y[: rows * columns].reshape(shape),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_WRAP,
    )
    return np.asarray(looked.reshape(-1, 3)[:count], dtype=np.float32)


def shade(
    albedo: Floats,
    normals: Floats,
    towards_eye: Floats,
    lit: list[tuple[Light, NDArray[np.bool_] | None]],
    material: Material,
    ambient: Floats,
    up: Floats,
) -> Floats:
    """Returns the linear light (n, 3) that leaves surface points towards the eye.

    Args:
        albedo: (n, 3) linear colour of the surface.
        normals: (n, 3) unit, turned towards the eye.
        towards_eye: (n, 3) unit.
        lit: the lights, each with a mask (n,) of the points it reaches, or None for all.
        material: of the surface.
        ambient: (2, 3) light from above and from below.
        up: (3,) upwards.
    """
    albedo = albedo * np.asarray(material.tint, dtype=np.float32)
    height = (normals @ up) * np.float32(0.5) + np.float32(0.5)
    light = ambient[1] + height[:, None] * (ambient[0] - ambient[1])
    highlight = np.zeros_like(light)
    for source, mask in lit:
        direction = source.direction.astype(np.float32)
        color = source.color.astype(np.float32)
        facing = np.maximum(normals @ direction, 0.0)
        if mask is not None:
            facing *= mask
        light += facing[:, None] * color
        if material.specular > 0:
            half = towards_eye + direction
            squared = np.maximum(np.einsum("ij,ij->i", half, half), 1e-12)
            shine = np.maximum(np.einsum("ij,ij->i", normals, half), 0.0) / np.sqrt(squared)
            for _ in range(material.sharpness):
                shine *= shine
            highlight += (shine * (facing > 0))[:, None] * color
    color = albedo * light
    if material.specular > 0:
        tinted = 1.0 + np.float32(material.metallic) * (albedo - 1.0)
        color += np.float32(material.specular) * highlight * tinted
    return np.asarray(color, dtype=np.float32)
