# SPDX-License-Identifier: Apache-2.0
"""Frames of films as samples of an object's poses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.objects import ObjectModel
from offline_search.data.compose import PoseSample
from offline_search.data.datasets import Ramp, shuffled
from offline_search.data.films import FRAMES, FilmStore
from offline_search.data.objects import RenderableObject
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName
from offline_search.data.sources import Split


class FilmFrames:
    """All frames of some films, in a random order that begins anew when all have been shown."""

    def __init__(self, store: FilmStore, *, seed: int, length: int) -> None:
        """Opens them.

        Args:
            store: the films.
            seed: of the order.
            length: how many samples.
        """
        self.store, self.seed, self.length = store, seed, length

    def __len__(self) -> int:
        """Returns the number of samples."""
        return self.length

    def place(self, index: int) -> tuple[int, int]:
        """Returns film and frame of sample `index`."""
        frames = self.store.frames
        return divmod(shuffled(index, len(self.store) * frames, self.seed), frames)

    def __getitem__(self, index: int) -> PoseSample:
        """Returns sample `index`, by itself."""
        if not 0 <= index < self.length:
            raise IndexError(f"sample {index} of {self.length}")
        cv2.setNumThreads(0)  # as in `datasets`
        return self.store.sample(*self.place(index))


@dataclass(frozen=True, eq=False)
class FilmPoses:
    """A `PoseSource` of films of one object.

    Attributes:
        thing: the object.
        cache: folder of rendered films; the user's cache folder by default.
    """

    thing: RenderableObject
    cache: Path | None = None

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
    ) -> FilmFrames:
        """See `PoseSource`: `layers` is how many frames are rendered; splits differ by their seeds.

        A film is as difficult as its scene.

        Raises:
            DatasetError: another renderer than Embree is asked for.
        """
        if renderer != DEFAULT_RENDERER:
            raise DatasetError(
                f"films are rendered by {DEFAULT_RENDERER} alone, not by {renderer}: leave "
                "--renderer out"
            )
        store = FilmStore(
            self.cache,
            self.thing,
            seed=seed,
            count=-(-layers // FRAMES),
            resolution=resolution,
            margin=margin,
        )
        return FilmFrames(store, seed=seed, length=length)
