# SPDX-License-Identifier: Apache-2.0
"""A causal temporal cell, as a plain immutable value.

It stands between the last stage and the head and adds to an image's features f_t what operators
make of those of earlier images, aligned with its crop:

    y_t = f_t + sum over edges of the mean over operators o of o(aligned f_(t - lag))

After NAS-TC (arXiv 2104.01110), where a classical backbone gives the features of frames and a
light cell of temporal convolutions over them is searched. What an edge may hold, several operators
on one edge, and the alignment are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any

from offline_search.space.checks import ArchitectureError, positive, require


@dataclass(frozen=True)
class Edge:
    """What the cell does with the features of one earlier image.

    Attributes:
        lag: How many images earlier, 1 or more.
        operators: Names (see `temporal_cell.OPERATORS`); the edge gives the mean of their outputs.
    """

    lag: int
    operators: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks every field."""
        positive(self.lag, "an edge's lag")
        require(len(self.operators) > 0, f"the edge of lag {self.lag} needs at least one operator")
        require(
            len(set(self.operators)) == len(self.operators),
            f"the edge of lag {self.lag} names an operator twice: {self.operators}",
        )


@dataclass(frozen=True)
class TemporalCell:
    """See the module.

    Attributes:
        edges: By rising lag.
        fps: Images a second that lags count, as in training.
    """

    edges: tuple[Edge, ...]
    fps: float = 30.0

    def __post_init__(self) -> None:
        """Checks every field."""
        require(len(self.edges) > 0, "a temporal cell needs at least one edge")
        lags = self.lags
        require(
            all(before < after for before, after in pairwise(lags)),
            f"the lags of a temporal cell must differ and rise, they are {lags}",
        )
        number = isinstance(self.fps, int | float) and isfinite(self.fps) and self.fps > 0
        require(number, f"a temporal cell's fps must be a positive number, got {self.fps!r}")

    @property
    def lags(self) -> tuple[int, ...]:
        """How many images earlier each edge looks."""
        return tuple(edge.lag for edge in self.edges)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TemporalCell:
        """From the JSON form of its fields.

        Raises:
            ArchitectureError: A field is missing, unknown or out of range.
        """
        try:
            described = dict(document)
            edges = tuple(
                Edge(**{**edge, "operators": tuple(map(str, edge["operators"]))})
                for edge in described.pop("edges")
            )
            return TemporalCell(edges, **described)
        except (KeyError, TypeError, ValueError) as error:
            raise ArchitectureError(
                f"architecture: its cell is not of the expected form ({error!r})"
            ) from error
