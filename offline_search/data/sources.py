# SPDX-License-Identifier: Apache-2.0
"""Where samples of one object come from, behind one interface: renders here, datasets elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from fpg_pose_ros.objects import ObjectModel
from offline_search.data.compose import PoseSample
from offline_search.data.datasets import PoseDataset, Ramp
from offline_search.data.objects import RenderableObject
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName, make_renderer

Split = Literal["train", "held_out"]


class PoseSamples(Protocol):
    """Crops by their indices; pure, so that a resumed run sees the same."""

    def __getitem__(self, index: int, /) -> PoseSample:
        """The sample of that index."""
        ...


class PoseSource(Protocol):
    """An object, and crops that show it in known poses."""

    @property
    def model(self) -> ObjectModel:
        """The object."""
        ...

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
    ) -> PoseSamples:
        """Crops of one split.

        Args:
            split: What is trained on, or what never is.
            seed: Of all that is random in them; another seed gives other samples.
            resolution: Side of the crops, px.
            margin: Side of a crop in sides of the object's box.
            layers: How many different views there are at most.
            layer_px: Side of the renders that crops are cut from, px; None: what fits.
            difficulty: Over the index, 0 = clean to 1 = cluttered.
            length: How many samples.
            renderer: Of the object where it is trained on. What is held out comes from the
                default one, so that trainings by different renderers are judged on one thing.

        Raises:
            DatasetError: The renderer is not installed, or there is nothing to be rendered.
        """
        ...


@dataclass(frozen=True, eq=False)
class RenderedPoses:
    """Crops composed of renders.

    Attributes:
        thing: The object.
        cache: Folder of rendered layers; the user's cache folder by default.
        others: Objects that stand around it, besides made-up things.
    """

    thing: RenderableObject
    cache: Path | None = None
    others: tuple[RenderableObject, ...] = ()

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
    ) -> PoseDataset:
        """See `PoseSource`. Splits differ by their seeds, and by the renderer where asked for."""
        return PoseDataset(
            self.thing,
            seed=seed,
            resolution=resolution,
            layers=layers,
            difficulty=difficulty,
            length=length,
            margin=margin,
            layer_px=layer_px,
            others=self.others,
            renderer=make_renderer(renderer if split == "train" else DEFAULT_RENDERER),
            cache=self.cache,
        )
