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
structures are compared on the same samples and gates, and the better one becomes likelier
(REINFORCE, Williams 1992, with the other as its baseline).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.gates import Gate, SeveralGate, SingleGate
from offline_search.space.meter import PriceList, price_list
from offline_search.strategies.distribution import Distribution, Sample, generator
from offline_search.strategies.problem import Outcome, Problem, SearchError
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed, random_preference, repair
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.training.checkpoint import (
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)

_GATES: Final[Mapping[str, Gate]] = {"several": SeveralGate(), "single": SingleGate()}
_WEIGHT, _LOGIT, _START = range(3)  # purposes of random numbers
_LEAST_OPEN, _MOST_OPEN = 0.02, 0.5
_START_STRUCTURES = 32
_GREATEST_MULTIPLIER = 10.0
_RIVALS = 5
_MEAN_OPEN = 1.5


@dataclass(frozen=True)
class FpgSettings:
    """Settings of the strategy.

    Attributes:
        gate: `several` operators of a layer may stay, or a `single` one, as elsewhere.
        warmup: Share of the compute before the first logit step.
        weight_steps: For each logit step.
        logit_rate: Adam's, of gates and genes. Far above the usual 3e-4: a search of minutes has
            hundreds of logit steps, not tens of thousands.
        temperature: Of the gates, first and last; it falls geometrically.
        probes: Closed operators of a layer that a logit step runs as well.
        start: Expected cost of the first networks, in budgets.
        cost_term: `hinge`: multiplier x max(0, cost / budget - 1). `log`: multiplier x
            log(cost) / log(log_base), a constant multiplier (EfficientPose, arXiv 2012.07086).
        multiplier: Its first value.
        multiplier_rate: By which it rises in a step for each budget that the network is over.
        log_base: See `cost_term`; in the budget's unit.
    """

    gate: Literal["several", "single"] = "several"
    warmup: float = 0.35
    weight_steps: int = 2
    logit_rate: float = 0.08
    temperature: tuple[float, float] = (5.0, 0.1)
    probes: int = 1
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
        for name, fits, wanted in (
            ("gate", self.gate in _GATES, "several or single"),
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("weight_steps", self.weight_steps >= 1, "at least 1"),
            ("logit_rate", self.logit_rate > 0, "positive"),
            ("temperature", min(self.temperature) > 0, "two positive numbers"),
            ("probes", self.probes >= 0, "0 or more"),
            ("start", self.start > 0, "positive"),
            ("cost_term", self.cost_term in ("hinge", "log"), "hinge or log"),
            ("multiplier", self.multiplier >= 0, "0 or more"),
            ("multiplier_rate", self.multiplier_rate >= 0, "0 or more"),
            ("log_base", self.log_base > 1, "above 1"),
        ):
            if not fits:
                value = getattr(self, name)
                raise SearchError(f"strategy fpg: {name} must be {wanted}, got {value!r}")


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
        return _Search(self.settings, problem, out).run()


