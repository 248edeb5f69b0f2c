# SPDX-License-Identifier: Apache-2.0
"""Laying cut-outs over one another: premultiplied RGBA over RGB, in uint8, in OpenCV's C loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, apply_affine
from offline_search.data import variety
from offline_search.data.backgrounds import background, random_polygon
from offline_search.data.layers import LayerStore
from offline_search.data.painting import Layer
from offline_search.data.tables import shadow_to_layer

Image = NDArray[np.uint8]

_TRIES: Final = 4
_UPRIGHT: Final = 0.15  # rad; how far upright things are from it


@dataclass(frozen=True, eq=False)
class Patch:
    """A premultiplied RGBA picture (h, w, 4) with its place in a larger one: column x, row y."""

    rgba: Image
    x: int = 0
    y: int = 0

    def part_of(self, picture: Image) -> Image:
        """Returns the view of a picture (H, W, ...) that this patch lies on."""
        height, width = self.rgba.shape[:2]
        return picture[self.y : self.y + height, self.x : self.x + width]

    def alpha(self, shape: tuple[int, int]) -> Image:
        """Returns its alpha in a picture of `shape` (h, w), nought around it."""
        whole = np.zeros(shape, dtype=np.uint8)
        self.part_of(whole)[:] = self.rgba[..., 3]
        return whole


def lay_over(image: Image, patch: Patch) -> None:
    """Lays a patch over an RGB picture, in place."""
    if patch.rgba.size:
        rgb = np.asarray(cv2.cvtColor(patch.rgba, cv2.COLOR_RGBA2RGB), dtype=np.uint8)
        lay_over_parts(patch.part_of(image), rgb, patch.rgba[..., 3])


def lay_over_parts(image: Image, rgb: Image, alpha: Image) -> None:
    """Lays colours, premultiplied by `alpha`, over an RGB picture, in place."""
    dim(image, np.asarray(cv2.bitwise_not(alpha), dtype=np.uint8))
    cv2.add(image, rgb, dst=image)


def dim(image: Image, kept: Image) -> None:
    """Multiplies an RGB picture by `kept` / 255, (h, w), in place."""
    cv2.multiply(image, cv2.cvtColor(kept, cv2.COLOR_GRAY2RGB), dst=image, scale=1 / 255)


def hide(mask: Image, patch: Patch) -> None:
    """Takes from a mask (h, w) what a patch laid over it hides, in place."""
    if patch.rgba.size:
        part = patch.part_of(mask)
        cv2.multiply(part, cv2.bitwise_not(patch.rgba[..., 3]), dst=part, scale=1 / 255)


def warp(rgba: Image, A: Array, shape: tuple[int, int]) -> Patch:
    """Returns a layer in a picture of `shape` (h, w), with picture_px = A (2, 3) @ [layer_px, 1].

    Where it shrinks by more than half it is first halved by areas, so that it does not alias.
    """
    scale = float(np.sqrt(abs(np.linalg.det(A[:, :2]))))
    while scale < 0.5 and min(rgba.shape[:2]) >= 4:
        half = (rgba.shape[1] // 2, rgba.shape[0] // 2)
        even = rgba[: half[1] * 2, : half[0] * 2]
        rgba = np.asarray(cv2.resize(even, half, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        # pixel x of the half covers pixels 2x and 2x + 1: its centre is at 2x + 0.5
        A = np.column_stack([A[:, :2] * 2.0, A[:, 2] + A[:, :2] @ [0.5, 0.5]])
        scale *= 2.0
    height, width = rgba.shape[:2]
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height]])
    reached = apply_affine(A, corners)
    low = np.clip(np.floor(reached.min(axis=0)), 0, shape[::-1]).astype(int)
    high = np.clip(np.ceil(reached.max(axis=0)) + 1, 0, shape[::-1]).astype(int)
    x, y = int(low[0]), int(low[1])
    size = (int(high[0]) - x, int(high[1]) - y)
    if min(size) <= 0:
        return Patch(np.zeros((0, 0, 4), dtype=np.uint8))
    local = A - np.array([[0.0, 0.0, x], [0.0, 0.0, y]])
    warped = cv2.warpAffine(rgba, local, size, flags=cv2.INTER_LINEAR)
    return Patch(np.asarray(warped, dtype=np.uint8), x, y)


def rotation(angle: float) -> Array:
    """Returns the 2x2 turn by an angle (rad), x towards y."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s], [s, c]])


