# SPDX-License-Identifier: Apache-2.0
"""Ray-traced pictures of scenes, exactly aligned with the pinhole camera of their labels.

Embree finds what each ray hits; NumPy shades it. Rays are shot only where a mesh can be, one
a pixel, and more only where the picture has edges: that is where one ray a pixel shows.
"""

from __future__ import annotations

import os
import weakref
from typing import Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, apply_affine, invert_affine, transform
from offline_search.data.embree_mesh import EmbreeMesh, Sphere
from offline_search.data.meshes import TexturedMesh
from offline_search.data.scene import Instance, Light, Render, Scene
from offline_search.data.shading import Floats, Points, hemisphere, shade, to_uint8

_NEAR: Final = 1e-3  # m; nothing nearer to the camera's plane is looked for
_SHADOW_LIFT: Final = 1e-4  # of the mesh's size: shadow rays start this far off the surface


class Renderer(Protocol):
    """Whatever makes pictures of scenes.

    Attributes:
        name: of the renderer with what its pictures depend on; caches are kept apart by it.
    """

    @property
    def name(self) -> str:
        """See the class."""
        ...

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        """Renders a window of a pinhole camera's image.

        Args:
            scene: what is seen, camera frame.
            K: (3, 3) intrinsics of the full image.
            A: (2, 3) with window_px = A @ [image_px, 1]; may scale, turn and shear.
            shape: (height, width) of the window, px.
            samples: rays along each side of a pixel at edges; 1 = no anti-aliasing.
        """
        ...


class _Hits(NamedTuple):
    """What rays hit: flat arrays over rays."""

    instance: NDArray[np.int32]  # index into the scene's instances, -1 = nothing
    face: NDArray[np.int32]
    u: Floats
    v: Floats
    distance: Floats  # along the ray, in units of its direction


