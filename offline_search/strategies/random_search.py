# SPDX-License-Identifier: Apache-2.0
"""Random search: the best of N networks within the budget after a short training of each.

The rival that a search method has to beat (Li and Talwalkar, arXiv 1902.07638): same space, same
budget, same compute, divided equally among the N. Trials are handed out by Optuna's storage, so
several machines can share a search: give each the same command with a --storage that all reach.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

import optuna
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.strategies.problem import Outcome, Problem, SearchError
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed, random_preference, repair
from offline_search.training.checkpoint import disk_errors
from offline_search.training.loop import train

TRIALS_FILE: Final = "trials.log"
_INDEX: Final = "index"
_SCORE_SAMPLES: Final = 192
# The short trainings' own validation only has to end; they are judged by the comparing loss.
_VALIDATION: Final = 32
_HEARTBEAT_S: Final = 30
_POLL_S: Final = 5.0
_OPENINGS: Final = 3
_UNDER_WAY: Final = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)


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
            storage: URL of a database as SQLAlchemy spells it; a file in the search's folder by
                default.

        Raises:
            SearchError: One is out of range.
        """
        if trials < 1:
            raise SearchError(f"strategy random: trials must be at least 1, got {trials}")
        if not mean_open > 0:
            raise SearchError(f"strategy random: mean_open must be positive, got {mean_open}")
        self.trials, self.mean_open, self.storage = trials, mean_open, storage

    def search(self, problem: Problem, out: Path) -> Outcome:
        """See `Strategy`."""
        if int(os.environ.get("WORLD_SIZE", "1")) > 1:
            raise SearchError(
                "strategy random is not spread by torchrun: start the same command several times "
                "with one storage in --strategy-settings"
            )
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = self._study(problem, out)
        began = time.monotonic()

        def objective(trial: optuna.Trial) -> float:
            # Another worker took the last one in the queue, or queued the same at the same time.
            if _INDEX not in trial.user_attrs or _in_other_hands(study, trial):
                raise optuna.TrialPruned
            return self._trial(problem, trial, out)

        while _queued(study, TrialState.WAITING):
            study.optimize(objective, n_trials=1)
        while _queued(study, TrialState.RUNNING):  # by other workers
            optuna.storages.fail_stale_trials(study)
            if _queued(study, TrialState.WAITING):
                study.optimize(objective, n_trials=1)
            time.sleep(_POLL_S)
        return self._outcome(problem, study, (time.monotonic() - began) / 60.0)

    def architecture(self, problem: Problem, index: int) -> tuple[Architecture, str]:
        """The random network of that number, and why it is not within the band ("" if it is)."""
        seed = derived_seed(problem.config.seed, index)
        drawn = random_preference(problem.space, seed, self.mean_open)
        repaired = repair(problem.space, drawn, problem.budget, problem.task.outputs)
        return problem.space.architecture(repaired.point, problem.task.outputs), repaired.why

    def _trial(self, problem: Problem, trial: optuna.Trial, out: Path) -> float:
        index = int(trial.user_attrs[_INDEX])
        architecture, _ = self.architecture(problem, index)
        config = replace(
            problem.config,
            images=max(problem.config.batch, problem.config.images // self.trials),
            validation=_VALIDATION,
            validations=0,
        )
        task = problem.task.task(architecture, config)
        task.title = f"trial {index + 1} of {self.trials}"
        place = out / "trials" / str(index)
        result = train(task, architecture, config, place, problem.seed_network)
        trial.set_user_attr("minutes", result.minutes)
        trial.set_user_attr("images", result.images)
        return problem.task.estimate(result.network, architecture, _SCORE_SAMPLES)

    def _study(self, problem: Problem, out: Path) -> optuna.Study:
        storage = self._open(out)
        study = optuna.create_study(
            storage=storage,
            study_name=self._identity(problem),
            sampler=optuna.samplers.RandomSampler(seed=problem.config.seed),
            load_if_exists=True,
        )
        if not self.storage:
            # Nobody else writes into this folder: what seems to run was killed.
            for trial in _queued(study, TrialState.RUNNING):
                study.tell(trial.number, state=TrialState.FAIL)
        known = {trial.user_attrs.get(_INDEX) for trial in study.get_trials(states=_UNDER_WAY)}
        for index in sorted(set(range(self.trials)) - known):
            study.enqueue_trial({}, user_attrs={_INDEX: index})
        return study

    def _open(self, out: Path) -> BaseStorage:
        if not self.storage:
            return JournalStorage(JournalFileBackend(str(out / TRIALS_FILE)))
        return self._open_database(_OPENINGS)

    def _open_database(self, attempts: int) -> RDBStorage:
        try:
            return RDBStorage(
                self.storage,
                heartbeat_interval=_HEARTBEAT_S,
                heartbeat_stale_trial_callback=optuna.storages.RetryHeartbeatStaleTrialCallback(),
            )
        except Exception as error:  # whatever the database's driver raises
            if attempts > 1:  # two workers that make its tables at once: the later finds them made
                time.sleep(1.0)
                return self._open_database(attempts - 1)
            raise SearchError(
                f"storage {self.storage} cannot be opened ({error}); give a URL such as "
                "sqlite:///search.db or postgresql://user:password@host/search"
            ) from error

    def _identity(self, problem: Problem) -> str:
        """Workers of one storage share a search when all that decides it agrees."""
        free = ("workers", "threads", "device", "checkpoint_images")
        config = {k: v for k, v in problem.config.to_json().items() if k not in free}
        budget = problem.budget
        decides = [problem.task.title, problem.space.to_json(), budget.amount, budget.meter.unit]
        decides += [] if problem.seed_network is None else [problem.seed_network.digest]
        text = json.dumps([*decides, self.trials, self.mean_open, config], sort_keys=True)
        return f"random-{hashlib.sha256(text.encode()).hexdigest()[:16]}"

    def _outcome(self, problem: Problem, study: optuna.Study, minutes: float) -> Outcome:
        finished = study.get_trials(states=(TrialState.COMPLETE,))
        done = {int(trial.user_attrs[_INDEX]): trial for trial in finished}
        if len(done) < self.trials:
            raise SearchError(
                f"{self.trials - len(done)} of {self.trials} trials did not finish; run the same "
                "command again to go on"
            )
        tried = [
            (*self.architecture(problem, index), float(trial.value or 0.0))
            for index, trial in sorted(done.items())
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


def _queued(study: optuna.Study, state: TrialState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=(state,))


def _in_other_hands(study: optuna.Study, trial: optuna.Trial) -> bool:
    """Whether an earlier trial of the same network has not failed."""
    index = trial.user_attrs[_INDEX]
    return any(
        other.number < trial.number and other.user_attrs.get(_INDEX) == index
        for other in study.get_trials(deepcopy=False, states=_UNDER_WAY)
    )
