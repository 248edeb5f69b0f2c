# SPDX-License-Identifier: Apache-2.0
"""What each operator and each choice of structure does to the loss, from networks compared.

Losses of different networks on the same batch differ by what the networks are, and by noise. Their
differences from the batch's mean are fitted by a sum of effects, one of each gene's values and of
each slot's candidates (ridge regression): an effect below zero makes networks better. (Our rule, of
DA-NAS, for which blocks are poor.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.strategies.single_path import Left

_RIDGE: Final = 1.0
"""Networks' worth of belief that there is no effect."""


@dataclass(frozen=True, eq=False)
class Effects:
    """Of every variable's values.

    Attributes:
        values: For each variable the effects (n,) on the loss, nats.
        errors: Their standard errors (n,).
    """

    values: tuple[Array, ...]
    errors: tuple[Array, ...]

    def certainty(self, variable: int) -> Array:
        """(n,): by how many standard errors each value makes networks better."""
        return np.asarray(-self.values[variable] / self.errors[variable])


def effects(
    sizes: Sequence[int], taken: NDArray[np.int64], losses: Array, together: int
) -> Effects:
    """Fits them.

    Args:
        sizes: Values of each variable.
        taken: (N, variables) which value each network has.
        losses: (N,) of the networks.
        together: So many rows in a row are of one batch.
    """
    starts = np.concatenate([[0], np.cumsum(sizes)])
    ones = np.zeros((len(taken), starts[-1]))
    for variable, start in enumerate(starts[:-1]):
        ones[np.arange(len(taken)), start + taken[:, variable]] = 1.0
    X, y = _centred(ones, together), _centred(losses[:, None], together)[:, 0]
    inverse = np.linalg.inv(X.T @ X + _RIDGE * np.eye(X.shape[1]))
    found = inverse @ (X.T @ y)
    freedom = max(1, len(y) - len(y) // together)
    variance = max(float(((y - X @ found) ** 2).sum()) / freedom, 1e-12)
    errors = np.sqrt(variance * np.diag(inverse))
    parts = range(len(sizes))
    return Effects(
        tuple(found[starts[i] : starts[i + 1]] for i in parts),
        tuple(errors[starts[i] : starts[i + 1]] for i in parts),
    )


def survivors(slots: Sequence[Array], left: Left, keep: float) -> list[list[int]]:
    """Of each slot's candidates the share `keep`, rounded up, of the least effects.

    Args:
        slots: For each slot the effects (n,) of all candidates.
        left: Those that are still there; ties are settled by their order.
        keep: In (0, 1].
    """
    kept = []
    for values, indices in zip(slots, left, strict=True):
        count = max(1, math.ceil(keep * len(indices) - 1e-9))
        best = sorted(indices, key=lambda index, v=values: float(v[index]))[:count]  # type: ignore[misc]
        kept.append(sorted(best))
    return kept


def _centred(values: Array, together: int) -> Array:
    """(N, n) less the mean of each run of `together` rows."""
    runs = values.reshape(-1, together, values.shape[1])
    return np.asarray((runs - runs.mean(axis=1, keepdims=True)).reshape(values.shape))
