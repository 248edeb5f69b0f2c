# SPDX-License-Identifier: Apache-2.0
"""Crops for the pose network, from layers: one affine warp each, so that labels stay exact.

Stacked from behind: background, the table the object stands on, other things, the object's shadow,
the object, what stands before it; then the camera's own faults.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fpg_pose_ros.geometry import Array, CropBox, apply_affine, invert_affine, transform
from offline_search.data import variety
from offline_search.data.backgrounds import background
from offline_search.data.effects import photograph
from offline_search.data.layers import LayerStore
from offline_search.data.objects import RenderableObject
from offline_search.data.painting import Layer
from offline_search.data.stacking import (
    Image,
    anywhere,
    lay_over,
    lay_shadow,
    occlude,
    rotation,
    some_thing,
    tint,
    warp,
)
from offline_search.data.tables import lay_table
from offline_search.data.variety import between
from offline_search.data.views import roll_of, roll_range


@dataclass(frozen=True, eq=False)
class PoseSample:
    """A crop around an object, as a locator would cut it.

    Attributes:
        image: (R, R, 3) uint8 RGB.
        keypoints: (K, 2) crop px of the model's keypoints, in or out of the crop, seen or hidden.
        T_camera_object: (4, 4) pose, m.
        K: (3, 3) intrinsics of the full image.
        A: (2, 3) with crop_px = A @ [image_px, 1]; holds the in-plane turn.
        visible_fraction: how much of the object's picture nothing stands before, 0 to 1.
        mask: (R, R) uint8, how much of each pixel the object covers, hidden parts included; 0..255.
    """

    image: Image
    keypoints: Array
    T_camera_object: Array
    K: Array
    A: Array
    visible_fraction: float
    mask: Image


@dataclass(frozen=True)
class CropConfig:
    """How crops are cut.

    Attributes:
        resolution: side of the crop, px.
        margin: side of the crop in sides of the object's box.
        side_jitter: the side varies by this fraction either way, as a locator's does.
        shift_jitter: the centre moves by up to this fraction of the side.
    """

    resolution: int = 128
    margin: float = 1.28
    side_jitter: float = 0.18
    shift_jitter: float = 0.10


def crop_sample(
    rng: np.random.Generator,
    thing: RenderableObject,
    layer: Layer,
    clutter: LayerStore,
    config: CropConfig,
    difficulty: float,
) -> PoseSample:
    """Composes a crop around one layer.

    Args:
        rng: all randomness comes from here.
        thing: the object shown.
        layer: of that object.
        clutter: layers of other things.
        config: how crops are cut.
        difficulty: 0 = clean (a good camera, nothing in the way) to 1 = cluttered.
    """
    size = config.resolution
    shape = (size, size)
    A = _crop_affine(rng, thing, layer, config)
    back = np.vstack([invert_affine(layer.A), [0.0, 0.0, 1.0]])
    shown = tint(rng, warp(layer.rgba, A @ back, shape), difficulty)
    image = background(rng, *shape)
    standing = bool(layer.plane.any())
    if standing and rng.random() < between(variety.TABLE_SHOWN, difficulty):
        H = np.vstack([A, [0.0, 0.0, 1.0]]) @ layer.K
        foot = layer.T_camera_object[:3, 3]
        lay_table(rng, image, layer.plane, foot, thing.model.diameter, H)
    upright = standing and thing.views.roll_deg is not None
    for _ in range(min(int(rng.poisson(variety.BEHIND * difficulty)), 6)):
        side = rng.uniform(0.3, 0.9) * size
        around = anywhere(rng, shape)
        lay_over(image, some_thing(rng, clutter, shape, around, side, upright=upright))
    alpha = shown.alpha(shape)
    lay_shadow(rng, image, layer, A @ back)
    lay_over(image, shown)
    visible = 1.0
    if rng.random() < variety.OCCLUDED_CHANCE * difficulty:
        image, visible = occlude(rng, image, alpha, clutter)
    return PoseSample(
        image=photograph(rng, image, difficulty),
        keypoints=apply_affine(A, project(layer, thing.model.keypoints)),
        T_camera_object=layer.T_camera_object,
        K=layer.K,
        A=A,
        visible_fraction=visible,
        mask=alpha,
    )


def project(layer: Layer, points: Array) -> Array:
    """Returns where object points (N, 3) are in the image that a layer belongs to, (N, 2) px."""
    projected = transform(layer.T_camera_object, points) @ layer.K.T
    return np.asarray(projected[:, :2] / projected[:, 2:], dtype=np.float64)


def random_turn(rng: np.random.Generator, thing: RenderableObject, layer: Layer) -> Array:
    """Returns a 2x2 in-plane turn; where rolls are limited it ends within `roll_range`."""
    if thing.views.roll_deg is None:
        return rotation(rng.uniform(-np.pi, np.pi))
    return rotation(
        rng.uniform(*roll_range(thing.views)) - roll_of(layer.T_camera_object, thing.views)
    )


def _crop_affine(
    rng: np.random.Generator, thing: RenderableObject, layer: Layer, config: CropConfig
) -> Array:
    """Returns A (2, 3): a turn of the image, then the jittered crop of the turned object's box."""
    turn = random_turn(rng, thing, layer)
    turned = project(layer, thing.hull) @ turn.T
    crop = jittered_box(rng, turned, config).affine(config.resolution)
    return np.column_stack([crop[:, :2] @ turn, crop[:, 2]])


def jittered_box(rng: np.random.Generator, pixels: Array, config: CropConfig) -> CropBox:
    """Returns the crop around pixels (N, 2), off in place and size as a locator's is."""
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    side = float((high - low).max()) * config.margin
    side *= 1.0 + rng.uniform(-config.side_jitter, config.side_jitter)
    shift = rng.uniform(-config.shift_jitter, config.shift_jitter, 2) * side
    cx, cy = (low + high) / 2 + shift
    return CropBox(float(cx), float(cy), side)
