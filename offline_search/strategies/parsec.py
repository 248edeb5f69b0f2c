# SPDX-License-Identifier: Apache-2.0
"""PARSEC: probabilistic neural architecture search (arXiv 1902.05116).

The paper's: a factorised categorical distribution over architectures, importance weights of
children that share weights, and both gradients under them; the memory of one child network. See
`probabilistic`, and docs/methods.md for what is ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from offline_search.strategies.probabilistic import ProbabilisticSearch, ProbabilisticSettings
from offline_search.strategies.problem import Outcome, Problem
from offline_search.strategies.registry import register
from offline_search.training.distributed import joined


@register(
    "parsec",
    paper="Probabilistic neural architecture search, arXiv 1902.05116",
    summary="a distribution over networks, learnt from importance weights of sampled children",
)
class Parsec:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `ProbabilisticSettings`' fields."""
        self.settings = ProbabilisticSettings(**settings)
        self.settings.check("parsec")

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        with joined(problem.config.device) as world:
            return ProbabilisticSearch(self.settings, problem, world, out).run()
