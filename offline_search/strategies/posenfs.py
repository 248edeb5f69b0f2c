# SPDX-License-Identifier: Apache-2.0
"""PoseNFS: Pose Neural Fabrics Search (arXiv 1909.07068).

The paper's: fabrics of cells over a backbone, one for each part of the object; alpha and beta are
trained in the same optimiser as the weights (sync), by turns on held-out samples (first-order
DARTS, arXiv 1806.09055), or drawn; edges without weight are pruned. Ours: the width, the cost's
term in the loss, and what is dropped to meet a budget; docs/methods.md says so line by line.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, get_args

import torch
from torch import Tensor, nn

from offline_search.space.cost import cost
from offline_search.space.fabric import CANDIDATES
from offline_search.space.fabric_architecture import FabricArchitecture
from offline_search.space.fabric_network import FabricHead
from offline_search.space.fabric_prune import described, pruned
from offline_search.space.fabric_space import FabricSpace
from offline_search.space.network import build
from offline_search.strategies.fabric_budget import ExpectedCost, discretised, over_even, roomy
from offline_search.strategies.logits import Logits
from offline_search.strategies.object_parts import parts_of
from offline_search.strategies.problem import Outcome, Problem, check_settings
from offline_search.strategies.registry import check_space, register
from offline_search.strategies.repair import derived_seed
from offline_search.strategies.schedules import moved_multiplier
from offline_search.strategies.session import TRAINING, Session
from offline_search.strategies.shared_weights import descend
from offline_search.training.checkpoint import (
    disk_errors,
    optimizer_tensors,
    restore_optimizer,
    with_prefix,
    without_prefix,
)
from offline_search.training.distributed import World, average_tensors, joined
from offline_search.training.search_task import PoseSearchTask
from offline_search.training.shards import split
from offline_search.training.state import adamw
from offline_search.training.task import Batch

Mode = Literal["sync", "bilevel", "random"]
_NAME: Final = "posenfs"


@dataclass(frozen=True)
class PosenfsSettings:
    """Settings of the strategy.

    Attributes:
        mode: `sync`: alpha and beta in the weights' optimiser; `bilevel`: in one of their own, on
            held-out samples; `random`: drawn, and nothing is trained.
        parts: Fabrics: of so many clusters of keypoints; 1: one of all; 0: of the parts that the
            object's file names.
        start: Cost of the fabrics that are trained, in what the backbone leaves of the budget:
            their width is chosen by it.
        weight_steps: bilevel only: for each step of alpha and beta.
        mixing_rate: bilevel only: their learning rate.
        multiplier: Of the cost's term, at first.
        multiplier_rate: By which it rises in a step for each budget that the network is over.
    """

    mode: Mode = "sync"
    parts: int = 0
    start: float = 1.5
    weight_steps: int = 2
    mixing_rate: float = 0.03
    multiplier: float = 0.5
    multiplier_rate: float = 0.1

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("mode", self.mode in get_args(Mode), " or ".join(get_args(Mode))),
            ("parts", self.parts >= 0, "0 or more"),
            ("start", self.start >= 1, "at least 1"),
            ("weight_steps", self.weight_steps >= 1, "at least 1"),
            ("mixing_rate", self.mixing_rate > 0, "positive"),
            ("multiplier", self.multiplier >= 0, "0 or more"),
            ("multiplier_rate", self.multiplier_rate >= 0, "0 or more"),
        )
        check_settings(_NAME, self, rules)


@register(
    _NAME,
    paper="Pose Neural Fabrics Search, arXiv 1909.07068",
    summary="fabrics of cells, one for each part of the object, over a backbone; space fabric",
    kind="fabrics",
)
class Posenfs:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `PosenfsSettings`' fields."""
        self.settings = PosenfsSettings(**settings)

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        check_space(_NAME, problem.space)
        assert isinstance(problem.space, FabricSpace)
        assert isinstance(problem.task, PoseSearchTask)
        parts = parts_of(problem.task.model, self.settings.parts)
        space = replace(problem.space, parts=parts)
        whole = roomy(space, problem.task.outputs, problem.budget, self.settings.start)
        # The report shows the choices that are left.
        space = replace(space, widths=(whole.fabric.width,))
        problem = replace(problem, space=space)
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        if self.settings.mode == "random":
            return _drawn(self.settings, problem, whole)
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out, whole).run()


def _drawn(settings: PosenfsSettings, problem: Problem, whole: FabricArchitecture) -> Outcome:
    """Alpha and beta from standard normal distributions, as the released code has them."""
    began = time.monotonic()
    rng = torch.Generator().manual_seed(derived_seed(problem.config.seed, 0))

    def draw(count: int) -> tuple[float, ...]:
        return tuple(torch.randn(count, generator=rng).tolist())

    parts = tuple(
        replace(
            part,
            alpha=draw(len(CANDIDATES)),
            cells=tuple(replace(cell, beta=draw(len(cell.beta))) for cell in part.cells),
        )
        for part in whole.fabric.parts
    )
    fixed = replace(whole, fabric=replace(whole.fabric, parts=parts, learned=False))
    return _outcome(settings, problem, fixed, 0.0, 0, (time.monotonic() - began) / 60.0)


