# SPDX-License-Identifier: Apache-2.0
"""FP-NAS: fast probabilistic neural architecture search (arXiv 2011.10949).

The paper's, beyond PARSEC: as many children as the distribution's entropy asks for, many early and
few late; a factorised distribution first, then a joint one; a hinge-linear penalty of the cost. See
`probabilistic`, and docs/methods.md for what is ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from offline_search.strategies.probabilistic import ProbabilisticSearch, ProbabilisticSettings
from offline_search.strategies.problem import Outcome, Problem, check_settings
from offline_search.strategies.registry import register
from offline_search.strategies.schedules import moved_multiplier
from offline_search.training.distributed import World, joined


@dataclass(frozen=True)
class FpNasSettings(ProbabilisticSettings):
    """Settings of the strategy; `samples` is what the first entropy asks for.

    Attributes:
        fewest: Children that are drawn even where nearly all is decided.
        joint: Share of the compute after which the distribution is joint.
        multiplier: Of the cost's hinge, at first.
        multiplier_rate: By which it rises in a step for each budget that is exceeded.
    """

    samples: int = 12
    fewest: int = 2
    joint: float = 0.5
    multiplier: float = 0.5
    multiplier_rate: float = 0.1

    def check(self, strategy: str) -> None:
        """See `ProbabilisticSettings`."""
        super().check(strategy)
        fewest = 2 <= self.fewest <= self.samples
        rules = (
            ("fewest", fewest, f"from 2 to samples ({self.samples})"),
            ("joint", 0 <= self.joint <= 1, "in [0, 1]"),
            ("multiplier", self.multiplier >= 0, "0 or more"),
            ("multiplier_rate", self.multiplier_rate >= 0, "0 or more"),
        )
        check_settings(strategy, self, rules)


@register(
    "fp_nas",
    paper="FP-NAS: Fast probabilistic neural architecture search, arXiv 2011.10949",
    summary="as parsec, with children by the entropy, a joint distribution, and a hinge on cost",
)
class FpNas:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `FpNasSettings`' fields."""
        self.settings = FpNasSettings(**settings)
        self.settings.check("fp_nas")

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        with joined(problem.config.device) as world:
            return _Search(self.settings, problem, world, out).run()


def samples_for(entropy: float, first_entropy: float, samples: int, fewest: int) -> int:
    """Children for an entropy: `samples` of them at the first one, in proportion, rounded up.

    Args:
        entropy: Of the distribution, nats.
        first_entropy: Of the first distribution, nats.
        samples: At the first entropy, and at most.
        fewest: At least.
    """
    if first_entropy <= 0:
        return fewest
    wanted = math.ceil(samples * entropy / first_entropy - 1e-9)
    return min(max(wanted, fewest), samples)


class _Search(ProbabilisticSearch):
    """See the module."""

    settings: FpNasSettings

    def __init__(self, settings: FpNasSettings, problem: Problem, world: World, out: Path) -> None:
        super().__init__(settings, problem, world, out)
        self.first_entropy = self.distribution.nats()
        self.count = settings.samples
        self.multiplier = settings.multiplier

    def prepare_step(self) -> None:
        """From the factorised to the joint distribution, and the number of children."""
        self.distribution.joint = self.progress() >= self.settings.joint
        entropy = self.distribution.nats()
        settings = self.settings
        self.count = samples_for(entropy, self.first_entropy, settings.samples, settings.fewest)

    def children(self) -> int:
        """By the entropy."""
        return self.count

    def cost_term(self, costs: Tensor, surrogate: Tensor) -> Tensor:
        """Multiplier x max(0, expected cost / budget - 1); the multiplier is raised while over."""
        over = float(costs.mean()) - 1.0
        rate = self.settings.multiplier_rate
        self.multiplier = moved_multiplier(self.multiplier, rate, over)
        return self.multiplier * surrogate * (over > 0)

    def figures(self) -> dict[str, float]:
        """See `ProbabilisticSearch`."""
        return {**super().figures(), "lambda": self.multiplier}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """See `ProbabilisticSearch`."""
        tensors, scalars = super().state()
        more = {"multiplier": self.multiplier, "joint": self.distribution.joint}
        return tensors, {**scalars, **more}

    def restore(self, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
        """See `ProbabilisticSearch`."""
        super().restore(tensors, scalars)
        self.multiplier = float(scalars["multiplier"])
        self.distribution.joint = bool(scalars["joint"])
