# SPDX-License-Identifier: Apache-2.0
"""Scenes as a rasteriser takes them: matrices to clip space, rows of corners, weights of light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array
from offline_search.data.environment import harmonics
from offline_search.data.meshes import TexturedMesh
from offline_search.data.scene import Scene
from offline_search.data.shading import PLAIN, Floats, to_linear

_NEAR: Final = 1e-3  # m; nothing nearer to the camera's plane is drawn


def columns(matrix: Array) -> bytes:
    """Returns a matrix as GLSL reads it: column by column."""
    return np.ascontiguousarray(matrix.T, dtype=np.float32).tobytes()


def projection(K: Array, A: Array, shape: tuple[int, int], bounds: Sequence[Array]) -> Array:
    """Returns the (4, 4) of camera points to clip space, row 0 of the picture at the bottom.

    OpenGL reads pictures from the bottom, so that row 0 comes first. Pixel centres are whole
    numbers: the picture reaches from -0.5 to its width - 0.5, however finely it is sampled.
    """
    height, width = shape
    window = np.vstack([A, [0.0, 0.0, 1.0]]) @ K
    z = np.concatenate([points[:, 2] for points in bounds]) if bounds else np.ones(1)
    near = max(float(z.min()) * 0.999, _NEAR)
    far = max(float(z.max()) * 1.001, 2.0 * near)
    clip = np.zeros((4, 4))
    clip[0, :3] = 2.0 / width * window[0] + (1.0 / width - 1.0) * window[2]
    clip[1, :3] = 2.0 / height * window[1] + (1.0 / height - 1.0) * window[2]
    clip[2, 2:] = (far + near) / (far - near), -2.0 * far * near / (far - near)
    clip[3, :3] = window[2]
    return clip


def from_light(ray: Array, centre: Array, radius: float) -> Array:
    """Returns the (4, 4) of camera points to clip space of a distant light at the end of `ray`."""
    side = np.cross(ray, np.eye(3)[np.argmin(np.abs(ray))])
    side /= np.linalg.norm(side)
    clip = np.eye(4)
    clip[:3, :3] = np.stack([side, np.cross(ray, side), -ray]) / radius
    clip[:3, 3] = -clip[:3, :3] @ centre
    return clip


def irradiance(scene: Scene) -> Floats:
    """Returns the light (9, 3) from all around a scene that white surfaces send back.

    In the basis of `environment.harmonics`; in the environment's frame, or else the camera's.
    """
    if scene.environment is not None:
        return np.ascontiguousarray(scene.environment.irradiance, dtype=np.float32)
    above, below = scene.ambient
    weights = np.zeros((9, 3), dtype=np.float32)
    weights[0] = (above + below) / 2
    weights[1:4] = scene.up[[1, 2, 0], None] * (above - below) / 2
    weights[:4] /= harmonics(np.ones((1, 3), dtype=np.float32))[0, :4, None]
    return weights


def corner_rows(mesh: TexturedMesh) -> Floats:
    """Returns (F, 3, 10) position, normal, openness and look of each face's corners.

    The look is a place in the texture, rows downwards, and a nought; or a linear colour.
    """
    corners = np.zeros((len(mesh.faces), 3, 10), dtype=np.float32)
    corners[..., :3] = mesh.vertices[mesh.faces]
    corners[..., 3:6] = mesh.normals
    corners[..., 6] = 1.0 if mesh.openness is None else mesh.openness[mesh.faces]
    if mesh.uv is not None and mesh.texture is not None:
        corners[..., 7:9] = mesh.uv[mesh.faces] * [1.0, -1.0] + [0.0, 1.0]
    elif mesh.vertex_colors is not None:
        corners[..., 7:] = to_linear(mesh.vertex_colors)[mesh.faces]
    else:
        corners[..., 7:] = PLAIN
    return corners


def texture_of(mesh: TexturedMesh) -> Floats | None:
    """Returns a mesh's texture (h, w, 3) in linear light, None where it has none."""
    if mesh.uv is None or mesh.texture is None:
        return None
    return to_linear(mesh.texture)
