# SPDX-License-Identifier: Apache-2.0
"""Evolution of networks of one operator a layer under a cap on their cost.

In each generation the best of all seen so far are parents; half of the next population are mutants
of one of them, half are crossed from two (BN-NAS, arXiv 2108.07375, with its numbers). A child that
does not fit is made anew. It is written here, and not taken from Optuna, which the project uses
elsewhere: its samplers breed one trial at a time by tournaments of their own, know no elite of
parents nor a given number of mutants, and cannot be told to make a child anew where it costs too
much; a trial takes it longer than a score takes to be summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from offline_search.space.search_space import SearchSpace
from offline_search.strategies.single_path import Path

_ATTEMPTS: Final = 100
"""To make a child that fits."""


@dataclass(frozen=True)
class Evolution:
    """How it goes.

    Attributes:
        population: Networks of the first generation.
        parents: The best so far, from which the next generation comes.
        mutations, crossovers: Children of each kind in a generation.
        chance: Of each gene and operator of a mutant to be drawn anew.
        generations: After the first.
    """

    population: int = 50
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    chance: float = 0.1
    generations: int = 20

    def run(
        self,
        space: SearchSpace,
        first: Callable[[np.random.Generator], Path],
        score: Callable[[Path], float],
        fits: Callable[[Path], bool],
        rng: np.random.Generator,
    ) -> tuple[list[tuple[Path, float]], list[float]]:
        """Evolves.

        Args:
            space: Of the networks.
            first: Draws a network of the first generation.
            score: Of a network, more is better.
            fits: Whether a child's cost does.
            rng: Of all that is drawn.

        Returns:
            All networks seen with their scores, best first, and the best score after each
            generation.
        """
        seen: dict[Path, float] = {}
        population = [first(rng) for _ in range(self.population)]
        best = []
        for generation in range(self.generations + 1):
            seen.update({path: score(path) for path in population if path not in seen})
            ranked = sorted(seen, key=seen.__getitem__, reverse=True)
            best.append(seen[ranked[0]])
            if generation < self.generations:
                population = self._children(space, ranked[: self.parents], fits, rng)
        return [(path, seen[path]) for path in ranked], best

    def _children(
        self,
        space: SearchSpace,
        parents: Sequence[Path],
        fits: Callable[[Path], bool],
        rng: np.random.Generator,
    ) -> list[Path]:
        def any_parent() -> Path:
            return parents[int(rng.integers(len(parents)))]

        makers: list[Callable[[], Path]] = [
            *[lambda: mutated(space, any_parent(), self.chance, rng)] * self.mutations,
            *[lambda: crossed(any_parent(), any_parent(), rng)] * self.crossovers,
        ]
        children = []
        for make in makers:
            attempts = (make() for _ in range(_ATTEMPTS))
            child = next((one for one in attempts if fits(one)), None)
            if child is not None:
                children.append(child)
        return children


def mutated(space: SearchSpace, parent: Path, chance: float, rng: np.random.Generator) -> Path:
    """Each gene and each operator is drawn anew with that chance."""

    def changed(values: Sequence[int], sizes: Sequence[int]) -> tuple[int, ...]:
        anew = rng.random(len(values)) < chance
        drawn = rng.integers(sizes)
        return tuple(int(d) if a else v for v, a, d in zip(values, anew, drawn, strict=True))

    return Path(
        changed(parent.choices, [len(gene.choices) for gene in space.genes]),
        changed(parent.picks, [len(slot.candidates) for slot in space.slots]),
    )


def crossed(one: Path, other: Path, rng: np.random.Generator) -> Path:
    """Each gene and each operator is that of one parent or of the other."""

    def mixed(ours: Sequence[int], theirs: Sequence[int]) -> tuple[int, ...]:
        taken = rng.random(len(ours)) < 0.5
        return tuple(a if t else b for a, b, t in zip(ours, theirs, taken, strict=True))

    return Path(mixed(one.choices, other.choices), mixed(one.picks, other.picks))
