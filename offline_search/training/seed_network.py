# SPDX-License-Identifier: Apache-2.0
"""A trained network that another training, or a search, starts from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.network import Network, build
from offline_search.space.remap import remap
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.config import TrainingError

_WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class SeedNetwork:
    """See the module.

    Attributes:
        network: With its weights.
        digest: Of its file: two seeds of one digest are the same.
    """

    network: Network
    digest: str

    def start_of(self, target: Network) -> Mapping[str, Tensor]:
        """The target's state with what it takes over, see `remap`."""
        return remap(self.network, target)


def load_seed_network(place: str | Path) -> SeedNetwork:
    """From the folder of a finished training, or from its weights.

    Raises:
        TrainingError: There is none.
    """
    path = Path(place)
    path = path / _WEIGHTS_FILE if path.is_dir() else path
    try:
        tensors, scalars = load_checkpoint(path)
        network = build(Architecture.from_json(scalars["architecture"]))
        network.load_state_dict(tensors)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except (TrainingError, ArchitectureError, KeyError, RuntimeError, OSError) as error:
        raise TrainingError(
            f"seed network {place}: no trained network can be read from it; give the folder that "
            f"`fpg-pose retrain` left, or its {_WEIGHTS_FILE}"
        ) from error
    return SeedNetwork(network.eval(), digest)
