# SPDX-License-Identifier: Apache-2.0
"""A floor and a wall: textured planes, warped into the image exactly, with shadows on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, transform
from offline_search.data.backgrounds import background
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Scene

Image = NDArray[np.uint8]

_TEXTURE_PX: Final = 512
_SHADOW_STEP: Final = 4  # shadows on planes are soft: one ray in 4x4 pixels will do
_SHADOW_BLUR: Final = 0.9


@dataclass(frozen=True, eq=False)
class Plane:
    """A textured plane.

    Attributes:
        T_rest_plane: (4, 4) frame on the plane, its z the normal towards the viewer; `rest` is
            where the camera rests.
        texture: (h, w, 3) uint8, repeated by reflection.
        size: side of the texture, m.
    """

    T_rest_plane: Array
    texture: Image
    size: float

    @staticmethod
    def random(rng: np.random.Generator, T_rest_plane: Array, size: float) -> Plane:
        """Returns a plane with a random, somewhat soft texture."""
        texture = background(rng, _TEXTURE_PX, _TEXTURE_PX)
        soft = np.asarray(cv2.GaussianBlur(texture, (0, 0), 1.2), dtype=np.uint8)
        return Plane(T_rest_plane, soft, size)

    def picture(self, T_camera_rest: Array, K: Array, size: tuple[int, int], gain: Array) -> Image:
        """Returns what the camera sees were this plane all there is, (h, w, 3).

        Args:
            T_camera_rest: where the camera is.
            K: (3, 3) intrinsics.
            size: (width, height) of the picture, px.
            gain: (3,) factors on the texture's colours.
        """
        T = T_camera_rest @ self.T_rest_plane
        metres_per_texel = self.size / self.texture.shape[0]
        # texel (u, v) -> plane point -> pixel
        texel = np.array(
            [
                [metres_per_texel, 0.0, -0.5 * self.size],
                [0.0, metres_per_texel, -0.5 * self.size],
                [0.0, 0.0, 1.0],
            ]
        )
        H = K @ np.column_stack([T[:3, 0], T[:3, 1], T[:3, 3]]) @ texel
        table = np.clip(np.arange(256)[:, None] * gain, 0, 255).astype(np.uint8).reshape(1, 256, 3)
        return np.asarray(
            cv2.warpPerspective(
                cv2.LUT(self.texture, table), H, size, borderMode=cv2.BORDER_REFLECT_101
            ),
            dtype=np.uint8,
        )

    def equation(self, T_camera_rest: Array) -> Array:
        """Returns e (3,) with e . ray = 1 / (distance along the ray) for camera rays."""
        T = T_camera_rest @ self.T_rest_plane
        return np.asarray(T[:3, 2] / (T[:3, 2] @ T[:3, 3]), dtype=np.float64)


class Room:
    """A floor and a wall before a camera, and the shadows on them."""

    def __init__(self, floor: Plane, wall: Plane) -> None:
        """Joins the two planes; the camera must be on the front side of both."""
        self.planes = (floor, wall)

    def picture(
        self,
        renderer: EmbreeRenderer,
        scene: Scene,
        T_camera_rest: Array,
        K: Array,
        size: tuple[int, int],
    ) -> Image:
        """Returns (h, w, 3) uint8: the planes with the shadows of the scene's instances.

        Args:
            renderer: traces the shadows.
            scene: whose first light casts them; camera frame.
            T_camera_rest: where the camera is.
            K: (3, 3) intrinsics.
            size: (width, height) of the image, px.
        """
        back = np.linalg.inv(K)
        equations = np.stack([plane.equation(T_camera_rest) for plane in self.planes])
        # of two planes the nearer is seen: where 1 / distance is the larger, a linear matter
        x, y = np.arange(size[0]), np.arange(size[1])
        a, b, c = (equations[1] - equations[0]) @ back
        wall = ((a * x)[None, :] + (b * y + c)[:, None] > 0).astype(np.uint8)
        image = np.empty((size[1], size[0], 3), dtype=np.uint8)
        shadowed = []
        for plane, mask in zip(self.planes, (1 - wall, wall), strict=True):
            lit, dark = _light_on((T_camera_rest @ plane.T_rest_plane)[:3, 2], scene)
            shadowed.append(float((dark / lit).mean()))
            rows = np.flatnonzero(mask.any(axis=1))
            if len(rows) == 0:
                continue
            top, bottom = int(rows[0]), int(rows[-1]) + 1
            K_rows = K - np.array([[0.0, 0.0, 0.0], [0.0, 0.0, top], [0.0, 0.0, 0.0]])
            picture = plane.picture(T_camera_rest, K_rows, (size[0], bottom - top), lit)
            cv2.copyTo(picture, mask[top:bottom], image[top:bottom])
        kept = self._shadows(renderer, scene, equations, K, size, shadowed)
        cv2.multiply(image, cv2.cvtColor(kept, cv2.COLOR_GRAY2RGB), dst=image, scale=1 / 255)
        return image

    def _shadows(
        self,
        renderer: EmbreeRenderer,
        scene: Scene,
        equations: Array,
        K: Array,
        size: tuple[int, int],
        shadowed: list[float],
    ) -> Image:
        """Returns (h, w) uint8: how much of the light shadows leave, 255 = all."""
        width, height = -(-size[0] // _SHADOW_STEP), -(-size[1] // _SHADOW_STEP)
        K_coarse = np.diag([1 / _SHADOW_STEP, 1 / _SHADOW_STEP, 1.0]) @ K
        K_coarse[:2, 2] -= 0.5 - 0.5 / _SHADOW_STEP
        back = np.linalg.inv(K_coarse)
        kept = np.full((height, width), 255, dtype=np.uint8)
        light = scene.lights[0]
        for instance in scene.instances:
            hull = transform(instance.T_camera_mesh, renderer.hull(instance.mesh))
            for number, equation in enumerate(equations):
                box = _shadow_box(hull, light.direction, equation, K_coarse, (width, height))
                if box is None:
                    continue
                x0, y0, x1, y1 = box
                x, y = (grid.ravel() for grid in np.meshgrid(np.arange(x0, x1), np.arange(y0, y1)))
                rays = np.stack([x, y, np.ones(len(x))], axis=1) @ back.T
                inverse = rays @ equations.T
                seen = inverse.argmax(axis=1) == number
                points = (rays[seen] / inverse[seen, number, None]).astype(np.float32)
                alone = Scene(instances=(instance,))
                dark = renderer.occluded(alone, points, light.direction)
                kept[y[seen][dark], x[seen][dark]] = int(255 * shadowed[number])
        soft = cv2.GaussianBlur(kept, (0, 0), _SHADOW_BLUR)
        grown = cv2.resize(soft, None, fx=_SHADOW_STEP, fy=_SHADOW_STEP)
        return np.ascontiguousarray(grown[: size[1], : size[0]], dtype=np.uint8)


def _light_on(normal: Array, scene: Scene) -> tuple[Array, Array]:
    """Returns the gains (3,) on a plane's texture in the light and in the first light's shadow."""
    height = 0.5 + 0.5 * float(normal @ scene.up)
    dark = scene.ambient[1] + height * (scene.ambient[0] - scene.ambient[1])
    parts = [max(float(normal @ light.direction), 0.0) * light.color for light in scene.lights]
    dark = dark + sum(parts[1:], np.zeros(3))
    return np.sqrt(dark + parts[0]), np.sqrt(dark)


def _shadow_box(
    hull: Array, direction: Array, equation: Array, K: Array, size: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """Returns the pixels (x0, y0, x1, y1), ends excluded, that a hull's shadow can touch."""
    along = direction @ equation
    if along > -1e-6:  # the light comes from behind the plane
        return None
    # slide the hull's points along the light onto the plane: equation . point = 1
    fallen = hull + ((1.0 - hull @ equation) / along)[:, None] * direction
    if fallen[:, 2].min() < 0.05:
        fallen = fallen[fallen[:, 2] >= 0.05]
        if len(fallen) == 0:
            return None
    pixels = fallen @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    low, high = np.floor(pixels.min(axis=0)), np.ceil(pixels.max(axis=0)) + 1
    x0, x1 = np.clip([low[0], high[0]], 0, size[0]).astype(int)
    y0, y1 = np.clip([low[1], high[1]], 0, size[1]).astype(int)
    return (int(x0), int(y0), int(x1), int(y1)) if x0 < x1 and y0 < y1 else None
