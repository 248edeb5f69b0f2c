# SPDX-License-Identifier: Apache-2.0
"""FPG-NAS: FLOPs-aware gated differentiable search for 6DoF pose (arXiv 2508.03618).

The paper's: a differentiable gate that lets several operators of a layer survive, and a term for
the cost optimised together with the pose loss. Its text and code are not public beyond that, so
everything else here is ours; docs/search.md says so line by line.

Weights are shared (`Supernet`). They are first trained under random gates and structures, then in
turn with the logits: a weight step on training samples runs the open operators only; a logit step
on held-out samples runs them and a few closed ones, for a closed gate learns nothing otherwise. The
cost is held by a hinge whose multiplier rises while the network that the logits now stand for is
over the budget (dual ascent). The structure's genes cannot be differentiated through: two
structures are compared on the same samples, each with as many gates open as the budget allows, and
the better one becomes likelier (REINFORCE, Williams 1992, with the other as its baseline); while
the expected cost is over the budget, so does the cheaper one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.gates import Gate, SeveralGate, SingleGate
from offline_search.space.meter import PriceBook
from offline_search.space.operators import OPERATORS
from offline_search.strategies.conclusion import Conclusion
from offline_search.strategies.distribution import Distribution, Sample, generator
from offline_search.strategies.logits import Logits
from offline_search.strategies.problem import Outcome, Problem, check_settings
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed
from offline_search.strategies.schedules import annealed, moved_multiplier
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.strategies.start import Start, start
from offline_search.training.distributed import World, average_tensors, joined

_GATES: Final[Mapping[str, Gate]] = {"several": SeveralGate(), "single": SingleGate()}
_WEIGHT, _LOGIT, _START = range(3)  # purposes of random numbers


@dataclass(frozen=True)
class FpgSettings:
    """Settings of the strategy.

    Attributes:
        gate: `several` operators of a layer may stay, or a `single` one, as elsewhere.
        contest: Share of the compute for the last choice, see `contest`.
        warmup: Share of the other compute before the first logit step.
        weight_steps: For each logit step.
        logit_rate: Adam's, of gates and genes. Far above the usual 3e-4: a search of minutes has
            hundreds of logit steps, not tens of thousands.
        temperature: Of the gates, first and last; it falls geometrically.
        probes: Closed operators of a layer that a logit step runs as well.
        seed_operator: What is likely open at first, as in a network made by hand; "": none. A
            search of minutes cannot learn every layer from nothing.
        start: Mean cost of the first networks, in budgets.
        cost_term: `hinge`: multiplier x max(0, cost / budget - 1). `log`: multiplier x
            log(cost) / log(log_base), a constant multiplier (EfficientPose, arXiv 2012.07086).
        multiplier: Its first value.
        multiplier_rate: By which it rises in a step for each budget that the network is over.
        log_base: See `cost_term`; in the budget's unit.
    """

    gate: Literal["several", "single"] = "several"
    contest: float = 0.3
    warmup: float = 0.35
    weight_steps: int = 2
    logit_rate: float = 0.02
    temperature: tuple[float, float] = (5.0, 0.1)
    probes: int = 1
    seed_operator: str = "mb_k5_e3"
    start: float = 1.25
    cost_term: Literal["hinge", "log"] = "hinge"
    multiplier: float = 0.5
    multiplier_rate: float = 0.1
    log_base: float = 10.0

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("gate", self.gate in _GATES, "several or single"),
            ("contest", 0 <= self.contest < 1, "in [0, 1)"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("weight_steps", self.weight_steps >= 1, "at least 1"),
            ("logit_rate", self.logit_rate > 0, "positive"),
            ("temperature", min(self.temperature) > 0, "two positive numbers"),
            ("probes", self.probes >= 0, "0 or more"),
            ("seed_operator", self.seed_operator in ("", *OPERATORS), "the name of an operator"),
            ("start", self.start > 0, "positive"),
            ("cost_term", self.cost_term in ("hinge", "log"), "hinge or log"),
            ("multiplier", self.multiplier >= 0, "0 or more"),
            ("multiplier_rate", self.multiplier_rate >= 0, "0 or more"),
            ("log_base", self.log_base > 1, "above 1"),
        )
        check_settings("fpg", self, rules)


@register(
    "fpg",
    paper="FPG-NAS: FLOPs-aware gated differentiable NAS for 6DoF pose, arXiv 2508.03618",
    summary="several operators a layer by differentiable gates, the cost held by a dual variable",
)
class Fpg:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `FpgSettings`' fields."""
        if "temperature" in settings:
            settings["temperature"] = tuple(settings["temperature"])
        self.settings = FpgSettings(**settings)

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out).run()


