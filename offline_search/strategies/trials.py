# SPDX-License-Identifier: Apache-2.0
"""Trials that are numbered, handed out by Optuna's storage, and done once each.

One worker alone keeps them in a file of its folder; several, on one machine or many, in a database
that all reach. A worker says every half minute that it lives; a trial whose worker has said nothing
for a minute counts as failed, and its number is handed out again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import optuna
import sqlalchemy
from optuna.samplers import BaseSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, TrialState

from offline_search.strategies.problem import Problem, SearchError
from offline_search.training.checkpoint import disk_errors

TRIALS_FILE: Final = "trials.log"
INDEX: Final = "index"
"""A trial's number in the search, as an attribute: Optuna's own counts failed ones too."""
_HEARTBEAT_S: Final = 30
_POLL_S: Final = 1.0
_OPENINGS: Final = 3
_SUCH_AS: Final = "give one such as sqlite:///search.db or postgresql+psycopg://user@host/search"
_UNDER_WAY: Final = (TrialState.WAITING, TrialState.RUNNING, TrialState.COMPLETE)

Do = Callable[[optuna.Trial, int], tuple[float, ...]]
"""Does the trial of that number; returns what is to be minimised."""


def check_storage(strategy: str, storage: str) -> None:
    """Keeps passwords out of what a search writes down: its request, its command, its bundle.

    Args:
        strategy: Name.
        storage: See `open_storage`.

    Raises:
        SearchError: It is no URL, or holds a password.
    """
    if not storage:
        return
    try:
        url = sqlalchemy.make_url(storage)
    except sqlalchemy.exc.ArgumentError:
        raise SearchError(f"strategy {strategy}: storage is no URL; {_SUCH_AS}") from None
    if url.password is not None or "password" in url.query:
        raise SearchError(
            f"strategy {strategy}: storage holds a password, which would be written into the "
            "search's folder; leave it out of the URL, and give it in PGPASSWORD or ~/.pgpass"
        )


def open_storage(strategy: str, storage: str, out: Path) -> BaseStorage:
    """The database of that URL, as SQLAlchemy spells it; a file in the folder where it is empty.

    Raises:
        SearchError: It cannot be opened, or the processes are torchrun's.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise SearchError(
            f"strategy {strategy} is not spread by torchrun: start the same command several times "
            "with one storage in --strategy-settings"
        )
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if not storage:
        return JournalStorage(JournalFileBackend(str(out / TRIALS_FILE)))
    return _database(storage, _OPENINGS)


def _database(storage: str, attempts: int) -> RDBStorage:
    try:
        return RDBStorage(storage, heartbeat_interval=_HEARTBEAT_S)
    except Exception as error:  # whatever the database's driver raises
        if attempts > 1:  # two workers that make its tables at once: the later finds them made
            time.sleep(1.0)
            return _database(storage, attempts - 1)
        raise SearchError(f"storage {storage} cannot be opened ({error}); {_SUCH_AS}") from error


def identity(strategy: str, problem: Problem, decides: Mapping[str, Any]) -> str:
    """A name: workers of one storage share a search when all that decides it agrees.

    Args:
        strategy: Name.
        problem: The search's.
        decides: The strategy's settings.
    """
    free = ("workers", "threads", "device", "checkpoint_images")
    config = {k: v for k, v in problem.config.to_json().items() if k not in free}
    budget = problem.budget
    search = [problem.task.title, problem.space.to_json(), budget.amount, budget.meter.unit]
    search += [] if problem.seed_network is None else [problem.seed_network.digest]
    text = json.dumps([*search, dict(decides), config], sort_keys=True)
    return f"{strategy}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


class Trials:
    """Trials 0 to `count` - 1 of a study, shared by all workers of its storage.

    Attributes:
        study: Optuna's.
    """

    def __init__(
        self,
        storage: BaseStorage,
        name: str,
        count: int,
        *,
        values: int = 1,
        sampler: Callable[[int], BaseSampler] = optuna.samplers.RandomSampler,
        given: Callable[[int], Mapping[str, Any]] = lambda index: {},
    ) -> None:
        """Opens the study or makes it.

        Args:
            storage: See `open_storage`.
            name: Of the study.
            count: How many trials.
            values: Figures to be minimised.
            sampler: Makes what draws the parameters of a trial. A new one for each, so that what
                it draws follows from the trial's number and the trials before, and not from how
                often the search was stopped.
            given: Parameters of a trial that are not drawn.
        """
        self._count, self._sampler, self._given = count, sampler, given
        self.study = optuna.create_study(
            storage=storage,
            study_name=name,
            directions=["minimize"] * values,
            load_if_exists=True,
        )
        if isinstance(storage, JournalStorage):
            # Nobody else writes into this folder: what seems to run was killed.
            for trial in self._of(TrialState.RUNNING):
                self.study.tell(trial.number, state=TrialState.FAIL)

    def work(self, do: Do) -> dict[int, FrozenTrial]:
        """Does trials, in the order of their numbers, until those of all workers are done.

        What a trial raises ends this worker; the trial is done again by another, or when the same
        command is run again.

        Returns:
            The finished trials by their numbers.
        """

        def objective(trial: optuna.Trial) -> tuple[float, ...]:
            # Another worker took what waited, or put the same in at the same time.
            if INDEX not in trial.user_attrs or self._in_other_hands(trial):
                raise optuna.TrialPruned
            return do(trial, int(trial.user_attrs[INDEX]))

        while True:
            if not self._of(TrialState.WAITING):
                free = sorted(set(range(self._count)) - self._indices(*_UNDER_WAY))
                if not free:
                    if not self._of(TrialState.RUNNING):
                        return self.finished()
                    time.sleep(_POLL_S)  # others still run, unless they are gone
                    optuna.storages.fail_stale_trials(self.study)
                    continue
                self.study.enqueue_trial(dict(self._given(free[0])), user_attrs={INDEX: free[0]})
            waiting = self._indices(TrialState.WAITING)
            self.study.sampler = self._sampler(min(waiting, default=0))
            self.study.optimize(objective, n_trials=1)

    def finished(self) -> dict[int, FrozenTrial]:
        """Those that are done, by their numbers, in the order of these."""
        done = {int(trial.user_attrs[INDEX]): trial for trial in self._of(TrialState.COMPLETE)}
        return {index: done[index] for index in sorted(done)}

    def _of(self, *states: TrialState) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False, states=states)

    def _indices(self, *states: TrialState) -> set[int]:
        return {trial.user_attrs[INDEX] for trial in self._of(*states) if INDEX in trial.user_attrs}

    def _in_other_hands(self, trial: optuna.Trial) -> bool:
        """Whether an earlier trial of the same number has not failed."""
        index = trial.user_attrs[INDEX]
        return any(
            other.number < trial.number and other.user_attrs.get(INDEX) == index
            for other in self._of(*_UNDER_WAY)
        )
