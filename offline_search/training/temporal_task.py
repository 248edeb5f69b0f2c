# SPDX-License-Identifier: Apache-2.0
"""Training of a temporal cell, and of the head behind it, over the features of a frozen backbone.

So an image's features are computed once, whatever is made of them: what a step costs is the cell
and the head.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from offline_search.data.film_poses import FilmFrames
from offline_search.data.films import FPS
from offline_search.space.alignment import align, between_crops
from offline_search.space.network import Network
from offline_search.training.config import TrainingError
from offline_search.training.film_features import FilmFeatures
from offline_search.training.pose_task import PoseTask
from offline_search.training.pose_validation import Prediction, predict
from offline_search.training.task import Batch

_GAP: Final = 0.1
"""How often an earlier image is missing: a track was not measured in it, or is younger."""
_ALONE: Final = 0.1
"""How often all of them are."""
_GAPS = 0x6A9


@dataclass(frozen=True, eq=False)
class Windows:
    """Frames of films with the features of earlier ones.

    Attributes:
        frames: The films' frames.
        features: Of the same films.
        lags: How many frames earlier, rising.
    """

    frames: FilmFrames
    features: FilmFeatures
    lags: tuple[int, ...]

    def window(self, index: int, *, gaps: bool) -> dict[str, Tensor]:
        """What the cell sees of sample `index`.

        Args:
            index: Of the sample.
            gaps: Whether earlier images are left out at random, besides those before the film.

        Returns:
            `features` (C, h, w), `past` (L, C, h, w), each as its own crop has it, or zeros, and
            `maps` (L, 2, 3), see `alignment.align`.
        """
        film, frame = self.frames.place(index)
        features, crops = self.features[film], self.frames.store[film].A
        there = np.array([lag <= frame for lag in self.lags], dtype=np.bool_)
        if gaps:
            seed = np.random.SeedSequence((self.frames.seed, index, _GAPS))
            rng = np.random.default_rng(seed)
            there &= (rng.random(len(there)) >= _GAP) & (rng.random() >= _ALONE)
        past = np.zeros((len(self.lags), *features.shape[1:]), dtype=np.float32)
        maps = np.tile(np.eye(2, 3), (len(self.lags), 1, 1))
        for place in np.flatnonzero(there).tolist():
            before = frame - self.lags[place]
            past[place] = features[before]
            maps[place] = between_crops(crops[frame], crops[before])
        return {
            "features": torch.from_numpy(np.array(features[frame])),
            "past": torch.from_numpy(past),
            "maps": torch.from_numpy(maps.astype(np.float32)),
        }


def aligned(batch: Mapping[str, Tensor], stride: int, device: torch.device) -> Tensor:
    """`past` (B, L, C, h, w) of some windows, as `Network.conclude` takes it."""
    past, maps = batch["past"].to(device), batch["maps"].to(device)
    flat: Tensor = align(past.flatten(0, 1), maps.flatten(0, 1), stride)
    return flat.reshape(past.shape)


class _EncodedWindows(Dataset[dict[str, Tensor]]):
    """Windows beside the labels of their samples; without pictures."""

    def __init__(self, labelled: Dataset[dict[str, Tensor]], windows: Windows) -> None:
        self.labelled, self.windows = labelled, windows

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        labels = self.labelled[index]
        del labels["image"]
        return {**labels, **self.windows.window(index, gaps=True)}


@dataclass(kw_only=True)
class TemporalTask(PoseTask):
    """Learns what earlier images add. `samples` and `held_out` are frames of films.

    Attributes:
        features: Of the training films, by the backbone that the network starts from.
        unseen: Of the held-out ones.
    """

    features: FilmFeatures
    unseen: FilmFeatures
    title: str = "temporal cell"

    def __post_init__(self) -> None:
        """Checks that the films show what the cell looks back at, besides what `PoseTask` checks.

        Raises:
            TrainingError: They do not.
        """
        super().__post_init__()
        cell, frames = self.architecture.cell, self.features.films.frames
        if cell is None:
            return
        if cell.fps != FPS:
            raise TrainingError(
                f"the cell counts {cell.fps:g} images a second, films have {FPS:g}: set its fps to "
                f"{FPS:g}, and its lags to as many of these images"
            )
        if cell.lags[-1] >= frames:
            raise TrainingError(
                f"the cell looks {cell.lags[-1]} images back, and films have {frames}: leave out "
                f"lags above {frames - 1}"
            )

    @property
    def lags(self) -> tuple[int, ...]:
        """Of the network's cell; none of a network without one, whose head alone is trained."""
        cell = self.architecture.cell
        return () if cell is None else cell.lags

    def windows(self, lags: tuple[int, ...], *, held_out: bool = False) -> Windows:
        """The films' frames with those of these lags."""
        frames = self.held_out if held_out else self.samples
        assert isinstance(frames, FilmFrames)
        return Windows(frames, self.unseen if held_out else self.features, lags)

    def dataset(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """See `PoseTask`; what is missing of the features is computed first.

        Raises:
            TrainingError: The easiest of several samples are asked for: a window is of one alone.
        """
        if easiest_of is not None:
            raise TrainingError(
                "temporal cells are trained on samples as they come: take a strategy that does not "
                "ask for the easiest of them, such as temporal"
            )
        self.features.prepare(torch.device(self.config.device))
        return _EncodedWindows(super().dataset(), self.windows(self.lags))

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """See `Task`: the backbone is not run, and so it learns nothing."""
        assert isinstance(network, Network)
        past = aligned(batch, self.architecture.stride, device) if self.lags else None
        return network.conclude(batch["features"].to(device), past)

    def predictions(self, network: nn.Module, indices: Sequence[int]) -> list[Prediction]:
        """See `PoseTask`; with all that there is of earlier images."""
        if not self.lags:
            return super().predictions(network, indices)
        windows, device = self.windows(self.lags, held_out=True), torch.device("cpu")

        def past(chosen: Sequence[int]) -> Tensor:
            each = [windows.window(index, gaps=False) for index in chosen]
            batch = {name: torch.stack([one[name] for one in each]) for name in ("past", "maps")}
            return aligned(batch, self.architecture.stride, device)

        return predict(network, self.model, self.held_out, indices, past)
