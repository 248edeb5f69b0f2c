# SPDX-License-Identifier: Apache-2.0
"""DA-NAS: data-adapted pruning for efficient neural architecture search (arXiv 2003.12563).

The paper's: how fast a block learns depends on how hard the data are, so a search starts with all
candidates on easy data, prunes the poor ones, and goes on with harder data and fewer candidates.
Ours: what is easy for poses (`training.hardness`), how it is drawn, and how candidates are judged
(`effects`). The search has stages of equal compute. In a stage every sample is the easiest of some;
weight steps train networks that are drawn evenly from what is left, at the budget's cost; after
each of them some such networks are compared on one held-out batch. At a stage's end the worse half
of each layer's candidates goes. docs/methods.md tells the paper's from ours line by line.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path as File
from typing import Any

import numpy as np
import torch
from torch import Tensor

from offline_search.space.meter import PriceBook
from offline_search.strategies.conclusion import Conclusion
from offline_search.strategies.effects import Effects, effects, survivors
from offline_search.strategies.importance import children_losses
from offline_search.strategies.problem import Outcome, Problem, check_settings
from offline_search.strategies.registry import register
from offline_search.strategies.repair import NEVER, Preference, derived_seed
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.strategies.single_path import (
    Path,
    as_few_open,
    draw_at_cost,
    even_genes,
    everything,
)
from offline_search.training.distributed import World, average_tensors, joined
from offline_search.training.hardness import HARDNESS

_PURPOSE = 30  # of random numbers


@dataclass(frozen=True)
class DaNasSettings:
    """Settings of the strategy.

    Attributes:
        easiest_of: The schedule: for each stage, of how many samples the easiest is shown; 1: all.
        keep: Share of a layer's candidates that outlives the end of a stage.
        compared: Networks that are compared on a held-out batch.
        contest: Share of the compute for the last choice, see `contest`.
    """

    easiest_of: tuple[int, ...] = (3, 2, 1)
    keep: float = 0.5
    compared: int = 4
    contest: float = 0.3

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        schedule = len(self.easiest_of) > 0 and all(n >= 1 for n in self.easiest_of)
        rules = (
            ("easiest_of", schedule, "one number or more, each at least 1"),
            ("keep", 0 < self.keep <= 1, "above 0, at most 1"),
            ("compared", self.compared >= 2, "at least 2"),
            ("contest", 0 <= self.contest < 1, "in [0, 1)"),
        )
        check_settings("da_nas", self, rules)


@register(
    "da_nas",
    paper="DA-NAS: Data adapted pruning for efficient neural architecture search, arXiv 2003.12563",
    summary="starts on easy samples with all candidates, prunes, goes on with harder ones",
)
class DaNas:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `DaNasSettings`' fields."""
        if "easiest_of" in settings:
            settings["easiest_of"] = tuple(settings["easiest_of"])
        self.settings = DaNasSettings(**settings)

    def search(self, problem: Problem, out: File) -> Outcome:
        """See `Strategy`."""
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out).run()


