# SPDX-License-Identifier: Apache-2.0
"""A causal temporal cell for a trained network, by gates.

NAS-TC's (arXiv 2104.01110): a classical backbone gives the features of frames, and a light cell of
temporal convolutions over them is searched. PV-NAS's (arXiv 2011.00826): gradient-based search
among spatio-temporal operators, with a learning-rate schedule that keeps the networks found
diverse. The gates, the hinge on the cost and its multiplier are those of `fpg`; the form of the
schedule, rates that fall and start again with a candidate at the end of every fall, is ours, and so
is what the cell is made of; docs/methods.md says so line by line.

The backbone is frozen, so features of all frames are computed once. Cell and head start from the
trained network: an operator adds nothing at first. Weight steps on training films run the open
operators; logit steps on held-out ones run them all, for they are cheap.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cell_cost, head_cost
from offline_search.space.gates import gated_mean
from offline_search.space.network import Network, build
from offline_search.space.remap import remap
from offline_search.space.temporal_cell import EdgeModule
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.cell_gates import CellGates, Opened
from offline_search.strategies.distribution import generator
from offline_search.strategies.logits import Logits
from offline_search.strategies.problem import Outcome, Problem, SearchError, check_settings
from offline_search.strategies.registry import check_space, register
from offline_search.strategies.schedules import annealed, moved_multiplier
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import ESTIMATE_SAMPLES, descend
from offline_search.training.checkpoint import (
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)
from offline_search.training.distributed import World, average_tensors, joined
from offline_search.training.state import adamw
from offline_search.training.task import Batch
from offline_search.training.temporal_search_task import TemporalSearchTask

_NAME = "temporal"
_WEIGHT, _LOGIT = range(2)  # purposes of random numbers


@dataclass(frozen=True)
class TemporalSettings:
    """Settings of the strategy.

    Attributes:
        warmup: Share of the compute before the first logit step.
        weight_steps: For each logit step.
        logit_rate: Adam's, of the gates.
        temperature: Of the gates, first and last; it falls geometrically.
        cycles: Falls of the learning rates after the warm-up, each followed by a new start. What
            the gates stand for at the end of each is a candidate, and so are the operators that
            are wanted most, as many as the budget allows.
        multiplier: Of the cost's term, at first.
        multiplier_rate: By which it rises in a step for each budget that the network is over.
    """

    warmup: float = 0.25
    weight_steps: int = 2
    logit_rate: float = 0.03
    temperature: tuple[float, float] = (5.0, 0.1)
    cycles: int = 3
    multiplier: float = 0.5
    multiplier_rate: float = 0.1

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("warmup", 0 <= self.warmup < 1, "in [0, 1)"),
            ("weight_steps", self.weight_steps >= 1, "at least 1"),
            ("logit_rate", self.logit_rate > 0, "positive"),
            ("temperature", min(self.temperature) > 0, "two positive numbers"),
            ("cycles", self.cycles >= 1, "at least 1"),
            ("multiplier", self.multiplier >= 0, "0 or more"),
            ("multiplier_rate", self.multiplier_rate >= 0, "0 or more"),
        )
        check_settings(_NAME, self, rules)


@register(
    _NAME,
    paper="NAS-TC, arXiv 2104.01110; PV-NAS, arXiv 2011.00826",
    summary="a causal cell over the features of earlier images, for a trained network; space "
    "temporal",
    kind="cells",
)
class Temporal:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `TemporalSettings`' fields."""
        if "temperature" in settings:
            settings["temperature"] = tuple(settings["temperature"])
        self.settings = TemporalSettings(**settings)

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        check_space(_NAME, problem.space)
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out).run()