def _outcome(
    settings: PosenfsSettings,
    problem: Problem,
    found: FabricArchitecture,
    compute: float,
    images: int,
    minutes: float,
) -> Outcome:
    architecture, why = discretised(found, problem.budget)
    details = {
        "settings": asdict(settings),
        "compute": compute,
        "log10_size": problem.space.log10_size,
        "parts": {part.name: list(part.keypoints) for part in architecture.fabric.parts},
        "macs_before_dropping": cost(found).macs,
        "gates_text": "Connections of a cell share a softmax (beta), and so do its operations "
        "(alpha, the same for all cells of a part). What is shown is the share over an even one.",
    }
    return Outcome(architecture, why, None, (), images, minutes, details)


class _Search:
    """One run: the state that a checkpoint holds, and the kinds of step."""

    def __init__(
        self,
        settings: PosenfsSettings,
        problem: Problem,
        world: World,
        out: Path,
        whole: FabricArchitecture,
    ) -> None:
        self.settings, self.problem, self.world, self.whole = settings, problem, world, whole
        config = problem.config
        self.shards = world.share(config.shards)
        self.network = build(whole, seed=config.seed)
        if problem.seed_network is not None:
            self.network.load_state_dict(problem.seed_network.start_of(self.network))
        self.network.to(world.device)
        assert isinstance(self.network.head, FabricHead)
        self.head = self.network.head
        mixing = dict(_mixing(self.network))
        self.bilevel = settings.mode == "bilevel"
        if self.bilevel:
            for value in mixing.values():
                value.requires_grad_(False)
        # In sync one optimiser has them all; those without a gradient do not move.
        self.optimizer = adamw(self.network, config)
        self.logits = Logits(list(mixing.values()), settings.mixing_rate, world)
        self.expected = ExpectedCost(whole)
        self.price = cost(whole).macs
        self.multiplier = settings.multiplier
        self.turn = 0
        self.session = Session(problem, world, out)

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        session = self.session
        self.network.train()
        for _ in session.steps(1.0, self._state, self._restore, self._snapshot):
            if self.bilevel and self.turn == self.settings.weight_steps:
                self._mixing_step()
                self.turn = 0
            else:
                self._weight_step()
                self.turn += 1
            session.spend(self.price, TRAINING)
        found = described(pruned(self.network.cpu()))
        fabric = replace(found.fabric, learned=not self.bilevel)
        return _outcome(
            self.settings,
            self.problem,
            replace(found, fabric=fabric),
            session.spent,
            session.images,
            session.seconds / 60.0,
        )

    def _weight_step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.session.batch("training"))
        (loss if self.bilevel else loss + self._cost_term()).backward()
        seen, peak = loss.detach().clone(), self.problem.config.lr
        parameters = list(self.network.parameters())
        seen_loss = descend(self.optimizer, parameters, self.world, seen, self.session.spent, peak)
        self.session.note({"loss_train": seen_loss})
        self._raise_multiplier()

    def _mixing_step(self) -> None:
        for value in self.logits.values:
            value.requires_grad_(True)
        loss = self._loss(self.session.batch("held_out"))
        self.logits.move(loss + self._cost_term())
        for value in self.logits.values:
            value.requires_grad_(False)
        seen = loss.detach()
        average_tensors([seen], self.world)
        self.session.note({"loss_held_out": float(seen)})

    def _loss(self, batch: Mapping[str, Tensor]) -> Tensor:
        return torch.stack([self._part_loss(part) for part in split(batch, self.shards)]).mean()

    def _part_loss(self, batch: Batch) -> Tensor:
        task, device = self.problem.task, self.world.device
        images = task.inputs(batch, self.whole, device)
        labels = {name: value.to(device) for name, value in batch.items() if name != "image"}
        return task.loss(self.whole, self.network(images), labels)[0]

    def _cost_term(self) -> Tensor:
        over = self.expected(self.head) / self.problem.budget.amount - 1.0
        return self.multiplier * over.clamp_min(0.0)

    def _raise_multiplier(self) -> None:
        amount, expected = self.problem.budget.amount, float(self.expected(self.head).detach())
        over = max(0.0, expected / amount - 1.0)
        rate = self.settings.multiplier_rate
        self.multiplier = moved_multiplier(self.multiplier, rate, over)
        self.session.note({"expected": expected, "budget": amount, "lambda": self.multiplier})

    def _snapshot(self) -> dict[str, Any]:
        """Strengths of the slots of `FabricSpace`, in their order."""
        strengths: list[list[float]] = []
        for part in described(self.network).fabric.parts:
            shares = over_even(torch.tensor(part.alpha))[1:].tolist()
            for cell in part.cells:
                beta = over_even(torch.tensor(cell.beta))
                strengths += [_rounded(beta.tolist()), _rounded(shares)]
        return {"gates": strengths, "genes": [[1.0]]}

    def _state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        tensors = {
            **with_prefix("network", self.network.state_dict()),
            **with_prefix("weights", optimizer_tensors(self.optimizer)),
            # Copies: alpha and beta are the network's too, and a file holds no tensor twice.
            **{name: t.detach().clone() for name, t in self.logits.tensors().items()},
        }
        return tensors, {"multiplier": self.multiplier, "turn": self.turn}

    def _restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        self.network.load_state_dict(without_prefix("network", tensors))
        restore_optimizer(self.optimizer, without_prefix("weights", tensors))
        self.logits.restore(tensors)
        self.multiplier, self.turn = float(scalars["multiplier"]), int(scalars["turn"])


def _mixing(network: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Alpha and beta of all parts."""
    for name, parameter in network.named_parameters():
        if name.endswith((".alpha", ".beta")):
            yield name, parameter


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 4) for value in values]
