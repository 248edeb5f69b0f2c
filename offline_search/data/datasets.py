# SPDX-License-Identifier: Apache-2.0
"""Map-like datasets for training: sample i is a pure function of the configuration, the seed and i.

They may be handed to worker processes of any start method: layers are shared on disk, and
whatever cannot cross processes is made anew in each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from fpg_pose_ros.errors import DatasetError
from offline_search.data.compose import CropConfig, PoseSample, crop_sample
from offline_search.data.frames import LocatorSample, frame_sample
from offline_search.data.layers import LayerStore
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import Renderer

#: Things around are shared by all seeds: they cost as much to render as objects do.
_CLUTTER_LAYERS: Final = 384
_CLUTTER_SEED: Final = 77
_CLUTTER_PX: Final = 112
#: That of 128 px crops, with which frames then share them.
FRAME_LAYER_PX: Final = 144
_POSE, _FRAME, _ORDER = 1, 2, 3  # purposes: keep the random numbers of each apart


@dataclass(frozen=True)
class Ramp:
    """A difficulty that rises with the sample's index, for training from clean to cluttered.

    Attributes:
        start, end: difficulties, 0 = clean to 1 = cluttered.
        samples: index at which `end` is reached; 0 = at once.
    """

    start: float = 1.0
    end: float = 1.0
    samples: int = 0

    def at(self, index: int) -> float:
        """Returns the difficulty of sample `index`."""
        share = 1.0 if self.samples <= 0 else min(index / self.samples, 1.0)
        return self.start + (self.end - self.start) * share


_NAMED: Final = {"clean": 0.0, "cluttered": 1.0}


def as_ramp(difficulty: str | float | Ramp) -> Ramp:
    """Reads "clean", "cluttered", a number from 0 to 1, or a ramp between such.

    Raises:
        DatasetError: it is none of these.
    """
    if isinstance(difficulty, Ramp):
        ramp = difficulty
    elif isinstance(difficulty, str):
        if difficulty not in _NAMED:
            raise DatasetError(f"difficulty {difficulty!r}: say clean, cluttered or 0 to 1")
        ramp = Ramp(_NAMED[difficulty], _NAMED[difficulty])
    else:
        ramp = Ramp(float(difficulty), float(difficulty))
    if not (0.0 <= ramp.start <= 1.0 and 0.0 <= ramp.end <= 1.0):
        raise DatasetError(f"difficulty {difficulty!r}: say clean, cluttered or 0 to 1")
    return ramp


def layer_resolution(resolution: int, margin: float) -> int:
    """Returns the side of layers, px, that show the object somewhat larger than crops do."""
    return int(np.ceil(resolution / margin * 1.4 / 16.0)) * 16


class PoseDataset:
    """Crops around one object."""

    def __init__(
        self,
        thing: RenderableObject,
        *,
        seed: int,
        resolution: int = 128,
        layers: int = 6000,
        difficulty: str | float | Ramp = "cluttered",
        length: int | None = None,
        margin: float = 1.28,
        layer_seed: int | None = None,
        layer_px: int | None = None,
        others: Sequence[RenderableObject] = (),
        renderer: Renderer | None = None,
        cache: Path | None = None,
    ) -> None:
        """Opens the layer caches; renders nothing yet.

        Args:
            thing: the object.
            seed: of the samples.
            resolution: side of the crops, px.
            layers: how many different views are rendered.
            difficulty: "clean", "cluttered", 0 to 1, or a `Ramp` over the index.
            length: how many samples, `layers` by default; each run of `layers` shows each once.
            margin: side of a crop in sides of the object's box, as the estimator cuts it.
            layer_seed: of the renders, so that runs can share them; `seed` by default.
            layer_px: side of a layer; None: `layer_resolution` of the crops.
            others: objects that stand around, besides made-up things.
            renderer: of the object's layers; Embree's by default.
            cache: folder of the layer caches.
        """
        self.thing = thing
        self.seed = seed
        self.config = CropConfig(resolution=resolution, margin=margin)
        self.difficulty = as_ramp(difficulty)
        self.length = layers if length is None else length
        self.layers = LayerStore(
            cache,
            thing,
            seed=seed if layer_seed is None else layer_seed,
            count=layers,
            resolution=layer_px or layer_resolution(resolution, margin),
            renderer=renderer,
        )
        self.clutter = _clutter(cache, others)

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self.length

    def __getitem__(self, index: int) -> PoseSample:
        """Returns sample `index`."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of {self.length}")
        return self.showing(index, self.view_of(index))

    @property
    def views(self) -> int:
        """How many layers there are."""
        return len(self.layers)

    def view_of(self, index: int) -> int:
        """Returns the layer that sample `index` shows."""
        return shuffled(index, len(self.layers), self.seed)

    def showing(self, index: int, view: int) -> PoseSample:
        """Returns sample `index`, but of another layer."""
        cv2.setNumThreads(0)  # processes are the parallelism; OpenCV's threads would fight them
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, _POSE)))
        layer = self.layers[view]
        difficulty = self.difficulty.at(index)
        return crop_sample(rng, self.thing, layer, self.clutter, self.config, difficulty)


