# SPDX-License-Identifier: Apache-2.0
"""What each strategy does in a table's space: replayed from the table, or as it was recorded.

A strategy that compares networks by training them asks nothing but what the table answers: it is
replayed, with any number of seeds. One that trains shared weights cannot be: no table of finished
trainings holds their gradients. Its searches were made for real, each with its own compute, and are
in the table as far as they can be judged: what was found, and how what was compared was ranked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from offline_search.strategies.random_search import RandomSearch, random_network
from offline_search.strategies.repair import derived_seed
from offline_search.tabular.table import Table, TableError

REPLAYED: Final = "random"
_LEAST_COMPUTE: Final = 2.0
"""Of a replayed course, in trainings in full of a network of the budget."""


@dataclass(frozen=True)
class Course:
    """One search, as far as it is judged.

    Attributes:
        strategy: Its name.
        seed: Of the search.
        replayed: From the table; else it was made for real.
        incumbents: Compute spent, rising, and the network that the search would then return; of a
            search for real one entry, for it is made for its compute.
        ranking: Networks that were compared: compute spent when the estimate was known, network,
            and estimate: less is better.
    """

    strategy: str
    seed: int
    replayed: bool
    incumbents: tuple[tuple[float, str], ...]
    ranking: tuple[tuple[float, str, float], ...]

    def at(self, compute: float) -> tuple[str | None, list[tuple[str, float]]]:
        """What it would return, None so early, and its ranking, when so much is spent."""
        limit = compute * (1 + 1e-9)
        reached = [digest for spent, digest in self.incumbents if spent <= limit]
        ranking = [(digest, value) for spent, digest, value in self.ranking if spent <= limit]
        return (reached[-1] if reached else None), ranking


def recorded(table: Table) -> list[Course]:
    """The searches that were made for real."""
    return [
        Course(
            strategy=one.strategy,
            seed=one.seed,
            replayed=False,
            incumbents=((one.compute, one.found),),
            ranking=tuple((one.compute, digest, value) for digest, value in one.ranking),
        )
        for one in table.searches
    ]


class RandomReplay:
    """Random search with short trainings, each looked up."""

    def __init__(self, table: Table) -> None:
        """Of a whole table."""
        about = table.about
        self.table, self.space = table, table.space
        self.mean_open = RandomSearch().mean_open
        self.budget = about.budget
        self.macs = {network.digest: network.macs for network in table.networks}
        short = [one for one in table.trainings if one.images == about.short_images]
        self.seeds = sorted({one.seed for one in short})
        self.losses: Mapping[tuple[str, int], float] = {
            (one.network, one.seed): one.loss for one in short
        }
        self.share = about.short_images / (about.images * about.budget_macs)
        self.most = max([_LEAST_COMPUTE, *(one.compute for one in table.searches)])

    def course(self, seed: int) -> Course:
        """A search of that seed: networks as `random` draws them, one after another.

        All its short trainings are of one seed of the table's.

        Raises:
            TableError: A network's short training is not in the table.
        """
        outputs, training_seed = self.table.about.outputs, self.seeds[seed % len(self.seeds)]
        spent, best = 0.0, ""
        seen: dict[str, float] = {}
        incumbents, ranking = [], []
        number = 0
        while spent < self.most:
            of_draw = derived_seed(seed, number)
            network, _ = random_network(self.space, self.budget, outputs, of_draw, self.mean_open)
            digest, number = network.digest, number + 1
            # Drawn again it is trained again, as the strategy does.
            spent += self.share * self.macs[digest]
            if digest not in seen:
                seen[digest] = self._loss(digest, training_seed)
                ranking.append((spent, digest, seen[digest]))
            best = digest if not best or seen[digest] < seen[best] else best
            incumbents.append((spent, best))
        return Course(REPLAYED, seed, True, tuple(incumbents), tuple(ranking))

    def _loss(self, digest: str, seed: int) -> float:
        try:
            return self.losses[digest, seed]
        except KeyError:
            raise TableError(
                f"the table has no short training of network {digest[:12]} with seed {seed}; run "
                "benchmarks/table.py to its end"
            ) from None
