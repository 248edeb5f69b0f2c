# SPDX-License-Identifier: Apache-2.0
"""BN-NAS: neural architecture search with batch normalisation (arXiv 2108.07375).

The paper's: a supernet of uniformly drawn paths of which only the last batch norm of each block is
trained, all else stays as it was drawn, for about a tenth of the usual samples; a network's score
is what those norms' gammas add up to (`gammas`); evolution finds the best one under a cap on the
cost (`evolution`). What is ours stands in docs/methods.md.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path as File
from typing import Any, Final

import numpy as np
from torch import Tensor

from offline_search.space.meter import PriceBook
from offline_search.strategies.evolution import Evolution
from offline_search.strategies.gammas import GammaScore, train_last_norms_only
from offline_search.strategies.problem import (
    Budget,
    Outcome,
    Problem,
    check_settings,
    spread,
)
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed, repair
from offline_search.strategies.session import FORWARD, Session
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.strategies.single_path import (
    as_few_open,
    draw,
    draw_at_cost,
    even_genes,
    everything,
)
from offline_search.training.distributed import World, joined

_DRAW, _EVOLUTION, _PROBE = range(20, 23)  # purposes of random numbers
FROZEN: Final = 2 * FORWARD
"""Compute of a step that makes no gradients of weights, in forward passes."""
_RIVALS: Final = 24


@dataclass(frozen=True)
class BnNasSettings:
    """Settings of the strategy.

    Attributes:
        share: Of the search's compute that is spent: about a tenth suffices for norms alone.
        rate: Learning rate, by that of other trainings: norms alone have few steps to go far.
        normalised: Divide a layer's figures by the greatest of them, see `gammas`.
        population, parents, mutations, crossovers, chance, generations: See `Evolution`.
    """

    share: float = 0.1
    rate: float = 10.0
    normalised: bool = True
    population: int = 50
    parents: int = 10
    mutations: int = 25
    crossovers: int = 25
    chance: float = 0.1
    generations: int = 20

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("share", 0 < self.share <= 1, "above 0, at most 1"),
            ("rate", self.rate > 0, "positive"),
            ("normalised", isinstance(self.normalised, bool), "true or false"),
            ("population", self.population >= 1, "at least 1"),
            ("parents", self.parents >= 1, "at least 1"),
            ("mutations", self.mutations >= 0, "0 or more"),
            ("crossovers", self.crossovers >= 0, "0 or more"),
            ("chance", 0 <= self.chance <= 1, "in [0, 1]"),
            ("generations", self.generations >= 0, "0 or more"),
        )
        check_settings("bn_nas", self, rules)

    @property
    def evolution(self) -> Evolution:
        """Of these numbers."""
        return Evolution(
            population=self.population,
            parents=self.parents,
            mutations=self.mutations,
            crossovers=self.crossovers,
            chance=self.chance,
            generations=self.generations,
        )


@register(
    "bn_nas",
    paper="BN-NAS: Neural architecture search with batch normalization, arXiv 2108.07375",
    summary="only the last batch norm of each block is trained; their gammas rank networks",
)
class BnNas:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `BnNasSettings`' fields."""
        self.settings = BnNasSettings(**settings)

    def search(self, problem: Problem, out: File) -> Outcome:
        """See `Strategy`."""
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out).run()


class _Search:
    """One run."""

    def __init__(self, settings: BnNasSettings, problem: Problem, world: World, out: File) -> None:
        self.settings, self.problem = settings, problem
        self.space, self.outputs = problem.space, problem.task.outputs
        faster = replace(problem.config, lr=settings.rate * problem.config.lr)
        self.weights = SharedWeights(replace(problem, config=faster), world, apart=True)
        train_last_norms_only(self.weights.supernet)
        self.prices = PriceBook(self.space, self.outputs, problem.budget.meter)
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session, share = self.session, self.settings.share
        for step in session.steps(share, self._state, self._restore, self._snapshot):
            rng = np.random.default_rng(self._seed(_DRAW, step))
            path = draw(self.space, everything(self.space), rng)
            network = path.architecture(self.space, self.outputs)
            batch = session.batch("training")
            loss = self.weights.step(network, batch, session.spent / share)
            price = path.cost(self.prices)
            session.spend(price, FROZEN)
            amount = self.problem.budget.amount
            session.note({"loss_train": loss, "expected": price, "budget": amount})
        return self._evolved()

    def _evolved(self) -> Outcome:
        began = time.monotonic()
        problem, score = self.problem, self._score()
        cap = self._cap()
        ranked, best = self.settings.evolution.run(
            self.space,
            lambda rng: draw_at_cost(self.prices, everything(self.space), cap, rng),
            score.of,
            lambda path: cap.holds(path.cost(self.prices)),
            np.random.default_rng(self._seed(_EVOLUTION, 0)),
        )
        wanted = as_few_open(problem, ranked[0][0].preference(self.space))
        repaired = repair(self.space, wanted, problem.budget, self.outputs)
        rivals = [
            (path.architecture(self.space, self.outputs), -value)
            for path, value in ranked[1:]
            if problem.budget.holds(path.cost(self.prices))
        ]
        return Outcome(
            architecture=self.space.architecture(repaired.point, self.outputs),
            why=repaired.why,
            estimate=-ranked[0][1],
            rivals=tuple(spread(rivals, _RIVALS)),
            images=self.session.images,
            minutes=(self.session.seconds + time.monotonic() - began) / 60.0,
            details={
                "settings": asdict(self.settings),
                "compute": self.session.spent,
                "steps": self.session.step,
                "compared": len(ranked),
                "generations": [round(value, 6) for value in best],
                "gates_text": "The mean |gamma| of each operator's last batch norm, in shares of "
                "its layer's sum; choices of structure have none, evolution alone makes them.",
                "course_text": "Networks are drawn evenly, and only their last batch norms learn; "
                "the expected cost is theirs. There is no held-out part: scores need no data.",
            },
        )

    def _cap(self) -> Budget:
        """The budget's band; without its lower end where no single operators reach it."""
        rng = np.random.default_rng(self._seed(_PROBE, 0))
        budget = self.problem.budget
        drawn = draw_at_cost(self.prices, everything(self.space), budget, rng)
        return budget if budget.holds(drawn.cost(self.prices)) else replace(budget, low=0.0)

    def _score(self) -> GammaScore:
        normalised = self.settings.normalised
        return GammaScore.read(self.space, self.weights.supernet, normalised=normalised)

    def _snapshot(self) -> dict[str, Any]:
        score = GammaScore.read(self.space, self.weights.supernet, normalised=False)
        widest = tuple(
            gene.choices.index(max(gene.choices)) if gene.name.startswith("width") else 0
            for gene in self.space.genes
        )
        layers = [score.layer(slot, widest) for slot in range(len(self.space.slots))]
        return {
            "gates": [[round(float(v), 4) for v in row / (row.sum() or 1.0)] for row in layers],
            "genes": even_genes(self.space),
        }

    def _seed(self, purpose: int, step: int) -> int:
        return derived_seed(self.problem.config.seed, purpose, step)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return self.weights.tensors(), {}

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.weights.restore(tensors)
