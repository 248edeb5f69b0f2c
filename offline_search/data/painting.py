# SPDX-License-Identifier: Apache-2.0
"""A thing alone, rendered from a random view in random light: what layers hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, CropBox, make_transform, transform
from offline_search.data import variety
from offline_search.data.appearance import random_lighting, random_material
from offline_search.data.clutter import random_clutter
from offline_search.data.meshes import TexturedMesh, hull_points
from offline_search.data.objects import RenderableObject, Views
from offline_search.data.renderer import EmbreeRenderer, Renderer
from offline_search.data.scene import Instance, Scene
from offline_search.data.tables import plane_under, trace_shadow
from offline_search.data.views import (
    canonical_pose,
    random_camera,
    random_pose,
    random_rotation,
    random_up,
    view_rotation,
)

#: The layer's side in sides of the object's box in it.
_AIR: Final = 1.06


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture of one thing on nothing.

    Attributes:
        rgba: (R, R, 4) uint8, colours premultiplied by alpha.
        K: (3, 3) intrinsics of the 640x480 image it belongs to.
        T_camera_object: (4, 4) pose of the thing, m.
        A: (2, 3) with layer_px = A @ [image_px, 1].
        shadow: (s, s) uint8, what it takes away of the brightness of the ground it stands on;
            `tables.shadow_to_layer` says where. All nought where it stands on nothing.
        plane: (4,) that ground, as `tables.plane_under` gives it, camera frame; or nought.
    """

    rgba: NDArray[np.uint8]
    K: Array
    T_camera_object: Array
    A: Array
    shadow: NDArray[np.uint8]
    plane: Array


@dataclass(frozen=True, eq=False)
class Painter:
    """How layers are painted.

    Attributes:
        renderer: makes the pictures.
        tracer: finds their shadows.
        resolution: side of a layer, px.
        samples: rays along each side of a pixel at edges.
    """

    renderer: Renderer
    tracer: EmbreeRenderer
    resolution: int
    samples: int

    def object(self, rng: np.random.Generator, thing: RenderableObject) -> Layer:
        """Paints an object from a random one of its views."""
        K = random_camera(rng)
        pose = random_pose(rng, thing.views, K, thing.model.diameter)
        pose = canonical_pose(pose, thing.model.symmetries)
        up = random_up(rng, thing.views, pose)
        return self._paint(rng, thing.open_mesh, thing.hull, K, pose, up)

    def clutter(self, rng: np.random.Generator, others: Sequence[RenderableObject]) -> Layer:
        """Paints one of some other objects, or a made-up thing, standing or lying about."""
        K = random_camera(rng)
        if others and rng.random() < variety.OTHERS_CHANCE:
            other = others[int(rng.integers(len(others)))]
            mesh, size, points = other.open_mesh, other.model.diameter, other.hull
            centre = (points.min(axis=0) + points.max(axis=0)) / 2
        else:
            size = 0.25
            mesh = random_clutter(rng, size)
            points, centre = hull_points(mesh.vertices), np.zeros(3)
        offset = rng.uniform([-0.6, -0.4, 2.0], [0.6, 0.4, 4.8]) * size
        ray = offset / np.linalg.norm(offset)
        views = Views(distance_m=(0.0, 0.0), elevation_deg=variety.TABLE_ELEVATION_DEG)
        if rng.random() < variety.STANDING_CHANCE:
            elevation = np.radians(rng.uniform(*variety.TABLE_ELEVATION_DEG))
            rotation = view_rotation(views, ray, rng.uniform(-np.pi, np.pi), float(elevation), 0.0)
        else:
            rotation = random_rotation(rng)
            views = Views(distance_m=(0.0, 0.0))
        pose = make_transform(rotation, offset - rotation @ centre)
        return self._paint(rng, mesh, points, K, pose, random_up(rng, views, pose))

    def _paint(
        self,
        rng: np.random.Generator,
        mesh: TexturedMesh,
        points: Array,
        K: Array,
        pose: Array,
        up: Array,
    ) -> Layer:
        """Paints a mesh in a window around the points (N, 3) that bound it."""
        lighting = random_lighting(rng, up)
        plain = mesh.vertex_colors is None and mesh.texture is None
        scene = Scene(
            instances=(Instance(mesh, pose, random_material(rng, plain=plain)),),
            lights=lighting.lights,
            environment=lighting.environment,
            up=up,
        )
        bounds = transform(pose, points)
        projected = bounds @ K.T
        pixels = projected[:, :2] / projected[:, 2:]
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        cx, cy = (low + high) / 2
        size = self.resolution
        A = CropBox(float(cx), float(cy), float((high - low).max()) * _AIR).affine(size)
        picture = self.renderer.render(scene, K, A, (size, size), self.samples)
        standing = rng.random() < variety.TABLE_CHANCE
        plane = plane_under(bounds, up) if standing else np.zeros(4)
        return Layer(
            rgba=np.dstack([picture.rgb, picture.alpha]),
            K=K,
            T_camera_object=pose,
            A=A,
            shadow=trace_shadow(self.tracer, scene, plane, K, A, size),
            plane=plane,
        )