class _Search:
    """One run: the state that a checkpoint holds, and the two kinds of step."""

    def __init__(self, settings: FpgSettings, problem: Problem, out: Path) -> None:
        self.settings, self.problem = settings, problem
        self.space, self.budget = problem.space, problem.budget
        self.seed, self.outputs = problem.config.seed, problem.task.outputs
        self.weights = SharedWeights(problem)
        self._prices: dict[tuple[int, ...], PriceList] = {}
        self.distribution = Distribution(
            self.space, _GATES[settings.gate], self._start_probability()
        )
        self.optimizer = torch.optim.Adam(
            self.distribution.parameters(),
            lr=settings.logit_rate,
            betas=(0.5, 0.999),
            weight_decay=1e-3,
        )
        self.multiplier = settings.multiplier
        self.turn = 0
        self.session = Session(problem, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session = self.session
        for step in session.steps(self._state, self._restore, self.distribution.snapshot):
            if self.turn == self.settings.weight_steps:
                self._logit_step(step)
                self.turn = 0
            else:
                self._weight_step(step)
                self.turn += session.spent >= self.settings.warmup
        repaired = repair(self.space, self.distribution.preference(), self.budget, self.outputs)
        architecture = self.space.architecture(repaired.point, self.outputs)
        return Outcome(
            architecture=architecture,
            why=repaired.why,
            estimate=self.weights.estimate(architecture),
            rivals=self._rivals(architecture),
            images=session.images,
            minutes=session.seconds / 60.0,
            details={"settings": asdict(self.settings), "steps": session.step},
        )

    # --- weights

    def _weight_step(self, step: int) -> None:
        rng = generator(self.seed, step, _WEIGHT)
        with torch.no_grad():
            gates = self.distribution.draw_gates(rng, self._temperature())
        architecture = self._architecture(Sample(self.distribution.draw_choices(rng), gates))
        loss = self.weights.step(architecture, self.session.batch("training"), self.session.spent)
        self.session.spend(self.budget.meter.total(architecture), TRAINING)
        self.session.note({"loss_train": loss})

    # --- logits

    def _logit_step(self, step: int) -> None:
        batch = self.session.batch("held_out")
        rng = generator(self.seed, step, _LOGIT)
        gates = self.distribution.draw_gates(rng, self._temperature())
        sample = Sample(self.distribution.draw_choices(rng), gates)
        rival = replace(sample, choices=self.distribution.draw_choices(rng))
        loss, comparing = self._probed_loss(sample, batch, rng)
        term = self._cost_term(sample.choices)
        with torch.no_grad():
            network = self._architecture(rival)
            against = self.weights.loss(network, batch)[1] + self._cost_term(rival.choices)
            self.session.spend(self.budget.meter.total(network), FORWARD)
        advantage = (comparing + term - against).detach() / 2
        likelier = self.distribution.log_probability(sample.choices)
        likelier = likelier - self.distribution.log_probability(rival.choices)
        self._move_logits(loss + term + advantage * likelier)
        self._raise_multiplier(sample.choices, float(loss.detach()))

    def _probed_loss(
        self, sample: Sample, batch: Mapping[str, Tensor], rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """The sample's losses, with gradients for its open gates and for some closed ones.

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
        return self.weights.loss(network, batch, widened.weights(self.space, probes))

    def _move_logits(self, total: Tensor) -> None:
        logits = self.distribution.parameters()
        # Of the logits only: gradients of the weights are neither wanted nor paid for.
        gradients = torch.autograd.grad(total, logits, allow_unused=True)
        for value, gradient in zip(logits, gradients, strict=True):
            value.grad = gradient
        self.optimizer.step()

    def _raise_multiplier(self, choices: tuple[int, ...], loss: float) -> None:
        discrete = self.budget.meter.total(self._architecture(self.distribution.mode()))
        expected = float(self._expected_cost(choices).detach())
        if self.settings.cost_term == "hinge":
            # Undecided gates count too: the networks that train the weights are drawn from them.
            over = min(max(discrete, expected) / self.budget.amount - 1.0, 1.0)
            rise = self.settings.multiplier_rate * over
            self.multiplier = min(max(0.0, self.multiplier + rise), _GREATEST_MULTIPLIER)
        self.session.note(
            {
                "loss_held_out": loss,
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
        return self.distribution.expected_cost(self._price_list(choices))

    def _price_list(self, choices: tuple[int, ...]) -> PriceList:
        if choices not in self._prices:
            self._prices[choices] = price_list(self.space, choices, self.outputs, self.budget.meter)
        return self._prices[choices]

    def _start_probability(self) -> float:
        """With which random networks cost `start` budgets on average."""
        rng = generator(self.seed, 0, _START)
        lists = [
            self._price_list(
                tuple(
                    int(torch.randint(len(gene.choices), (), generator=rng))
                    for gene in self.space.genes
                )
            )
            for _ in range(_START_STRUCTURES)
        ]
        fixed = sum(prices.fixed for prices in lists)
        variable = sum(sum(slot) for prices in lists for slot in prices.slots)
        wanted = self.settings.start * self.budget.amount * len(lists)
        return min(max((wanted - fixed) / variable, _LEAST_OPEN), _MOST_OPEN)

    # --- the rest

    def _temperature(self) -> float:
        first, last = self.settings.temperature
        warmup = self.settings.warmup
        share = min(1.0, max(0.0, self.session.spent - warmup) / (1.0 - warmup))
        return float(first * (last / first) ** share)

    def _architecture(self, sample: Sample) -> Architecture:
        return self.space.architecture(sample.point(self.space), self.outputs)

    def _rivals(self, found: Architecture) -> tuple[tuple[Architecture, float], ...]:
        """Other networks within the budget, drawn at random, with what the weights say of them."""
        rivals: dict[str, tuple[Architecture, float]] = {}
        for number in range(_RIVALS):
            drawn = random_preference(self.space, derived_seed(self.seed, number), _MEAN_OPEN)
            if self.settings.gate == "single":
                drawn = replace(drawn, most_open=1)
            point = repair(self.space, drawn, self.budget, self.outputs).point
            network = self.space.architecture(point, self.outputs)
            if network != found:
                rivals[network.digest] = (network, self.weights.estimate(network))
        return tuple(sorted(rivals.values(), key=lambda rival: rival[1]))

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        logits = {str(i): value for i, value in enumerate(self.distribution.parameters())}
        tensors = {
            **self.weights.tensors(),
            **with_prefix("logits", logits),
            **with_prefix("adam", optimizer_tensors(self.optimizer)),
        }
        return tensors, {"multiplier": self.multiplier, "turn": self.turn}

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.weights.restore(tensors)
        logits = without_prefix("logits", tensors)
        with torch.no_grad():
            for index, value in enumerate(self.distribution.parameters()):
                value.copy_(logits[str(index)])
        restore_optimizer(self.optimizer, without_prefix("adam", tensors))
        self.multiplier, self.turn = float(scalars["multiplier"]), int(scalars["turn"])
