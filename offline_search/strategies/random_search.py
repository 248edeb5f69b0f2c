# SPDX-License-Identifier: Apache-2.0
"""Random search: the best of N networks within the budget after a short training of each.

The rival that a search method has to beat (Li and Talwalkar, arXiv 1902.07638): same space, same
budget, same compute, divided equally among the N. Trials are handed out by Optuna's storage, so
several machines can share a search: give each the same command, and in its --strategy-settings a
`storage` that all reach.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.search_space import SearchSpace
from offline_search.strategies.problem import Budget, Outcome, Problem, SearchError
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed, random_preference, repair
from offline_search.strategies.short_training import compute, score, short_config
from offline_search.strategies.trials import Trials, check_storage, identity, open_storage
from offline_search.training.loop import train


def random_network(
    space: SearchSpace, budget: Budget, outputs: int, seed: int, mean_open: float
) -> tuple[Architecture, str]:
    """The random network of that seed, and why it is not within the band ("" if it is).

    Args:
        space: Where it is drawn.
        budget: To which it is brought.
        outputs: Keypoints.
        seed: Of the draw.
        mean_open: Operators open in a layer, on average, before the budget is met.
    """
    repaired = repair(space, random_preference(space, seed, mean_open), budget, outputs)
    return space.architecture(repaired.point, outputs), repaired.why


@register(
    "random",
    paper="Random search and reproducibility for neural architecture search, arXiv 1902.07638",
    summary="the best of N random networks within the budget by short training",
)
class RandomSearch:
    """See the module."""

    def __init__(self, *, trials: int = 4, mean_open: float = 1.5, storage: str = "") -> None:
        """Settings.

        Args:
            trials: N.
            mean_open: Operators open in a layer, on average, before the budget is met.
            storage: URL of a database as SQLAlchemy spells it, without a password; a file in the
                search's folder by default.

        Raises:
            SearchError: One is out of range.
        """
        if trials < 1:
            raise SearchError(f"strategy random: trials must be at least 1, got {trials}")
        if not mean_open > 0:
            raise SearchError(f"strategy random: mean_open must be positive, got {mean_open}")
        check_storage("random", storage)
        self.trials, self.mean_open, self.storage = trials, mean_open, storage

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        decides = {"trials": self.trials, "mean_open": self.mean_open}
        trials = Trials(
            open_storage("random", self.storage, out),
            identity("random", problem, decides),
            self.trials,
        )
        began = time.monotonic()
        done = trials.work(lambda trial, index: self._trial(problem, trial, index, out))
        return self._outcome(problem, done, (time.monotonic() - began) / 60.0)

    def architecture(self, problem: Problem, index: int) -> tuple[Architecture, str]:
        """The random network of that number, and why it is not within the band ("" if it is)."""
        seed = derived_seed(problem.config.seed, index)
        outputs = problem.task.outputs
        return random_network(problem.space, problem.budget, outputs, seed, self.mean_open)

    def _trial(self, problem: Problem, trial: optuna.Trial, index: int, out: Path) -> tuple[float]:
        architecture, _ = self.architecture(problem, index)
        config = short_config(problem, self.trials)
        task = problem.task.task(architecture, config)
        task.title = f"trial {index + 1} of {self.trials}"
        place = out / "trials" / str(index)
        result = train(task, architecture, config, place, problem.seed_network)
        trial.set_user_attr("minutes", result.minutes)
        trial.set_user_attr("images", result.images)
        return (score(problem, result.network, architecture),)

    def _outcome(
        self, problem: Problem, done: Mapping[int, FrozenTrial], minutes: float
    ) -> Outcome:
        tried = [
            (*self.architecture(problem, index), float(trial.value or 0.0))
            for index, trial in done.items()
        ]
        ranked = sorted(tried, key=lambda network: network[2])
        best, why, score = ranked[0]
        return Outcome(
            architecture=best,
            why=why,
            estimate=score,
            rivals=tuple((network, value) for network, _, value in ranked[1:]),
            images=sum(trial.user_attrs["images"] for trial in done.values()),
            minutes=max(minutes, sum(trial.user_attrs["minutes"] for trial in done.values())),
            details={
                "settings": {"trials": self.trials, "mean_open": self.mean_open},
                "compute": compute(
                    problem,
                    [
                        (self.architecture(problem, index)[0], trial.user_attrs["images"])
                        for index, trial in done.items()
                    ],
                ),
                "trials": [
                    {
                        "macs": cost(network).macs,
                        "params": cost(network).params,
                        "score": value,
                        "architecture": network.to_json(),
                    }
                    for network, _, value in tried
                ],
            },
        )
