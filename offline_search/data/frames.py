# SPDX-License-Identifier: Apache-2.0
"""Whole frames for the locator, from the same layers that crops are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, apply_affine
from offline_search.data import variety
from offline_search.data.backgrounds import background
from offline_search.data.compose import project, random_turn
from offline_search.data.effects import photograph
from offline_search.data.layers import LayerStore
from offline_search.data.objects import RenderableObject
from offline_search.data.painting import Layer
from offline_search.data.stacking import (
    Image,
    anywhere,
    hide,
    lay_over,
    lay_shadow,
    some_thing,
    tint,
    warp,
)
from offline_search.data.views import IMAGE_SIZE

_SIZES: Final = (0.08, 0.7)  # larger side of other things, in heights of the frame
_SIZE_JITTER: Final = 0.25  # log size of an object, about that at the distances it is seen from
_EMPTY: Final = 0.15  # share of frames without an object
_ABSENT: Final = 0.35  # chance that an object is missing from a frame of several


@dataclass(frozen=True, eq=False)
class LocatorSample:
    """A whole frame.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) x0, y0, x1, y1 of the whole (amodal) objects, px; may leave the frame.
        classes: (n,) int64 index of each one's object.
    """

    image: Image
    boxes: Array
    classes: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Placed:
    """An object in a frame: its class, its box, what of it is still seen, and what was."""

    number: int
    box: Array
    seen: Image
    whole: float


def frame_sample(
    rng: np.random.Generator,
    things: tuple[RenderableObject, ...],
    layers: tuple[Layer, ...],
    clutter: LayerStore,
    shape: tuple[int, int],
    difficulty: float,
) -> LocatorSample:
    """Composes a frame in which each object is seen once or not at all.

    Args:
        rng: all randomness comes from here.
        things: the objects, in the order of classes.
        layers: one of each object.
        clutter: layers of other things.
        shape: (height, width) of the frame, px.
        difficulty: 0 = clean to 1 = cluttered.
    """
    image = background(rng, *shape)
    for _ in range(min(int(rng.poisson(1.0 + 4.0 * difficulty)), 8)):
        side = _random_side(rng, shape)
        lay_over(image, some_thing(rng, clutter, shape, anywhere(rng, shape), side))
    placed: list[_Placed] = []
    empty = rng.random() < _EMPTY
    for number in rng.permutation(len(things)).tolist():
        if empty or (len(things) > 1 and rng.random() < _ABSENT):
            continue
        box, A = _place(rng, things[number], layers[number], shape)
        shown = tint(rng, warp(layers[number].rgba, A, shape), difficulty)
        seen = shown.alpha(shape)
        lay_shadow(rng, image, layers[number], A)
        lay_over(image, shown)
        for other in placed:
            hide(other.seen, shown)
        placed.append(_Placed(number, box, seen, float(seen.sum())))
    for target in placed:
        if rng.random() < 0.35 * difficulty:
            extent = target.box[2:] - target.box[:2]
            centre = (target.box[:2] + target.box[2:]) / 2 + rng.uniform(-0.6, 0.6, 2) * extent
            side = rng.uniform(0.4, 0.9) * float(extent.max())
            occluder = some_thing(rng, clutter, shape, centre, side)
            lay_over(image, occluder)
            for other in placed:
                hide(other.seen, occluder)
    kept = [
        item
        for item in placed
        if float(item.seen.sum()) >= variety.MIN_VISIBLE * max(item.whole, 1.0)
    ]
    return LocatorSample(
        image=photograph(rng, image, difficulty, shrunk=shape[0] / IMAGE_SIZE[1]),
        boxes=np.array([item.box for item in kept], dtype=np.float64).reshape(-1, 4),
        classes=np.array([item.number for item in kept], dtype=np.int64),
    )


def _random_side(rng: np.random.Generator, shape: tuple[int, int]) -> float:
    """Returns a size in px, as often small as large."""
    return float(np.exp(rng.uniform(*np.log(_SIZES))) * shape[0])


def _place(
    rng: np.random.Generator, thing: RenderableObject, layer: Layer, shape: tuple[int, int]
) -> tuple[Array, Array]:
    """Returns an object's box (4,), and the affine (2, 3) from its layer to the frame."""
    turn = random_turn(rng, thing, layer)
    corners = apply_affine(layer.A, project(layer, thing.hull)) @ turn.T
    low, high = corners.min(axis=0), corners.max(axis=0)
    # as large as the layer's own camera sees it, so that sizes are those that the views allow
    natural = shape[1] / IMAGE_SIZE[0] / float(np.sqrt(np.linalg.det(layer.A[:, :2])))
    scale = natural * float(np.exp(rng.uniform(-_SIZE_JITTER, _SIZE_JITTER)))
    centre = anywhere(rng, shape, inset=0.05)
    A = np.column_stack([scale * turn, centre - scale * (low + high) / 2])
    reach = scale * (high - low) / 2
    return np.concatenate([centre - reach, centre + reach]), A