class LocatorDataset:
    """Whole frames with each of some objects in it once or not at all."""

    def __init__(
        self,
        things: Sequence[RenderableObject],
        *,
        seed: int,
        shape: tuple[int, int] = (168, 224),
        layers: int = 2000,
        difficulty: str | float | Ramp = "cluttered",
        length: int | None = None,
        layer_seed: int | None = None,
        layer_px: int = FRAME_LAYER_PX,
        others: Sequence[RenderableObject] = (),
        renderer: Renderer | None = None,
        cache: Path | None = None,
    ) -> None:
        """Opens the layer caches; renders nothing yet.

        Args:
            things: the objects, in the order of classes.
            seed: of the samples.
            shape: (height, width) of the frames, px.
            layers: how many different views of each object are rendered.
            difficulty: "clean", "cluttered", 0 to 1, or a `Ramp` over the index.
            length: how many samples; `layers` by default.
            layer_seed: of the renders, so that runs can share them; `seed` by default.
            layer_px: side of a layer, px.
            others: objects that stand around, besides made-up things.
            renderer: of the object's layers; Embree's by default.
            cache: folder of the layer caches.
        """
        if not things:
            raise DatasetError("a locator dataset needs at least one object")
        self.things = tuple(things)
        self.seed = seed
        self.shape = shape
        self.difficulty = as_ramp(difficulty)
        self.length = layers if length is None else length
        self.layers = tuple(
            LayerStore(
                cache,
                thing,
                seed=seed if layer_seed is None else layer_seed,
                count=layers,
                resolution=layer_px,
                renderer=renderer,
            )
            for thing in self.things
        )
        self.clutter = _clutter(cache, others)

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self.length

    def __getitem__(self, index: int) -> LocatorSample:
        """Returns sample `index`."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of {self.length}")
        cv2.setNumThreads(0)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, _FRAME)))
        layers = tuple(
            store[shuffled(index, len(store), self.seed + number)]
            for number, store in enumerate(self.layers)
        )
        return frame_sample(
            rng, self.things, layers, self.clutter, self.shape, self.difficulty.at(index)
        )


def _clutter(cache: Path | None, others: Sequence[RenderableObject]) -> LayerStore:
    return LayerStore(
        cache,
        None,
        seed=_CLUTTER_SEED,
        count=_CLUTTER_LAYERS,
        resolution=_CLUTTER_PX,
        others=others,
    )


def shuffled(index: int, count: int, seed: int) -> int:
    """Returns the layer of sample `index`: every run of `count` samples is another permutation."""
    turn, place = divmod(index, count)
    rng = np.random.default_rng(np.random.SeedSequence((seed, turn, _ORDER)))
    step = int(rng.integers(1, count + 1))
    while np.gcd(step, count) != 1:
        step += 1
    return (place * step + int(rng.integers(count))) % count