class _Search:
    """One run: what is left, what was compared in this stage, and what fell in those before."""

    def __init__(self, settings: DaNasSettings, problem: Problem, world: World, out: File) -> None:
        self.settings, self.problem, self.world = settings, problem, world
        self.space, self.outputs = problem.space, problem.task.outputs
        self.weights = SharedWeights(problem, world)
        self.prices = PriceBook(self.space, self.outputs, problem.budget.meter)
        self.sizes = [len(gene.choices) for gene in self.space.genes]
        self.sizes += [len(slot.candidates) for slot in self.space.slots]
        self.stage = 0
        self.left = everything(self.space)
        self.taken: list[list[int]] = []
        self.losses: list[float] = []
        self.hardness: list[list[float]] = []
        self.trace: list[dict[str, Any]] = []
        self.conclusion = Conclusion(problem, settings.contest)
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session, until = self.session, self.conclusion.until
        stages = len(self.settings.easiest_of)
        for step in session.steps(until, self._state, self._restore, self._snapshot):
            stage = min(int(stages * session.spent / until), stages - 1)
            if stage > self.stage:
                self._end_stage(self._effects())
                self.stage = stage
            self._step(np.random.default_rng(self._seed(step)))
        found = self._effects()
        trace = [*self.trace, self._told(found, self.left)]
        details = {
            "settings": asdict(self.settings),
            "pruning": trace,
            "gates_text": "Networks are drawn evenly from the operators that are left in each "
            "layer; the others were pruned.",
        }
        preference = as_few_open(self.problem, self._preference(found))
        return self.conclusion.outcome(session, self.weights, preference, details)

    def _step(self, rng: np.random.Generator) -> None:
        of, amount = self.settings.easiest_of[self.stage], self.problem.budget.amount
        path = self._draw(rng)
        batch = self.session.batch("training", of)
        network = path.architecture(self.space, self.outputs)
        progress = self.session.spent / self.conclusion.until
        loss = self.weights.step(network, batch, progress)
        self.session.spend(path.cost(self.prices), TRAINING)
        self.hardness.append(self._measured(batch))
        paths = [self._draw(rng) for _ in range(self.settings.compared)]
        networks = [one.architecture(self.space, self.outputs) for one in paths]
        losses = children_losses(self.weights, networks, self.session.batch("held_out", of))
        costs = [one.cost(self.prices) for one in paths]
        for price in costs:
            self.session.spend(price, FORWARD)
        self.taken += [[*one.choices, *one.picks] for one in paths]
        self.losses += losses
        figures = {
            "loss_train": loss,
            "loss_held_out": float(np.mean(losses)),
            "expected": float(np.mean(costs)),
            "budget": amount,
            "left": float(np.mean([len(indices) for indices in self.left])),
        }
        self.session.note(figures | dict(zip(HARDNESS, self.hardness[-1], strict=True)))

    def _draw(self, rng: np.random.Generator) -> Path:
        return draw_at_cost(self.prices, self.left, self.problem.budget, rng)

    def _measured(self, batch: Mapping[str, Tensor]) -> list[float]:
        """Mean hardness of a batch, of all processes."""
        mean = batch["hardness"].mean(0).to(self.world.device)
        average_tensors([mean], self.world)
        return [float(value) for value in mean]

    # --- pruning

    def _effects(self) -> Effects:
        taken = np.array(self.taken, np.int64).reshape(-1, len(self.sizes))
        return effects(self.sizes, taken, np.array(self.losses), self.settings.compared)

    def _end_stage(self, found: Effects) -> None:
        slots = found.values[len(self.space.genes) :]
        left = survivors(slots, self.left, self.settings.keep)
        self.trace.append(self._told(found, left))
        self.left, self.taken, self.losses, self.hardness = left, [], [], []

    def _told(self, found: Effects, left: Sequence[Sequence[int]]) -> dict[str, Any]:
        """What the report says of a stage: each candidate's effect, None where it is not sought."""
        slots = found.values[len(self.space.genes) :]
        layers = [
            {
                "left": [slot.candidates[index] for index in after],
                "fell": [slot.candidates[index] for index in before if index not in after],
                "effects": {
                    slot.candidates[index]: round(float(values[index]), 5) for index in before
                },
            }
            for slot, before, after, values in zip(
                self.space.slots, self.left, left, slots, strict=True
            )
        ]
        mean = np.mean(np.array(self.hardness).reshape(-1, len(HARDNESS)), axis=0)
        return {
            "easiest_of": self.settings.easiest_of[self.stage],
            "spent": round(self.session.spent, 4),
            "compared": len(self.losses),
            "hardness": {n: round(float(v), 4) for n, v in zip(HARDNESS, mean, strict=True)},
            "layers": layers,
        }

    def _preference(self, found: Effects) -> Preference:
        """Better by a standard error counts as a nat; what was pruned is not to come back."""
        genes = []
        for gene in range(len(self.space.genes)):
            values = found.certainty(gene)
            genes.append(values - np.logaddexp.reduce(values))
        gates = []
        for slot, indices in enumerate(self.left):
            values = found.certainty(len(self.space.genes) + slot)
            gate = np.full(len(values), NEVER)
            # Only differences count; `repair` asks for the best to be above zero.
            gate[indices] = values[indices] - values[indices].max() + 1e-3
            gates.append(gate)
        return Preference(tuple(gates), tuple(genes), 1)

    # --- the rest

    def _snapshot(self) -> dict[str, Any]:
        gates = []
        for slot, indices in zip(self.space.slots, self.left, strict=True):
            share = round(1 / len(indices), 4)
            gates.append([share if i in indices else 0.0 for i in range(len(slot.candidates))])
        return {"gates": gates, "genes": even_genes(self.space)}

    def _seed(self, step: int) -> int:
        return derived_seed(self.problem.config.seed, _PURPOSE, step)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            **self.weights.tensors(),
            "compared.taken": torch.tensor(self.taken, dtype=torch.int64),
            "compared.losses": torch.tensor(self.losses, dtype=torch.float64),
            "compared.hardness": torch.tensor(self.hardness, dtype=torch.float64),
        }
        scalars = {"stage": self.stage, "left": self.left, "trace": self.trace}
        return tensors, scalars

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.weights.restore(tensors)
        self.taken = tensors["compared.taken"].tolist()
        self.losses = tensors["compared.losses"].tolist()
        self.hardness = tensors["compared.hardness"].tolist()
        self.stage, self.trace = int(scalars["stage"]), list(scalars["trace"])
        self.left = [list(indices) for indices in scalars["left"]]