def tint(rng: np.random.Generator, patch: Patch, strength: float) -> Patch:
    """Returns a patch brighter or darker than what surrounds it; premultiplied colours stay so."""
    gains = np.exp(rng.uniform(-0.25, 0.15) * strength) * np.exp(rng.uniform(-0.06, 0.06, 3))
    if not patch.rgba.size:
        return patch
    ramp = np.arange(256)[:, None] * np.append(gains, 1.0)
    table = np.minimum(ramp, 255).astype(np.uint8).reshape(1, 256, 4)
    return Patch(np.asarray(cv2.LUT(patch.rgba, table), dtype=np.uint8), patch.x, patch.y)


def some_thing(
    rng: np.random.Generator,
    clutter: LayerStore,
    shape: tuple[int, int],
    centre: Array,
    side: float,
    *,
    upright: bool = False,
) -> Patch:
    """Returns a thing of the clutter, `side` px large, at `centre` px, turned anyhow or little."""
    layer = clutter[int(rng.integers(len(clutter)))]
    angle = rng.normal(0.0, _UPRIGHT) if upright else rng.uniform(-np.pi, np.pi)
    turn = rotation(angle) * (side / clutter.resolution)
    middle = np.full(2, 0.5 * (clutter.resolution - 1))
    placed = warp(layer.rgba, np.column_stack([turn, centre - turn @ middle]), shape)
    return tint(rng, placed, 1.0)


def anywhere(rng: np.random.Generator, shape: tuple[int, int], inset: float = -0.1) -> Array:
    """Returns a place (x, y), px, in a picture of `shape` (h, w), `inset` of its size inside."""
    return np.asarray(rng.uniform(inset, 1.0 - inset, 2) * shape[::-1], dtype=np.float64)


def lay_shadow(
    rng: np.random.Generator, image: Image, layer: Layer, A: Array, strength: float = 1.0
) -> None:
    """Darkens a picture by the shadow that was traced with a layer, in place.

    Args:
        rng: of how dark it is.
        image: (h, w, 3).
        layer: whose shadow it is.
        A: (2, 3) with picture_px = A @ [layer_px, 1].
        strength: of it, 1 = as traced at most.
    """
    if not layer.plane.any():
        return
    inner = np.vstack([shadow_to_layer(layer.rgba.shape[0]), [0.0, 0.0, 1.0]])
    size = (image.shape[1], image.shape[0])
    soft = cv2.warpAffine(layer.shadow, A @ inner, size, flags=cv2.INTER_LINEAR)
    kept = cv2.convertScaleAbs(soft, alpha=-strength * rng.uniform(0.7, 1.0), beta=255)
    dim(image, np.asarray(kept, dtype=np.uint8))


def occlude(
    rng: np.random.Generator, image: Image, alpha: Image, clutter: LayerStore
) -> tuple[Image, float]:
    """Returns the picture with something before the object, and how much of it is still to be seen.

    Args:
        rng: source of randomness.
        image: (h, w, 3), the object about its middle.
        alpha: (h, w) of the object.
        clutter: layers of other things.
    """
    total = max(float(alpha.sum()), 1.0)
    for _ in range(_TRIES):
        candidate, seen = image.copy(), alpha.copy()
        for _ in range(1 + (rng.random() < 0.3)):
            layer = _occluder(rng, clutter, (alpha.shape[0], alpha.shape[1]))
            lay_over(candidate, layer)
            hide(seen, layer)
        visible = float(seen.sum()) / total
        if visible >= variety.MIN_VISIBLE:
            return candidate, visible
    return image, 1.0


def _occluder(rng: np.random.Generator, clutter: LayerStore, shape: tuple[int, int]) -> Patch:
    """Returns something in the way: a thing, a flat shape, or the image's edge."""
    size = np.array(shape[::-1])
    centre = size / 2 + rotation(rng.uniform(-np.pi, np.pi))[0] * rng.uniform(0.15, 0.5) * size
    kind = rng.random()
    if kind < 0.6:
        return some_thing(rng, clutter, shape, centre, rng.uniform(0.25, 0.8) * shape[0])
    if kind < 0.9:
        mask = np.zeros(shape, dtype=np.uint8)
        polygon = random_polygon(rng, centre, rng.uniform(0.15, 0.5) * shape[0])
        cv2.fillPoly(mask, [polygon], 255, cv2.LINE_AA)
        texture = background(rng, *shape)
        dim(texture, mask)
        return Patch(np.dstack([texture, mask]))
    # the end of the camera's image, beyond which crops are black
    layer = np.zeros((*shape, 4), dtype=np.uint8)
    layer[: int(rng.uniform(0.05, 0.3) * shape[0]), :, 3] = 255
    quarter_turns = int(rng.integers(4)) if shape[0] == shape[1] else 2 * int(rng.integers(2))
    return Patch(np.ascontiguousarray(np.rot90(layer, quarter_turns)))
