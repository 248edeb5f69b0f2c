# SPDX-License-Identifier: Apache-2.0
"""What an object stands on: the plane under it, its look, and the object's shadow upon it.

The shadow is traced together with the layer, in the same light, and kept beside it, small: then it
can be laid over any ground, with the soft edge and the dark contact that real shadows have.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, invert_affine
from offline_search.data import variety
from offline_search.data.appearance import log_uniform
from offline_search.data.backgrounds import background
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Scene

Image = NDArray[np.uint8]

#: A shadow's picture is this many times as wide as the layer, and has so many px for one of it.
SHADOW_SPAN: Final = 2.0
SHADOW_SHARE: Final = 3
_SKY_RAYS: Final = 16
_FADE: Final = 0.15  # of the shadow's picture: it ends softly at its borders
_TEXTURE_PX: Final = 80
_MOST_NEARER: Final = 0.95  # a table's nearest corner than the foot, of the foot's depth
_LEAST_HEIGHT: Final = float(np.sin(np.radians(4.0)))  # of the camera over a table


def shadow_side(resolution: int) -> int:
    """Returns the side of the shadow's picture, px, of a layer of `resolution` px."""
    return max(8, resolution // SHADOW_SHARE)


def shadow_to_layer(resolution: int) -> Array:
    """Returns the affine (2, 3) from px of the shadow's picture to px of its layer."""
    side = shadow_side(resolution)
    scale = SHADOW_SPAN * resolution / side
    offset = 0.5 * (resolution - 1) - scale * 0.5 * (side - 1)
    return np.array([[scale, 0.0, offset], [0.0, scale, offset]])


def plane_under(points: Array, up: Array) -> Array:
    """Returns the level plane under points (N, 3) as (normal, height): normal . x = height.

    All nought where the camera does not look down on it.
    """
    heights = points @ up
    height = float(heights.min())
    centre = points.mean(axis=0)
    if height >= 0 or -(centre @ up) < _LEAST_HEIGHT * np.linalg.norm(centre):
        return np.zeros(4)
    return np.append(up, height)


def trace_shadow(
    tracer: EmbreeRenderer, scene: Scene, plane: Array, K: Array, A: Array, resolution: int
) -> Image:
    """Returns how much of a plane's brightness a scene takes away, (s, s), 255 = all.

    Args:
        tracer: finds what is in the way of the light.
        scene: with an environment.
        plane: (4,) see `plane_under`; nought: no shadow.
        K: (3, 3) intrinsics.
        A: (2, 3) of the layer, layer_px = A @ [image_px, 1].
        resolution: of the layer, px.
    """
    side = shadow_side(resolution)
    shadow = np.zeros((side, side), dtype=np.float32)
    normal = plane[:3]
    assert scene.environment is not None
    if not normal.any():
        return shadow.astype(np.uint8)
    y, x = (grid.ravel() for grid in np.mgrid[:side, :side])
    to_layer, to_image = (
        np.vstack([affine, [0.0, 0.0, 1.0]])
        for affine in (shadow_to_layer(resolution), invert_affine(A))
    )
    rays = np.stack([x, y, np.ones(len(x))]).T @ (np.linalg.inv(K) @ to_image @ to_layer).T
    down = rays @ normal
    ahead = np.flatnonzero(down < -1e-6)
    distance = plane[3] / down[ahead]
    # the far ends of the plane see nothing of a small thing
    reach = 3.0 * float(np.median(distance))
    ahead, distance = ahead[distance < reach], distance[distance < reach]
    points = (rays[ahead] * distance[:, None] + 1e-5 * normal).astype(np.float32)
    around = float(scene.environment.diffuse(normal[None].astype(np.float32)).mean())
    sky = _sky(normal)
    parts = [(ray, around / len(sky)) for ray in sky]
    for light in scene.lights:
        spots = light.rays()
        strength = float(light.color.mean()) * max(float(light.direction @ normal), 0.0)
        parts += [(ray, strength / len(spots)) for ray in spots]
    lost = np.zeros(len(points), dtype=np.float32)
    for ray, strength in parts:
        lost += tracer.occluded(scene, points, ray) * np.float32(strength)
    kept = 1.0 - lost / sum(strength for _, strength in parts)
    shadow[y[ahead], x[ahead]] = 1.0 - np.sqrt(np.clip(kept, 0.0, 1.0))  # pictures have gamma 2
    inset = (np.minimum(np.arange(side), np.arange(side)[::-1]) + 0.5) / (_FADE * side)
    ramp = np.minimum(inset, 1.0).astype(np.float32)
    shadow = cv2.GaussianBlur(shadow, (0, 0), 0.8) * ramp * ramp[:, None]
    return np.asarray(shadow * 255.0 + 0.5, dtype=np.uint8)


def _sky(up: Array) -> Array:
    """Returns unit directions (n, 3) about `up`, as a level surface weighs its surroundings."""
    turn = np.arange(_SKY_RAYS) + 0.5
    level = np.sqrt(turn / _SKY_RAYS)
    angle = turn * np.pi * (3.0 - np.sqrt(5.0))
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    along = np.stack([level * np.cos(angle), level * np.sin(angle), np.sqrt(1.0 - level**2)], 1)
    return np.asarray(along @ np.stack([side, np.cross(up, side), up]), dtype=np.float64)


def table_top(
    rng: np.random.Generator, plane: Array, foot: Array, size: float
) -> tuple[Array, Array]:
    """Returns a corner (3,) of a table, and the two edges (2, 3) that begin there; m, camera frame.

    All of it lies before the camera: a homography would show what lies behind as well, upside down
    above the horizon.

    Args:
        rng: of its size, turn and place.
        plane: (4,) see `plane_under`, not nought.
        foot: (3,) about where the object stands, m, camera frame.
        size: the object's diameter, m.
    """
    normal = plane[:3]
    foot = foot + (plane[3] - foot @ normal) * normal
    half = min(log_uniform(rng, variety.TABLE_SIZE) * size, 0.6 * float(np.linalg.norm(foot)))
    side = np.cross(normal, rng.normal(size=3))
    side /= np.linalg.norm(side)
    axes = np.stack([side, np.cross(normal, side)])
    shift = rng.uniform(-0.4, 0.4, 2)
    # how much nearer the nearest corner is than the foot, along the line of sight, in half edges
    nearer = float(np.abs(axes[:, 2]).sum() - shift @ axes[:, 2])
    half = min(half, _MOST_NEARER * float(foot[2]) / max(nearer, 1e-9))
    return foot + half * ((shift - 1.0) @ axes), 2.0 * half * axes


def lay_table(
    rng: np.random.Generator, image: Image, plane: Array, foot: Array, size: float, H: Array
) -> None:
    """Draws a table in a picture, in place, in the right perspective.

    Args:
        rng: of its look, size and turn.
        image: (h, w, 3).
        plane: (4,) see `plane_under`, not nought.
        foot: (3,) about where the object stands, m, camera frame.
        size: the object's diameter, m.
        H: (3, 3) from camera rays to px of the picture.
    """
    origin, edges = table_top(rng, plane, foot, size)
    texture = background(rng, _TEXTURE_PX, _TEXTURE_PX)
    from_texel = H @ np.column_stack([*(edges / _TEXTURE_PX), origin])
    height, width = image.shape[:2]
    cv2.warpPerspective(
        texture,
        from_texel,
        (width, height),
        dst=image,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )
