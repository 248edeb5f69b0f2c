# SPDX-License-Identifier: Apache-2.0
"""The search that PARSEC (arXiv 1902.05116) and FP-NAS (arXiv 2011.10949) share.

A distribution over networks of one operator a layer, `Categorical`, and weights that they share are
trained in turn. K children are drawn; on a training batch the weights move by the children's
gradients, each by its importance weight; on a held-out batch other children make the distribution
move towards those of great weight. Children run one after another: memory is that of one child.
What is the papers' and what is ours stands in docs/methods.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from offline_search.space.gates import SingleGate
from offline_search.space.meter import PriceBook
from offline_search.space.operators import OPERATORS
from offline_search.strategies.categorical import Categorical
from offline_search.strategies.conclusion import Conclusion
from offline_search.strategies.distribution import generator
from offline_search.strategies.importance import (
    children_losses,
    importance_gradient,
    importance_weights,
)
from offline_search.strategies.logits import Logits
from offline_search.strategies.problem import Outcome, Problem, check_settings
from offline_search.strategies.repair import derived_seed
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.strategies.single_path import Path as Child
from offline_search.strategies.single_path import as_few_open
from offline_search.strategies.start import start
from offline_search.training.distributed import World

_WEIGHT, _LOGIT, _START, _COST = range(10, 14)  # purposes of random numbers
STRUCTURES: Final = 16
"""Drawn for the expected cost: they are priced, not run."""


@dataclass(frozen=True)
class ProbabilisticSettings:
    """Settings of both strategies.

    Attributes:
        samples: Children drawn for a step, K.
        temperature: By which losses are divided to be log-likelihoods, nats.
        logit_rate: Adam's, of the distribution. A search of minutes has a hundred steps of it.
        warmup: Share of the compute before the distribution's first step.
        contest: Share of the compute for the last choice, see `contest`.
        seed_operator: What is likely at first, as in a network made by hand; "": all alike.
        start: Mean cost of the first networks, in budgets.
    """

    samples: int = 8
    temperature: float = 0.1
    logit_rate: float = 0.05
    warmup: float = 0.2
    contest: float = 0.3
    seed_operator: str = "mb_k5_e3"
    start: float = 1.25

    def check(self, strategy: str) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("samples", self.samples >= 2, "at least 2: one child has nothing to be weighed by"),
            ("temperature", self.temperature > 0, "positive"),
            ("logit_rate", self.logit_rate > 0, "positive"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("contest", 0 <= self.contest < 1, "in [0, 1)"),
            ("seed_operator", self.seed_operator in ("", *OPERATORS), "the name of an operator"),
            ("start", self.start > 0, "positive"),
        )
        check_settings(strategy, self, rules)


class ProbabilisticSearch:
    """One run: PARSEC's. What FP-NAS does otherwise are the methods that it overrides."""

    def __init__(
        self, settings: ProbabilisticSettings, problem: Problem, world: World, out: Path
    ) -> None:
        """A search in the folder `out`."""
        self.settings, self.problem, self.world = settings, problem, world
        self.space, self.budget = problem.space, problem.budget
        self.seed, self.outputs = problem.config.seed, problem.task.outputs
        self.weights = SharedWeights(problem, world)
        self.prices = PriceBook(self.space, self.outputs, self.budget.meter)
        begin = start(
            self.space,
            SingleGate(),
            self.prices.of,
            settings.start * self.budget.amount,
            settings.seed_operator,
            np.random.default_rng(derived_seed(self.seed, _START)),
        )
        self.distribution = Categorical(self.space, begin.gates, begin.genes)
        self.logits = Logits(self.distribution.parameters(), settings.logit_rate, world)
        self.conclusion = Conclusion(problem, settings.contest)
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session, until = self.session, self.conclusion.until
        steps = session.steps(until, self.state, self.restore, self.distribution.snapshot)
        for step in steps:
            self.prepare_step()
            self._weight_step(step)
            if self.progress() >= self.settings.warmup:
                self._distribution_step(step)
        preference = as_few_open(self.problem, self.distribution.preference())
        details = {
            "settings": asdict(self.settings),
            "gates_text": "The operators of a layer are one categorical variable, and so are the "
            "values of each choice of structure.",
        }
        return self.conclusion.outcome(session, self.weights, preference, details)

    # --- what FP-NAS does otherwise

    def prepare_step(self) -> None:
        """What is to be done before a step; nothing here."""

    def children(self) -> int:
        """How many are drawn."""
        return self.settings.samples

    def cost_term(self, costs: Tensor, surrogate: Tensor) -> Tensor:
        """What is added to the distribution's objective; nothing here.

        Args:
            costs: (N,) of structures drawn, in budgets.
            surrogate: A scalar whose gradient is that of the expected cost, in budgets.
        """
        return torch.zeros(())

    def figures(self) -> dict[str, float]:
        """Of a distribution's step, for the journal."""
        return {"samples": float(self.children())}

    # --- the two kinds of step

    def _weight_step(self, step: int) -> None:
        children = self._draw(generator(self.seed, step, _WEIGHT))
        batch = self.session.batch("training")
        networks = [child.architecture(self.space, self.outputs) for child in children]
        self.weights.forget_gradients()
        temperature = self.settings.temperature
        _, mean = importance_gradient(self.weights, networks, batch, temperature)
        seen = torch.tensor(mean, device=self.world.device)
        self.weights.apply_gradients(seen, self.progress())
        for child in children:
            self.session.spend(child.cost(self.prices), TRAINING)
        self.session.note({"loss_train": mean})

    def _distribution_step(self, step: int) -> None:
        children = self._draw(generator(self.seed, step, _LOGIT))
        batch = self.session.batch("held_out")
        networks = [child.architecture(self.space, self.outputs) for child in children]
        losses = children_losses(self.weights, networks, batch)
        for child in children:
            self.session.spend(child.cost(self.prices), FORWARD)
        shares = importance_weights(losses, self.settings.temperature)
        likely = torch.stack([self.distribution.log_likelihood(child) for child in children])
        costs, surrogate = self._expected_cost(generator(self.seed, step, _COST))
        self.logits.move(-(shares.float() * likely).sum() + self.cost_term(costs, surrogate))
        likeliest = self.distribution.likeliest()
        self.session.note(
            {
                "loss_held_out": float(np.mean(losses)),
                "expected": float(costs.mean()) * self.budget.amount,
                "discrete": likeliest.cost(self.prices),
                "budget": self.budget.amount,
                "entropy": self.distribution.entropy(),
                "nats": self.distribution.nats(),
                **self.figures(),
            }
        )

    def _draw(self, rng: torch.Generator) -> list[Child]:
        return [self.distribution.draw(rng) for _ in range(self.children())]

    def _expected_cost(self, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Costs (N,) of structures drawn, in budgets, and the surrogate of `cost_term`.

        Within a structure the mean over operators is exact and differentiated through; over
        structures the gradient is REINFORCE's, each with the mean of the others as its baseline.
        """
        drawn = [self.distribution.draw_choices(rng) for _ in range(STRUCTURES)]
        means = [self.distribution.cost_of_structure(one, self.prices.of(one)) for one in drawn]
        costs = torch.stack(means) / self.budget.amount
        likely = torch.stack([self.distribution.log_probability(one) for one in drawn])
        seen = costs.detach()
        reinforced = ((seen - seen.mean()) * likely).sum() / (STRUCTURES - 1)
        return seen, costs.mean() + reinforced

    # --- the rest

    def progress(self) -> float:
        """Share of the steps' compute that is spent."""
        return self.session.spent / self.conclusion.until

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and scalars for a checkpoint."""
        return {**self.weights.tensors(), **self.logits.tensors()}, {}

    def restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """Inverse of `state`."""
        self.weights.restore(tensors)
        self.logits.restore(tensors)
