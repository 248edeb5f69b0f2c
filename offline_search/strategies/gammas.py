# SPDX-License-Identifier: Apache-2.0
"""What the last batch norms of a supernet's operators say of a network (BN-NAS, arXiv 2108.07375).

A network's score is the sum over its layers of the mean |gamma| of the chosen operator's last batch
norm; what has none, the identity, has 0. It needs no data and no forward pass. Normalised (ours), a
layer's figures are divided by the greatest among its candidates: else layers of large gammas decide
for all.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from fpg_pose_ros.geometry import Array
from offline_search.space.network import Layer
from offline_search.space.operators import last_norm
from offline_search.space.search_space import SearchSpace
from offline_search.space.supernet import GatedLayer, Supernet
from offline_search.strategies.single_path import Path


def train_last_norms_only(supernet: Supernet) -> None:
    """Freezes all but the last batch norm of each operator, and starts those at gamma = 1.

    Ours: residual operators would start at 0 and others at 1, which no comparison survives.
    """
    supernet.requires_grad_(False)
    for operators in _operators(supernet):
        for one in operators:
            norm = last_norm(one)
            if norm is not None:
                norm.requires_grad_(True)
                nn.init.ones_(norm.weight)
                nn.init.zeros_(norm.bias)


def _operators(supernet: Supernet) -> list[nn.ModuleList]:
    """Those of each slot; in a supernet whose operators are apart, in its candidates' order."""
    layers = list(supernet.body.layers)
    assert all(isinstance(layer, Layer | GatedLayer) for layer in layers)
    return [layer.operators for layer in layers]  # type: ignore[misc]


class GammaScore:
    """The score of any network of one operator a layer, read once from a supernet."""

    def __init__(
        self, space: SearchSpace, gammas: Sequence[Sequence[Array | None]], *, normalised: bool
    ) -> None:
        """Of known gammas.

        Args:
            space: The space.
            gammas: For each slot, for each candidate its gammas (channels,); None: the identity.
            normalised: See the module.
        """
        self.normalised = normalised
        names = [gene.name for gene in space.genes]
        self._width = [names.index(f"width_{slot.stage}") for slot in space.slots]
        self._widths = [space.genes[gene].choices for gene in self._width]
        self._rows = [
            {
                width: np.array([0.0 if g is None else np.abs(g[:width]).mean() for g in slot])
                for width in widths
            }
            for slot, widths in zip(gammas, self._widths, strict=True)
        ]

    @staticmethod
    @torch.no_grad()
    def read(space: SearchSpace, supernet: Supernet, *, normalised: bool) -> GammaScore:
        """Of a supernet whose operators are apart."""
        gammas = []
        for operators in _operators(supernet):
            norms = [last_norm(one) for one in operators]
            gammas.append(
                [None if norm is None else norm.weight.double().cpu().numpy() for norm in norms]
            )
        return GammaScore(space, gammas, normalised=normalised)

    def layer(self, slot: int, choices: tuple[int, ...]) -> Array:
        """Figures (n,) of a slot's candidates in a structure: a narrower one uses fewer gammas."""
        row = self._rows[slot][self._widths[slot][choices[self._width[slot]]]]
        greatest = row.max()
        return row / greatest if self.normalised and greatest > 0 else row

    def of(self, path: Path) -> float:
        """The sum over layers; more is better."""
        layers = enumerate(path.picks)
        return float(sum(self.layer(slot, path.choices)[pick] for slot, pick in layers))
