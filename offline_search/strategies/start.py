# SPDX-License-Identifier: Apache-2.0
"""Where a differentiable search begins: around the budget, near a network made by hand.

The favoured operator of each layer is likely open, and structures are as likely as exp(-b cost),
with the b at which random networks cost what is wanted. (Gates that were shifted instead, under
structures drawn evenly, would have to close nearly all operators of all layers.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch

from fpg_pose_ros.geometry import Array
from offline_search.space.gates import Gate
from offline_search.space.meter import PriceList
from offline_search.space.search_space import SearchSpace

_FAVOURED, _OTHER = 0.6, 0.08
"""How likely gates are open by themselves, before any shift."""
_STRUCTURES: Final = 128
# At most this many standard deviations of the cost a unit of log-likelihood: a few structures of
# the sample would be all that counts otherwise.
_STEEPEST: Final = 2.5
_FLOOR: Final = 0.05
"""Added to the share of each of a gene's values, so that none is shut out."""
_GREATEST_SHIFT: Final = 4.0
_HALVINGS: Final = 20


@dataclass(frozen=True, eq=False)
class Start:
    """First logits: (n,) of the candidates of each slot, and of the values of each gene."""

    gates: tuple[Array, ...]
    genes: tuple[Array, ...]


def start(
    space: SearchSpace,
    gate: Gate,
    prices: Callable[[tuple[int, ...]], PriceList],
    wanted: float,
    favoured: str,
    rng: np.random.Generator,
) -> Start:
    """First logits of a search.

    Args:
        space: The space.
        gate: How logits become probabilities.
        prices: Of a structure.
        wanted: Mean cost of random networks; met as nearly as can be.
        favoured: Operator that is likely open; "": none is.
        rng: Of the structures that the mean is taken over.
    """
    sizes = [len(gene.choices) for gene in space.genes]
    choices = np.stack([rng.integers(size, size=_STRUCTURES) for size in sizes], axis=1)
    lists = [prices(tuple(int(index) for index in row)) for row in choices]
    likely = [
        np.array([_logit(_FAVOURED if name == favoured else _OTHER) for name in slot.candidates])
        for slot in space.slots
    ]

    def costs(shift: float) -> Array:
        opened = [
            gate.probabilities(torch.from_numpy(values + shift)).tolist() for values in likely
        ]
        return np.array([one.fixed + one.of(opened) for one in lists])

    weights = _tilted(costs(0.0), wanted)
    shift = _root(lambda value: float(weights @ costs(value)) - wanted, _GREATEST_SHIFT)
    genes = tuple(
        np.log(np.bincount(choices[:, index], weights, minlength=size) + _FLOOR / size)
        for index, size in enumerate(sizes)
    )
    return Start(tuple(values + shift for values in likely), genes)


def _tilted(costs: Array, wanted: float) -> Array:
    """Shares (N,) as exp(b cost) with the b at which the mean cost is the wanted one."""
    spread = float(costs.std())
    if spread == 0.0:
        return np.full(len(costs), 1.0 / len(costs))
    scores = (costs - costs.mean()) / spread
    best = _root(lambda b: float(_softmax(b * scores) @ costs) - wanted, _STEEPEST)
    return _softmax(best * scores)


def _softmax(values: Array) -> Array:
    powers = np.exp(values - values.max())
    return np.asarray(powers / powers.sum())


def _root(rising: Callable[[float], float], most: float) -> float:
    """Where a rising function is zero, within +-most."""
    low, high = -most, most
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return low


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