class _Search:
    """One run: the state that a checkpoint holds, and the two kinds of step."""

    def __init__(self, settings: FpgSettings, problem: Problem, world: World, out: Path) -> None:
        self.settings, self.problem, self.world = settings, problem, world
        self.space, self.budget = problem.space, problem.budget
        self.seed, self.outputs = problem.config.seed, problem.task.outputs
        self.weights = SharedWeights(problem, world)
        self.prices = PriceBook(self.space, self.outputs, self.budget.meter)
        begin = self._start()
        self.distribution = Distribution(
            self.space, _GATES[settings.gate], begin.gates, begin.genes
        )
        self.logits = Logits(self.distribution.parameters(), settings.logit_rate, world)
        self.multiplier = settings.multiplier
        self.turn = 0
        self.conclusion = Conclusion(problem, settings.contest)
        self.until = self.conclusion.until
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session = self.session
        steps = session.steps(self.until, self._state, self._restore, self.distribution.snapshot)
        for step in steps:
            if self.turn == self.settings.weight_steps:
                self._logit_step(step)
                self.turn = 0
            else:
                self._weight_step(step)
                self.turn += self._progress() >= self.settings.warmup
        details = {"settings": asdict(self.settings)}
        preference = self.distribution.preference()
        return self.conclusion.outcome(session, self.weights, preference, details)

    # --- weights

    def _weight_step(self, step: int) -> None:
        rng = generator(self.seed, step, _WEIGHT)
        with torch.no_grad():
            gates = self.distribution.draw_gates(rng, self._temperature())
        architecture = self._architecture(Sample(self.distribution.draw_choices(rng), gates))
        loss = self.weights.step(architecture, self.session.batch("training"), self._progress())
        self.session.spend(self.budget.meter.total(architecture), TRAINING)
        self.session.note({"loss_train": loss})

    # --- logits

    def _logit_step(self, step: int) -> None:
        batch = self.session.batch("held_out")
        rng = generator(self.seed, step, _LOGIT)
        gates = self.distribution.draw_gates(rng, self._temperature())
        sample = Sample(self.distribution.draw_choices(rng), gates)
        loss = self._probed_loss(sample, batch, rng)
        rival = self.distribution.draw_choices(rng)
        cost_term = self._cost_term(sample.choices)
        advantage = self._advantage(sample.choices, rival, batch, rng)
        advantage = advantage + (cost_term - self._cost_term(rival)).detach() / 2
        likelier = self.distribution.log_probability(sample.choices)
        likelier = likelier - self.distribution.log_probability(rival)
        self.logits.move(loss + cost_term + advantage * likelier)
        self._raise_multiplier(sample.choices, loss.detach())

    @torch.no_grad()
    def _advantage(
        self,
        first: tuple[int, ...],
        second: tuple[int, ...],
        batch: Mapping[str, Tensor],
        rng: torch.Generator,
    ) -> Tensor:
        """By how much the loss of one structure exceeds another's, halved.

        Both spend the budget: a smaller structure opens more gates, or it would win by its price.
        """
        if first == second:
            return torch.zeros((), device=self.world.device)
        noise = self.distribution.draw_noise(rng)
        losses = []
        for choices in (first, second):
            gates = self.distribution.gates_at_cost(
                noise, self.prices.of(choices), self.budget.amount
            )
            network = self._architecture(Sample(choices, gates))
            losses.append(self.weights.loss(network, batch)[1])
            self.session.spend(self.budget.meter.total(network), FORWARD)
        difference = losses[0] - losses[1]
        average_tensors([difference], self.world)
        return difference / 2

    def _probed_loss(
        self, sample: Sample, batch: Mapping[str, Tensor], rng: torch.Generator
    ) -> Tensor:
        """The sample's loss, with gradients for its open gates and for some closed ones.

        A closed gate is run with probability probes / closed, so its gradient is divided by that.
        """
        probes: list[list[int]] = []
        gates = []
        for gate in sample.gates:
            closed = [index for index, value in enumerate(gate.tolist()) if not value]
            order = torch.randperm(len(closed), generator=rng).tolist()
            chosen = [closed[index] for index in order[: self.settings.probes]]
            scale = torch.ones(len(gate))
            scale[chosen] = len(closed) / max(1, len(chosen))
            gates.append(gate.detach() + (gate - gate.detach()) * scale)
            probes.append(chosen)
        widened = Sample(sample.choices, tuple(gates))
        network = self.space.architecture(widened.point(self.space, probes), self.outputs)
        self.session.spend(self.budget.meter.total(network), TRAINING)
        return self.weights.loss(network, batch, widened.weights(probes))[0]

    def _raise_multiplier(self, choices: tuple[int, ...], loss: Tensor) -> None:
        average_tensors([loss], self.world)
        discrete = self.budget.meter.total(self._architecture(self.distribution.mode()))
        expected = float(self._expected_cost(choices).detach())
        if self.settings.cost_term == "hinge":
            # Undecided gates count too: the networks that train the weights are drawn from them.
            over = max(discrete, expected) / self.budget.amount - 1.0
            rate = self.settings.multiplier_rate
            self.multiplier = moved_multiplier(self.multiplier, rate, over)
        self.session.note(
            {
                "loss_held_out": float(loss),
                "expected": expected,
                "discrete": discrete,
                "budget": self.budget.amount,
                "lambda": self.multiplier,
                "entropy": self.distribution.entropy(),
                "tau": self._temperature(),
            }
        )

    # --- cost

    def _cost_term(self, choices: tuple[int, ...]) -> Tensor:
        cost = self._expected_cost(choices)
        if self.settings.cost_term == "log":
            return self.multiplier * cost.log() / math.log(self.settings.log_base)
        return self.multiplier * (cost / self.budget.amount - 1.0).clamp_min(0.0)

    def _expected_cost(self, choices: tuple[int, ...]) -> Tensor:
        return self.distribution.expected_cost(self.prices.of(choices))

    def _start(self) -> Start:
        wanted = self.settings.start * self.budget.amount
        rng = np.random.default_rng(derived_seed(self.seed, _START))
        gate, favoured = _GATES[self.settings.gate], self.settings.seed_operator
        return start(self.space, gate, self.prices.of, wanted, favoured, rng)

    # --- the rest

    def _progress(self) -> float:
        """Share of the steps' compute that is spent."""
        return self.session.spent / self.until

    def _temperature(self) -> float:
        settings = self.settings
        return annealed(settings.temperature, settings.warmup, self._progress())

    def _architecture(self, sample: Sample) -> Architecture:
        return self.space.architecture(sample.point(self.space), self.outputs)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {**self.weights.tensors(), **self.logits.tensors()}
        return tensors, {"multiplier": self.multiplier, "turn": self.turn}

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.weights.restore(tensors)
        self.logits.restore(tensors)
        self.multiplier, self.turn = float(scalars["multiplier"]), int(scalars["turn"])