class _Search:
    """One run: the state that a checkpoint holds, and the two kinds of step."""

    def __init__(
        self, settings: TemporalSettings, problem: Problem, world: World, out: Path
    ) -> None:
        self.settings, self.problem, self.world = settings, problem, world
        self.seed, self.budget = problem.config.seed, problem.budget
        assert isinstance(problem.space, TemporalSpace)
        assert isinstance(problem.task, TemporalSearchTask)
        self.space, self.task = problem.space, problem.task
        self.whole = self.space.whole()
        self.network = self._network(self.whole)
        self.trained = torch.nn.ModuleList([*self._edges(), self.network.head])
        self.parameters = list(self.trained.parameters())
        self.optimizer = adamw(self.trained, problem.config)
        self.gates = CellGates(self.space, self.budget)
        self.distribution, self.prices = self.gates.distribution, self.gates.prices
        self.logits = Logits(self.distribution.parameters(), settings.logit_rate, world)
        for group in self.logits.optimizer.param_groups:
            group["weight_decay"] = 0.0  # which would lift all that begin below zero
        self.head_price = head_cost(self.whole).macs
        self.multiplier = settings.multiplier
        self.turn = 0
        self.found: list[Opened] = []
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session = self.session
        self.trained.train()
        steps = session.steps(1.0, self._state, self._restore, self.distribution.snapshot)
        for step in steps:
            if self.turn == self.settings.weight_steps:
                self._logit_step(step)
                self.turn = 0
            else:
                self._weight_step(step)
                self.turn += self._cycle() >= 0
            if 2 * self._cycle() > len(self.found):
                self.found += [self.gates.decided(), self.gates.filled()]
        return self._outcome()

    # --- steps

    def _weight_step(self, step: int) -> None:
        rng = generator(self.seed, step, _WEIGHT)
        with torch.no_grad():
            gates = self.distribution.draw_gates(rng, self._temperature())
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.session.batch("training"), gates, every=False)
        loss.backward()
        seen, peak = loss.detach().clone(), self.problem.config.lr
        value = descend(self.optimizer, self.parameters, self.world, seen, self._phase(), peak)
        drawn = self.prices.of([gate.tolist() for gate in gates])
        self.session.spend(self.head_price + drawn, TRAINING)
        self.session.note({"loss_train": value})

    def _logit_step(self, step: int) -> None:
        gates = self.distribution.draw_gates(
            generator(self.seed, step, _LOGIT), self._temperature()
        )
        loss = self._loss(self.session.batch("held_out"), gates, every=True)
        expected = self.distribution.expected_cost(self.prices)
        over = (expected / self.budget.amount - 1.0).clamp_min(0.0)
        for group in self.logits.optimizer.param_groups:
            group["lr"] = self.settings.logit_rate * (1.0 - self._phase())
        self.logits.move(loss + self.multiplier * over)
        self.session.spend(self.head_price + cell_cost(self.whole).macs, TRAINING)
        self._raise_multiplier(float(expected.detach()), loss.detach())

    def _raise_multiplier(self, expected: float, loss: Tensor) -> None:
        average_tensors([loss], self.world)
        discrete = self.gates.price(self.gates.risen())
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

    def _loss(self, batch: Batch, gates: tuple[Tensor, ...], *, every: bool) -> Tensor:
        """Of a network with these gates; `every`: with a gradient for those that are closed."""
        device = self.world.device
        features, past = self.task.window(batch, self.whole, device)
        assert past is not None
        total = features
        for place, (edge, gate) in enumerate(zip(self._edges(), gates, strict=True)):
            among = gate[1:].to(device)  # the first stands for nothing
            kept = [i for i, value in enumerate(among.tolist()) if value or every]
            operators = list(edge.operators.values())
            if kept:
                outputs = [operators[index](past[:, place]) for index in kept]
                total = total + gated_mean(outputs, among[kept])
        labels = {name: value.to(device) for name, value in batch.items()}
        return self.task.loss(self.whole, self.network.head(total), labels)[0]

    # --- the end

    def _outcome(self) -> Outcome:
        """The candidate of the least held-out loss, and the others as its rivals."""
        began = time.monotonic()
        networks = {self.gates.architecture(opened).digest: opened for opened in self.found}
        ranked = sorted(
            ((self._estimate(opened), digest) for digest, opened in networks.items()),
        )
        (estimate, best), *others = [
            (loss, self.gates.architecture(networks[digest])) for loss, digest in ranked
        ]
        whole = TRAINING * self.problem.config.images * self.budget.amount
        networks_judged = (best, *(network for _, network in others))
        judged = sum(self.head_price + cell_cost(network).macs for network in networks_judged)
        return Outcome(
            architecture=best,
            why="",
            estimate=estimate,
            rivals=tuple((network, loss) for loss, network in others),
            images=self.session.images + len(ranked) * ESTIMATE_SAMPLES,
            minutes=(self.session.seconds + time.monotonic() - began) / 60.0,
            details={
                "settings": asdict(self.settings),
                "compute": self.session.spent + FORWARD * judged * ESTIMATE_SAMPLES / whole,
                "steps": self.session.step,
                "compared": len(ranked),
                "estimate_alone": self._estimate(self.gates.opened([])),
                "cell_macs": cell_cost(best).macs,
                "gates_text": "A panel is a lag in images. Every operator has a gate of its own; "
                "what stands for none says that the cell does not look there, where it is alone.",
            },
        )

    @torch.no_grad()
    def _estimate(self, opened: Opened) -> float:
        """The comparing loss of a network with these weights."""
        architecture = self.gates.architecture(opened)
        network = build(architecture, seed=self.seed)
        network.load_state_dict(remap(self.network.cpu(), network))
        network.to(self.world.device)
        return self.task.estimate(network.eval(), architecture, ESTIMATE_SAMPLES)

    # --- the rest

    def _network(self, architecture: Architecture) -> Network:
        seed_network = self.problem.seed_network
        if seed_network is None:
            raise SearchError(
                "strategy temporal: a cell is searched for a trained network; give --seed-network"
            )
        network = build(architecture, seed=self.seed)
        network.load_state_dict(seed_network.start_of(network))
        return network.to(self.world.device)

    def _edges(self) -> list[EdgeModule]:
        assert self.network.cell is not None
        edges = self.network.cell.edges.values()
        return [edge for edge in edges if isinstance(edge, EdgeModule)]

    def _cycle(self) -> int:
        """How many falls of the rates have ended; -1 in the warm-up."""
        spent, warmup = self.session.spent, self.settings.warmup
        if spent < warmup:
            return -1
        share = (spent - warmup) / (1.0 - warmup)
        return min(int(share * self.settings.cycles), self.settings.cycles)

    def _phase(self) -> float:
        """Share of the present fall, or of the warm-up, that is over."""
        spent, warmup = self.session.spent, self.settings.warmup
        if spent < warmup:
            return spent / warmup
        turns = (spent - warmup) / (1.0 - warmup) * self.settings.cycles
        return turns - int(turns)

    def _temperature(self) -> float:
        settings = self.settings
        return annealed(settings.temperature, settings.warmup, self.session.spent)

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            **with_prefix("trained", self.trained.state_dict()),
            **with_prefix("weights", optimizer_tensors(self.optimizer)),
            **self.logits.tensors(),
        }
        return tensors, {"multiplier": self.multiplier, "turn": self.turn, "found": self.found}

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.trained.load_state_dict(without_prefix("trained", tensors))
        restore_optimizer(self.optimizer, without_prefix("weights", tensors))
        self.logits.restore(tensors)
        self.multiplier, self.turn = float(scalars["multiplier"]), int(scalars["turn"])
        self.found = [tuple(tuple(names) for names in opened) for opened in scalars["found"]]
