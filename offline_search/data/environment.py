# SPDX-License-Identifier: Apache-2.0
"""Light from all around: made-up rooms as small panoramas, which light surfaces and mirror in them.

Diffuse light is the panorama's in spherical harmonics up to degree 2, which holds all but about a
hundredth of what a matt surface sees of it (Ramamoorthi and Hanrahan, "An efficient representation
for irradiance environment maps", 2001). Highlights look into the panorama, blurred as the surface
is rough.
"""

from __future__ import annotations

import functools
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.data import variety

Floats = NDArray[np.float32]

_HEIGHT: Final = 32  # rows of a panorama; twice as many columns
# Cosine lobe's weights of the degrees 0, 1, 2, divided by pi: a white surface sends back 1 of 1.
_LOBE: Final = np.array([1.0] + [2 / 3] * 3 + [1 / 4] * 5, dtype=np.float32)


class _Grid(NamedTuple):
    """A panorama's pixels: unit directions (h, w, 3), their solid angles (h, w), harmonics."""

    directions: Floats
    solid_angles: Floats
    harmonics: Floats


class Environment:
    """A panorama of light.

    Attributes:
        radiance: (32, 64, 3) linear RGB. Row 0 looks along +z (up); column x looks along the
            azimuth 2 pi (x + 0.5) / 64 about it, from +x towards +y.
        R_world_camera: (3, 3) into the frame of the panorama.
        irradiance: (9, 3) light that white surfaces send back, in the basis of `harmonics`.
    """

    def __init__(self, radiance: Floats, R_world_camera: Array) -> None:
        """Projects the panorama to spherical harmonics."""
        self.radiance = radiance
        self.R_world_camera = R_world_camera
        grid = _grid()
        weighted = (radiance * grid.solid_angles[..., None]).reshape(-1, 3)
        self.irradiance: Floats = (grid.harmonics.reshape(-1, 9).T @ weighted) * _LOBE[:, None]

    def brighter(self, gain: float) -> Environment:
        """Returns the same, `gain` times as bright."""
        return Environment(self.radiance * np.float32(gain), self.R_world_camera)

    def diffuse(self, normals: Floats) -> Floats:
        """Returns the light (n, 3) that white surfaces send back; unit normals, camera frame."""
        turned = normals @ self.R_world_camera.T.astype(np.float32)
        return np.asarray(np.maximum(harmonics(turned) @ self.irradiance, 0.0), dtype=np.float32)

    def mirrored(self, directions: Floats, sharpness: int) -> Floats:
        """Returns the light (n, 3) from unit directions (n, 3), camera frame.

        Args:
            directions: where the mirror image lies.
            sharpness: of the highlight, see `Material`: how blurred the panorama is.
        """
        soft, pad = self._soft(sharpness)
        turned = directions @ self.R_world_camera.T.astype(np.float32)
        x = np.arctan2(turned[:, 1], turned[:, 0]) * np.float32(_HEIGHT / np.pi)
        x = np.where(x < 0, x + 2 * _HEIGHT, x) + np.float32(pad - 0.5)
        y = np.arccos(np.clip(turned[:, 2], -1, 1)) * np.float32(_HEIGHT / np.pi) - np.float32(0.5)
        np.clip(y, 0, _HEIGHT - 1, out=y)  # the poles' rows end the picture
        return look_up(soft, x, y)

    def blurred(self, sharpness: int) -> Floats:
        """Returns the panorama (32, 64, 3) that a surface of that sharpness mirrors."""
        soft, pad = self._soft(sharpness)
        return soft[:, pad:-pad]

    def _soft(self, sharpness: int) -> tuple[Floats, int]:
        """Returns the blurred panorama, and by how many columns it goes on at either side."""
        sigma = 2.0 / np.sqrt(2.0**sharpness) * _HEIGHT / np.pi
        pad = min(3 * int(np.ceil(sigma)), 2 * _HEIGHT)
        wide = np.concatenate([self.radiance[:, -pad:], self.radiance, self.radiance[:, :pad]], 1)
        soft = cv2.GaussianBlur(wide, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
        return np.asarray(soft, dtype=np.float32), pad


def look_up(picture: Floats, x: Floats, y: Floats) -> Floats:
    """Returns the bilinear colours (n, 3) of a picture at px (n,) each; it repeats at its edges."""
    count = len(x)
    columns = min(max(count, 1), 4096)  # cv2.remap takes pictures narrower than 2**15
    rows = -(-count // columns)
    at = np.zeros((2, rows * columns), dtype=np.float32)
    at[0, :count], at[1, :count] = x, y
    map_x, map_y = at.reshape(2, rows, columns)
    looked = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(looked.reshape(-1, 3)[:count], dtype=np.float32)


def random_environment(rng: np.random.Generator, up: Array) -> Environment:
    """Returns a made-up room: floor, walls, ceiling, and panels of light.

    Args:
        rng: source of randomness.
        up: (3,) unit vector upwards, camera frame.
    """
    grid = _grid()
    ceiling = light_color(rng)
    floor = rng.uniform(*variety.FLOOR) * ceiling * rng.uniform(0.8, 1.2, 3)
    wall = rng.uniform(*variety.WALL) * ceiling * rng.uniform(0.85, 1.15, 3)
    height = grid.directions[..., 2:]
    above = np.clip((height - 0.3) * 4 + 0.5, 0, 1)
    below = np.clip((-height - 0.15) * 6 + 0.5, 0, 1)
    radiance = wall + above * (ceiling - wall) + below * (floor - wall)
    patches = cv2.resize(rng.uniform(0.5, 1.5, (4, 8)), (2 * _HEIGHT, _HEIGHT))
    radiance = radiance * patches[..., None]
    for _ in range(int(rng.integers(variety.PANELS[0], variety.PANELS[1] + 1))):
        azimuth, z = rng.uniform(-np.pi, np.pi), rng.uniform(-0.1, 0.95)
        level = np.sqrt(1 - z * z)
        middle = np.array([level * np.cos(azimuth), level * np.sin(azimuth), z])
        side = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
        width, tall = np.sin(rng.uniform(*variety.PANEL_SIZE, 2))
        inside = (
            (np.abs(grid.directions @ side) < width)
            & (np.abs(grid.directions @ np.cross(middle, side)) < tall)
            & (grid.directions @ middle > 0)
        )
        radiance[inside] = rng.uniform(*variety.PANEL_LIGHT) * light_color(rng)
    azimuth = rng.uniform(-np.pi, np.pi)
    side = np.cross(up, np.eye(3)[np.argmin(np.abs(up))])
    side /= np.linalg.norm(side)
    right = np.cos(azimuth) * side + np.sin(azimuth) * np.cross(up, side)
    R_world_camera = np.stack([right, np.cross(up, right), up])
    made = Environment(radiance.astype(np.float32), R_world_camera)
    strength = float(np.exp(rng.uniform(*np.log(variety.SURROUND))))
    return made.brighter(strength / float(made.diffuse(up[None].astype(np.float32)).mean()))


def light_color(rng: np.random.Generator) -> Array:
    """Returns a near white RGB (3,), from candle to sky."""
    warmth = rng.uniform(-variety.WARMTH, variety.WARMTH)
    green = rng.uniform(-variety.GREENNESS, variety.GREENNESS)
    return np.array([1.0 + warmth, 1.0 + green, 1.0 - warmth])


@functools.cache
def _grid() -> _Grid:
    polar = (np.arange(_HEIGHT) + 0.5) * np.pi / _HEIGHT
    azimuth = (np.arange(2 * _HEIGHT) + 0.5) * np.pi / _HEIGHT
    sine = np.sin(polar)[:, None]
    directions = np.stack(
        [
            sine * np.cos(azimuth),
            sine * np.sin(azimuth),
            np.broadcast_to(np.cos(polar)[:, None], (_HEIGHT, 2 * _HEIGHT)),
        ],
        axis=-1,
    ).astype(np.float32)
    solid = np.broadcast_to(sine * (np.pi / _HEIGHT) ** 2, directions.shape[:2])
    return _Grid(directions, solid.astype(np.float32), harmonics(directions))


def harmonics(directions: Floats) -> Floats:
    """Returns the 9 real spherical harmonics of degree 2 and less at unit directions (..., 3)."""
    x, y, z = np.moveaxis(directions, -1, 0)
    values = (
        np.full_like(x, 0.282095),
        0.488603 * y,
        0.488603 * z,
        0.488603 * x,
        1.092548 * x * y,
        1.092548 * y * z,
        0.315392 * (3 * z * z - 1),
        1.092548 * x * z,
        0.546274 * (x * x - y * y),
    )
    return np.stack(values, axis=-1).astype(np.float32)
