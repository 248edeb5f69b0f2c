# SPDX-License-Identifier: Apache-2.0
"""Colour of surface points under light: textures, normals, diffuse and specular terms.

Everything is float32 and flat over points; light is linear, pictures are encoded with gamma 2,
which is close to sRGB and costs one square root.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from offline_search.data.environment import Environment, look_up
from offline_search.data.meshes import TexturedMesh
from offline_search.data.scene import Light, Material

Floats = NDArray[np.float32]

#: Linear grey of meshes without colours.
PLAIN: Final = 0.4


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
            look: Floats = np.asarray(mesh.uv[mesh.faces], dtype=np.float32)
        elif mesh.vertex_colors is not None:
            look = to_linear(mesh.vertex_colors)[mesh.faces]
        else:
            look = np.full((len(mesh.faces), 3, 3), PLAIN, dtype=np.float32)
        if mesh.openness is None:
            openness: Floats = np.ones((len(mesh.faces), 3, 1), dtype=np.float32)
        else:
            openness = mesh.openness[mesh.faces][..., None]
        corners = np.concatenate([mesh.normals, openness, look], axis=2).astype(np.float32)
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
    ) -> tuple[Floats, Floats, Floats]:
        """Returns normals (n, 3), not normalised, openness (n,) and linear colours (n, 3).

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
            return values[:, :3], values[:, 3], values[:, 4:]
        coarse = np.log2(max(self.texels_per_meter / max(pixels_per_meter, 1e-6), 1.0))
        level = self.levels[min(int(coarse + 0.3), len(self.levels) - 1)]
        across, upwards = values[:, 4], values[:, 5]
        x = (across - np.floor(across)) * level.shape[1] - np.float32(0.5)
        y = (1.0 - (upwards - np.floor(upwards))) * level.shape[0] - np.float32(0.5)
        return values[:, :3], values[:, 3], look_up(level, x, y)


class Points(NamedTuple):
    """Surface points to be lit, flat.

    Attributes:
        albedo: (n, 3) linear colour of the surface.
        normals: (n, 3) unit, turned towards the eye.
        towards_eye: (n, 3) unit.
        openness: (n,) share of what is above the surface that the mesh itself does not hide.
    """

    albedo: Floats
    normals: Floats
    towards_eye: Floats
    openness: Floats


def shade(
    points: Points,
    lit: list[tuple[Light, Floats | None]],
    material: Material,
    surround: Floats,
    environment: Environment | None = None,
) -> Floats:
    """Returns the linear light (n, 3) that leaves surface points towards the eye.

    Lambert's diffuse term, and Blinn's highlight made to keep energy, with Schlick's Fresnel term.

    Args:
        points: the surface.
        lit: the lights, each with the share (n,) of it that reaches each point, or None for all.
        material: of the surface.
        surround: (n, 3) light from all around that a white surface would send back.
        environment: what the surface mirrors besides the lights; None: nothing.
    """
    normals, towards_eye = points.normals, points.towards_eye
    albedo = points.albedo
    if material.contrast != 1.0:
        albedo = np.power(albedo, np.float32(material.contrast))
    albedo = np.minimum(albedo * np.asarray(material.tint, dtype=np.float32), np.float32(1.0))
    light = surround * points.openness[:, None]  # hollows see little of what is around
    highlight = np.zeros_like(light)
    mirrors = material.specular > 0
    peak = np.float32((2.0**material.sharpness + 8.0) / 8.0)
    for source, share in lit:
        direction = source.direction.astype(np.float32)
        color = source.color.astype(np.float32)
        facing = np.maximum(normals @ direction, 0.0)
        if share is not None:
            facing *= share
        light += facing[:, None] * color
        if mirrors:
            half = towards_eye + direction
            squared = np.maximum(np.einsum("ij,ij->i", half, half), 1e-12)
            shine = np.maximum(np.einsum("ij,ij->i", normals, half), 0.0) / np.sqrt(squared)
            for _ in range(material.sharpness):
                shine *= shine
            highlight += (peak * shine * facing)[:, None] * color
    color = albedo * light
    if mirrors:
        metallic = np.float32(material.metallic)
        color *= 1.0 - metallic
        cosine = np.clip(np.einsum("ij,ij->i", normals, towards_eye), 0.0, 1.0)
        straight = np.float32(material.specular) * (1.0 - metallic) + metallic * albedo
        # rough surfaces mirror less at grazing looks than polished ones do
        grazing = np.float32(min(1.0, 2.0 ** (material.sharpness - 8)))
        rise = np.maximum(grazing - straight, 0.0) * ((1.0 - cosine) ** 5)[:, None]
        if environment is not None:
            image = 2.0 * cosine[:, None] * normals - towards_eye
            highlight += environment.mirrored(image, material.sharpness) * points.openness[:, None]
        color += (straight + rise) * highlight
    return np.asarray(color, dtype=np.float32)


def hemisphere(normals: Floats, ambient: Floats, up: Floats) -> Floats:
    """Returns the light (n, 3) on surfaces between light from above and from below, (2, 3)."""
    height = (normals @ up) * np.float32(0.5) + np.float32(0.5)
    return np.asarray(ambient[1] + height[:, None] * (ambient[0] - ambient[1]), dtype=np.float32)
