# SPDX-License-Identifier: Apache-2.0
"""What a trained backbone makes of films, on disk: a temporal cell is trained on that alone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from offline_search.data.films import FilmStore
from offline_search.data.slots import Slots
from offline_search.space.network import Network
from offline_search.training.feed import to_input
from offline_search.training.seed_network import SeedNetwork

#: Change when the same weights come to give other features: old caches are then left aside.
VERSION: Final = 1


class FilmFeatures:
    """Features (F, C, h, w) of the frames of each film, float32."""

    def __init__(self, path: Path | None, films: FilmStore, seed_network: SeedNetwork) -> None:
        """Opens or makes the files; computes nothing yet.

        Args:
            path: Folder for caches, see `slots.Slots`.
            films: Whose crops have the size of the network's input.
            seed_network: Whose backbone it is.

        Raises:
            DatasetError: The folder cannot be written.
        """
        self.films = films
        self._seed = seed_network
        architecture = seed_network.network.architecture
        width = architecture.stages[-1].width
        described = {
            "version": VERSION,
            "films": films.folder.name,
            "weights": seed_network.digest,
        }
        shape = (films.frames, width, *architecture.feature_size)
        self._slots = Slots(
            path, "features", described, len(films), {"features": (np.float32, shape)}
        )

    def __getitem__(self, film: int) -> NDArray[np.float32]:
        """Of one film; computed if nobody has yet."""
        if not self._slots.holds(film):
            self._slots.fill(film, {"features": self._compute(self._seed.network, film)})
        features: NDArray[np.float32] = self._slots.read(film)["features"]
        return features

    def prepare(self, device: torch.device) -> None:
        """Computes what is missing; interrupted, it goes on when it is called again."""
        missing = [film for film in range(len(self.films)) if not self._slots.holds(film)]
        if not missing:
            return
        network = self._seed.network.to(device)
        for film in tqdm(missing, desc="features", unit="film"):
            self._slots.fill(film, {"features": self._compute(network, film)})
        network.cpu()

    @torch.no_grad()
    def _compute(self, network: Network, film: int) -> NDArray[np.float32]:
        device = next(network.parameters()).device
        images = torch.from_numpy(np.ascontiguousarray(self.films[film].images))
        features: NDArray[np.float32] = network.features(to_input(images, device)).cpu().numpy()
        return features
