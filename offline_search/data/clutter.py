# SPDX-License-Identifier: Apache-2.0
"""Things that are not the object: made-up solids, to stand behind it and in the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import trimesh
from scipy.interpolate import PchipInterpolator

from fpg_pose_ros.geometry import Array
from offline_search.data import variety
from offline_search.data.backgrounds import background, random_color
from offline_search.data.meshes import TexturedMesh
from offline_search.data.views import random_rotation

_TEXTURE_PX: Final = 128


def random_thing(rng: np.random.Generator, size: float) -> TexturedMesh:
    """Returns one to three solids grown into one, about `size` m across, with a random texture."""
    vertices: list[Array] = []
    faces: list[np.ndarray[tuple[int, ...], np.dtype[np.int32]]] = []
    offset = 0
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        solid = _solid(rng)
        points = solid.vertices * rng.uniform(0.35, 1.0, 3) @ random_rotation(rng).T
        points = points + rng.uniform(-0.35, 0.35, 3) * (len(vertices) > 0)
        # corners of their own for every face, so that each is textured by itself
        vertices.append(points[solid.faces].reshape(-1, 3))
        count = 3 * len(solid.faces)
        faces.append(np.arange(offset, offset + count, dtype=np.int32).reshape(-1, 3))
        offset += count
    corners = np.concatenate(vertices)
    corners -= (corners.min(axis=0) + corners.max(axis=0)) / 2
    corners *= size / float(np.linalg.norm(np.ptp(corners, axis=0)))
    texture = background(rng, _TEXTURE_PX, _TEXTURE_PX)
    uv = _box_mapped(corners) * rng.uniform(0.5, 3.0) / size
    return TexturedMesh(corners, np.concatenate(faces), uv, texture)


def random_clutter(rng: np.random.Generator, size: float) -> TexturedMesh:
    """Returns a made-up thing, about `size` m across, that stands on its foot: -z is down."""
    if rng.random() < variety.VESSEL_CHANCE:
        return _vessel(rng, size)
    return random_thing(rng, size)


def _vessel(rng: np.random.Generator, size: float) -> TexturedMesh:
    """Returns a can, bottle, cup or lamp foot, turned on a lathe, with a label, maybe a handle."""
    count = int(rng.integers(3, 7))
    heights = np.concatenate([[0.0], np.sort(rng.uniform(0.05, 0.95, count)), [1.0]])
    radii = np.cumprod(np.append(rng.uniform(0.15, 0.5), rng.choice([1.0, 1.0, 0.7, 1.3], count)))
    radii = np.append(np.clip(radii, 0.06, 0.6), 0.0 if rng.random() < 0.5 else 0.25)
    profile = np.column_stack([radii, heights])
    if rng.random() < 0.5:  # round shoulders
        fine = np.linspace(0.0, 1.0, 16)
        profile = np.column_stack([PchipInterpolator(heights, radii)(fine), fine])
    profile = np.concatenate([[[0.0, 0.0]], profile, [[0.0, 1.0]]])
    body = trimesh.creation.revolve(profile, sections=24)
    solids = [body]
    if rng.random() < 0.3:
        handle = trimesh.creation.torus(0.22, 0.04, major_sections=20, minor_sections=8)
        handle.vertices = handle.vertices[:, [0, 2, 1]]  # stand it up
        solids.append(handle.apply_translation([float(radii.max()), 0.0, 0.5]))
    corners = np.concatenate([solid.vertices[solid.faces].reshape(-1, 3) for solid in solids])
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    # around and up, as labels are printed
    around = np.arctan2(corners[:, 1], corners[:, 0]).reshape(-1, 3) / (2.0 * np.pi)
    around += np.where(around - around[:, :1] > 0.5, -1.0, 0.0)
    around += np.where(around - around[:, :1] < -0.5, 1.0, 0.0)
    uv = np.column_stack([around.ravel() * rng.integers(1, 4), corners[:, 2]])
    texture = background(rng, _TEXTURE_PX, _TEXTURE_PX)
    if rng.random() < 0.6:  # plain above and below the label
        low, high = np.sort(rng.uniform(0.0, 1.0, 2)) * _TEXTURE_PX
        texture[: int(low)], texture[int(high) :] = random_color(rng), random_color(rng)
    corners = (corners - middle) * size / float(np.linalg.norm(np.ptp(corners, axis=0)))
    faces = np.arange(len(corners), dtype=np.int32).reshape(-1, 3)
    return TexturedMesh(corners, faces, uv, texture)


def _solid(rng: np.random.Generator) -> trimesh.Trimesh:
    """Returns a solid of about unit size."""
    make = trimesh.creation
    solids: tuple[Callable[[], trimesh.Trimesh], ...] = (
        lambda: make.box(extents=(1, 1, 1)),
        lambda: make.cylinder(radius=0.5, height=1.0, sections=24),
        lambda: make.cone(radius=0.5, height=1.0, sections=24),
        lambda: make.torus(0.4, rng.uniform(0.05, 0.2), major_sections=24, minor_sections=12),
        lambda: make.capsule(height=0.6, radius=rng.uniform(0.1, 0.3), count=[12, 12]),
        lambda: make.icosphere(subdivisions=3, radius=0.5),
        lambda: _potato(rng),
    )
    return solids[int(rng.integers(len(solids)))]()


def _potato(rng: np.random.Generator) -> trimesh.Trimesh:
    """Returns a ball with a few smooth waves."""
    ball: trimesh.Trimesh = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    waves = rng.normal(size=(4, 3)) * 4.0
    bumps = np.sin(ball.vertices @ waves.T + rng.uniform(0, 6, 4)).sum(axis=1)
    ball.vertices = ball.vertices * (1.0 + rng.uniform(0.05, 0.2) * bumps)[:, None]
    return ball


def _box_mapped(corners: Array) -> Array:
    """Returns (3F, 2) texture coordinates: each face seen along the axis it faces most."""
    triangles = corners.reshape(-1, 3, 3)
    normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    axis = np.abs(normals).argmax(axis=1)
    kept = np.array([[1, 2], [0, 2], [0, 1]])[axis]
    uv = np.take_along_axis(triangles, np.repeat(kept[:, None], 3, axis=1), axis=2)
    return np.asarray(uv.reshape(-1, 2), dtype=np.float64)
