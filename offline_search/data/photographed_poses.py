# SPDX-License-Identifier: Apache-2.0
"""Samples from a dataset's photographs: every tenth, always the same ones, is never trained on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.objects import ObjectModel
from offline_search.data.compose import CropConfig, PoseSample
from offline_search.data.datasets import Ramp, shuffled
from offline_search.data.effects import photograph as spoil
from offline_search.data.objects import RenderableObject
from offline_search.data.photographs import Photograph, crop_photograph
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName
from offline_search.data.sources import Split

_PURPOSE: Final = 4  # keeps the random numbers apart from those of rendered samples
_HELD_OUT: Final = 10  # one photograph in so many
# A photograph has the faults of a real camera already.
_SPOILT: Final = 0.5


def is_held_out(name: str) -> bool:
    """Whether a photograph is one of those that are never trained on; depends on its name alone.

    The neighbours of a held-out image in a video are trained on: it tells one network from another,
    and only the dataset's own test tells how good one is.
    """
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big") % _HELD_OUT == 0


@dataclass(frozen=True, eq=False)
class PhotographedPoses:
    """Crops cut from photographs; a `PoseSource`.

    Attributes:
        thing: The object.
        train: Photographs to train on.
        held_out: Others.

    Raises:
        DatasetError: There are none of either kind.
    """

    thing: RenderableObject
    train: tuple[Photograph, ...]
    held_out: tuple[Photograph, ...]

    @staticmethod
    def split(
        thing: RenderableObject, named: Iterable[tuple[str, Photograph]]
    ) -> PhotographedPoses:
        """Holds out by `is_held_out` of the photographs' names."""
        sides: tuple[list[Photograph], list[Photograph]] = [], []
        for name, photograph in named:
            sides[is_held_out(name)].append(photograph)
        return PhotographedPoses(thing, *map(tuple, sides))

    def __post_init__(self) -> None:
        """Checks that both splits can be drawn from."""
        if not self.train or not self.held_out:
            raise DatasetError(
                f"the dataset shows {self.thing.model.name} in {len(self.train)} photographs to "
                f"train on and in {len(self.held_out)} that are held out (one in {_HELD_OUT}); "
                "both are needed: unpack more of it"
            )

    @property
    def model(self) -> ObjectModel:
        """See `PoseSource`."""
        return self.thing.model

    def samples(
        self,
        split: Split,
        *,
        seed: int,
        resolution: int,
        margin: float,
        layers: int,
        layer_px: int | None,
        difficulty: Ramp,
        length: int,
        renderer: RendererName = DEFAULT_RENDERER,
    ) -> PhotographSamples:
        """See `PoseSource`; `layers` photographs at most. What is held out is cropped as it is."""
        if renderer != DEFAULT_RENDERER:
            raise DatasetError(
                f"renderer {renderer}: photographs of {self.thing.model.name} are trained on, and "
                "nothing is rendered; leave the renderer out"
            )
        training = split == "train"
        return PhotographSamples(
            self.thing,
            self.train if training else self.held_out,
            seed=seed,
            config=CropConfig(resolution=resolution, margin=margin),
            views=layers,
            spoilt=difficulty if training else None,
            length=length,
        )


class PhotographSamples:
    """Crops by their indices: sample i is a pure function of the photographs, the seed and i."""

    def __init__(
        self,
        thing: RenderableObject,
        photographs: Sequence[Photograph],
        *,
        seed: int,
        config: CropConfig,
        views: int,
        spoilt: Ramp | None,
        length: int,
    ) -> None:
        """Reads nothing yet.

        Args:
            thing: The object.
            photographs: Of it.
            seed: Of order and jitter.
            config: How crops are cut.
            views: How many photographs are used at most, evenly drawn.
            spoilt: The difficulty, over the index, of the faults that crops are given; None: none.
            length: How many samples; each run of as many as there are photographs shows each once.
        """
        self.thing = thing
        self.photographs = photographs
        self.seed = seed
        self.config = config
        self.views = min(views, len(photographs))
        self.spoilt = spoilt
        self.length = length
        self._renderer = EmbreeRenderer()

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self.length

    def __getitem__(self, index: int) -> PoseSample:
        """Returns sample `index`."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of {self.length}")
        cv2.setNumThreads(0)  # processes are the parallelism; OpenCV's threads would fight them
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, _PURPOSE)))
        chosen = shuffled(index, self.views, self.seed)
        photograph = self.photographs[shuffled(chosen, len(self.photographs), self.seed)]
        sample = crop_photograph(rng, self.thing, photograph, self.config, self._renderer)
        if self.spoilt is None:
            return sample
        difficulty = _SPOILT * self.spoilt.at(index)
        return replace(sample, image=spoil(rng, sample.image, difficulty))