class EmbreeRenderer:
    """Renderer on Intel's Embree through embreex: pip only, no display, no GPU.

    Textured, vertex-coloured and plain meshes; distant lights with shadows among all
    instances, soft where lights are large; light from all around; textures filtered by level.
    """

    name: Final = "embree"

    def __init__(self) -> None:
        """Meshes are prepared on first use, in each process for itself."""
        self._forget()

    def _forget(self) -> None:
        self._process = os.getpid()
        self._prepared: weakref.WeakKeyDictionary[TexturedMesh, EmbreeMesh] = (
            weakref.WeakKeyDictionary()
        )

    def __getstate__(self) -> dict[str, object]:
        """Embree's structures stay in the process that built them."""
        return {}

    def __setstate__(self, state: dict[str, object]) -> None:
        """Starts empty."""
        self._forget()

    def _prepare(self, mesh: TexturedMesh) -> EmbreeMesh:
        if self._process != os.getpid():  # forked: build anew
            self._forget()
        prepared = self._prepared.get(mesh)
        if prepared is None:
            prepared = self._prepared[mesh] = EmbreeMesh(mesh)
        return prepared

    def hull(self, mesh: TexturedMesh) -> Array:
        """Returns the vertices (H, 3) of a mesh's convex hull, kept from one call to the next."""
        return self._prepare(mesh).hull

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        """See `Renderer.render`."""
        height, width = shape
        # window px -> ray direction with z = 1, so that distance along the ray is depth
        back = np.linalg.inv(K) @ np.vstack([invert_affine(A), [0.0, 0.0, 1.0]])
        boxes = [self._box(instance, K, A, shape) for instance in scene.instances]
        pixels = np.zeros((height, width), dtype=np.bool_)
        for x0, y0, x1, y1 in boxes:
            pixels[y0:y1, x0:x1] = True
        rows, columns = np.nonzero(pixels)
        xy = np.stack([columns, rows], axis=1).astype(np.float32)
        hits, rays = self._trace(scene, xy, boxes, back)
        hit = np.flatnonzero(hits.instance >= 0)
        y, x = rows[hit], columns[hit]
        rgb = np.zeros((height, width, 3), dtype=np.uint8)
        alpha = np.zeros((height, width), dtype=np.uint8)
        index = np.full((height, width), -1, dtype=np.int32)
        depth = np.zeros((height, width), dtype=np.float32)
        rgb[y, x] = (self._shade(scene, hits, rays, K, A, soft=True)[hit] + np.float32(0.5)).astype(
            np.uint8
        )
        alpha[y, x] = 255
        index[y, x] = hits.instance[hit]
        depth[y, x] = hits.distance[hit]
        if samples > 1:
            self._refine(scene, K, A, back, boxes, samples, rgb, alpha, index, depth)
        numbers = np.array([0] + [item.number for item in scene.instances], dtype=np.uint8)
        return Render(rgb=rgb, alpha=alpha, instance=numbers[index + 1], depth=depth)

    def _refine(
        self,
        scene: Scene,
        K: Array,
        A: Array,
        back: Array,
        boxes: list[tuple[int, int, int, int]],
        samples: int,
        rgb: NDArray[np.uint8],
        alpha: NDArray[np.uint8],
        index: NDArray[np.int32],
        depth: Floats,
    ) -> None:
        """Replaces the pixels along edges by the mean of samples^2 rays, in place."""
        rows, columns = np.nonzero(_edges(index, depth))
        if len(rows) == 0:
            return
        offsets = (np.arange(samples, dtype=np.float32) + 0.5) / samples - 0.5
        dx, dy = (grid.ravel() for grid in np.meshgrid(offsets, offsets))
        xy = np.empty((len(rows), samples * samples, 2), dtype=np.float32)
        xy[..., 0] = columns[:, None] + dx
        xy[..., 1] = rows[:, None] + dy
        hits, rays = self._trace(scene, xy.reshape(-1, 2), boxes, back)
        colors = self._shade(scene, hits, rays, K, A, soft=False)
        count = samples * samples
        cover = (hits.instance >= 0).reshape(-1, count).mean(axis=1)
        rgb[rows, columns] = (colors.reshape(-1, count, 3).mean(axis=1) + 0.5).astype(np.uint8)
        alpha[rows, columns] = (cover * 255.0 + 0.5).astype(np.uint8)

    def _box(
        self, instance: Instance, K: Array, A: Array, shape: tuple[int, int]
    ) -> tuple[int, int, int, int]:
        """Returns the window's pixels (x0, y0, x1, y1), ends excluded, that a mesh can touch."""
        height, width = shape
        points = transform(instance.T_camera_mesh, self._prepare(instance.mesh).hull)
        if points[:, 2].max() <= _NEAR:
            return 0, 0, 0, 0
        if points[:, 2].min() <= _NEAR:
            return 0, 0, width, height
        projected = points @ K.T
        window = apply_affine(A, projected[:, :2] / projected[:, 2:])
        low, high = np.floor(window.min(axis=0)), np.ceil(window.max(axis=0)) + 1
        x0, x1 = np.clip([low[0], high[0]], 0, width).astype(int)
        y0, y1 = np.clip([low[1], high[1]], 0, height).astype(int)
        return int(x0), int(y0), int(x1), int(y1)

    def _trace(
        self, scene: Scene, xy: Floats, boxes: list[tuple[int, int, int, int]], back: Array
    ) -> tuple[_Hits, Floats]:
        """Returns what the rays through window pixels (n, 2) hit, and the rays (n, 3)."""
        rays = np.asarray(xy @ back[:, :2].T.astype(np.float32) + back[:, 2].astype(np.float32))
        count = len(xy)
        hits = _Hits(
            instance=np.full(count, -1, dtype=np.int32),
            face=np.zeros(count, dtype=np.int32),
            u=np.zeros(count, dtype=np.float32),
            v=np.zeros(count, dtype=np.float32),
            distance=np.full(count, np.inf, dtype=np.float32),
        )
        for number, (instance, box) in enumerate(zip(scene.instances, boxes, strict=True)):
            x0, y0, x1, y1 = box
            if x0 >= x1 or y0 >= y1:
                continue
            chosen: NDArray[np.intp] | slice = slice(None)
            if len(boxes) > 1:
                x, y = xy[:, 0], xy[:, 1]
                inside = (x > x0 - 1) & (x < x1) & (y > y0 - 1) & (y < y1)
                chosen = np.flatnonzero(inside)
            found = self._prepare(instance.mesh).first_hits(instance.T_camera_mesh, rays[chosen])
            nearer = (found.face >= 0) & (found.distance < hits.distance[chosen])
            where = np.flatnonzero(nearer) if len(boxes) == 1 else np.asarray(chosen)[nearer]
            hits.instance[where] = number
            hits.face[where] = found.face[nearer]
            hits.u[where] = found.u[nearer]
            hits.v[where] = found.v[nearer]
            hits.distance[where] = found.distance[nearer]
        return hits, rays

    def _shade(
        self, scene: Scene, hits: _Hits, rays: Floats, K: Array, A: Array, *, soft: bool
    ) -> Floats:
        """Returns the colours (n, 3), 0..255, of rays; black where nothing is hit.

        Without `soft` lights are points: that will do for rays of which several make a pixel.
        """
        colors = np.zeros((len(rays), 3), dtype=np.float32)
        focal = float(np.sqrt(abs(np.linalg.det(A[:, :2])) * K[0, 0] * K[1, 1]))
        for number, instance in enumerate(scene.instances):
            chosen = np.flatnonzero(hits.instance == number)
            if len(chosen) == 0:
                continue
            prepared = self._prepare(instance.mesh)
            distance = hits.distance[chosen]
            pixels_per_meter = focal / float(np.median(distance))
            normals, openness, albedo = prepared.surface.at(
                hits.face[chosen], hits.u[chosen], hits.v[chosen], pixels_per_meter
            )
            directions = rays[chosen]
            towards_eye = (
                -directions / np.sqrt(np.einsum("ij,ij->i", directions, directions))[:, None]
            )
            normals = normals @ instance.T_camera_mesh[:3, :3].T.astype(np.float32)
            normals /= np.sqrt(np.maximum(np.einsum("ij,ij->i", normals, normals), 1e-12))[:, None]
            away = np.einsum("ij,ij->i", normals, towards_eye) < 0
            normals[away] *= -1.0
            points = directions * distance[:, None]
            points += normals * np.float32(max(prepared.size * _SHADOW_LIFT, 1e-5))
            if scene.environment is None:
                ambient, up = scene.ambient.astype(np.float32), scene.up.astype(np.float32)
                surround = hemisphere(normals, ambient, up)
            else:
                surround = scene.environment.diffuse(normals)
            light = shade(
                Points(albedo, normals, towards_eye, openness),
                [
                    (lamp, self._reached(scene, lamp, points, normals, soft))
                    for lamp in scene.lights
                ],
                instance.material,
                surround,
                scene.environment,
            )
            colors[chosen] = to_uint8(light)
        return colors

    def _reached(
        self, scene: Scene, light: Light, points: Floats, normals: Floats, soft: bool
    ) -> Floats | None:
        """Returns the share (n,) of a light that reaches points; None: all that faces it."""
        if not light.shadow:
            return None
        facing = np.flatnonzero(normals @ light.direction.astype(np.float32) > 0)
        reached = np.zeros(len(points), dtype=np.float32)
        rays = light.rays() if soft else light.direction[None]
        for ray in rays:
            reached[facing] += ~self.occluded(scene, points[facing], ray)
        reached /= len(rays)
        return reached

    def occluded(self, scene: Scene, points: Floats, direction: Array) -> NDArray[np.bool_]:
        """Returns whether anything lies on the rays from points (n, 3), camera frame."""
        blocked = np.zeros(len(points), dtype=np.bool_)
        if len(points) == 0:
            return blocked
        around = Sphere.of(points)
        for instance in scene.instances:
            open_ = np.flatnonzero(~blocked)
            mesh = self._prepare(instance.mesh)
            blocked[open_] = mesh.blocks(instance.T_camera_mesh, points[open_], direction, around)
        return blocked


def _edges(index: NDArray[np.int32], depth: Floats) -> NDArray[np.bool_]:
    """Returns the mask of pixels beside another instance or beyond a step in depth."""
    kernel = np.ones((3, 3), dtype=np.uint8)
    labels = (index + 1).astype(np.uint8)
    outline = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    step = cv2.dilate(depth, kernel) - cv2.erode(depth, kernel) > 0.02 * depth
    return np.asarray(outline | (step & (index >= 0)), dtype=np.bool_)
