# SPDX-License-Identifier: Apache-2.0
"""SM-NAS: structural-to-modular neural architecture search (arXiv 1911.09929).

The paper's: two objectives, accuracy and measured time; first the structure is searched, then, from
the structures that no other beats in both, the modules of each; every candidate is trained on the
task itself, from scratch, with group norm and standardised weights. The genetic algorithm is
NSGA-II as Optuna has it; trials are shared as `trials` tells. What is ours stands in
docs/methods.md.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path as File
from typing import Any, Final

import numpy as np
import optuna
from optuna.samplers import NSGAIISampler
from optuna.trial import FrozenTrial

from offline_search.space.architecture import Architecture
from offline_search.space.group_norm import GroupNormed
from offline_search.strategies.candidates import Candidate, conclude, front
from offline_search.strategies.evolution import mutated
from offline_search.strategies.problem import Budget, Outcome, Problem, SearchError, check_settings
from offline_search.strategies.registry import register
from offline_search.strategies.repair import derived_seed, repair
from offline_search.strategies.short_training import score, short_config
from offline_search.strategies.single_path import Path, as_few_open
from offline_search.strategies.structures import structural_path, structure_sizes
from offline_search.strategies.trials import Trials, check_storage, identity, open_storage
from offline_search.training.loop import train

_STRUCTURAL, _MODULAR = range(2)
STAGES: Final = ("structural", "modular")
_CANDIDATE: Final = "candidate"
_MACHINE: Final = "machine"
_BASE: Final = "base"
_SLOT: Final = "slot_{}"
_SEEDS: Final = 2**32


@dataclass(frozen=True)
class SmNasSettings:
    """Settings of the strategy.

    Attributes:
        structural, modular: Trials of the two stages; all have an equal part of the images.
        population: Trials of a generation.
        lowest: The structural stage looks at networks from this share of the budget on.
        chance: Of each layer of a mutant in the modular stage's first generation to be drawn anew.
        latency: Time of a candidate: `network`, of itself as a whole, or `parts`, the sum of its
            parts in the table that was measured once: where machines are too busy to be measured.
        storage: URL of a database as SQLAlchemy spells it, without a password; a file in the
            search's folder by default.
    """

    structural: int = 12
    modular: int = 12
    population: int = 4
    lowest: float = 0.5
    chance: float = 0.2
    latency: str = "network"
    storage: str = ""

    def __post_init__(self) -> None:
        """Checks every field.

        Raises:
            SearchError: One is out of range.
        """
        rules = (
            ("structural", self.structural >= 1, "at least 1"),
            ("modular", self.modular >= 1, "at least 1"),
            ("population", self.population >= 2, "at least 2"),
            ("lowest", 0 < self.lowest <= 1, "above 0, at most 1"),
            ("chance", 0 <= self.chance <= 1, "in [0, 1]"),
            ("latency", self.latency in ("network", "parts"), "network or parts"),
        )
        check_settings("sm_nas", self, rules)
        check_storage("sm_nas", self.storage)


@register(
    "sm_nas",
    paper="SM-NAS: Structural-to-modular neural architecture search, arXiv 1911.09929",
    summary="structures, then their layers, evolved by accuracy and measured time together",
    keypoints=True,
)
class SmNas:
    """See the module."""

    def __init__(self, **settings: Any) -> None:
        """`settings` are `SmNasSettings`' fields."""
        self.settings = SmNasSettings(**settings)

    def search(self, problem: Problem, out: File) -> Outcome:
        """See `Strategy`."""
        return _Search(self.settings, problem, out).run()


class _Nsga2(NSGAIISampler):
    """Parents stand in the order of their trials, whether just chosen or read from the storage."""

    def get_parent_population(self, study: optuna.Study, generation: int) -> list[FrozenTrial]:
        parents = super().get_parent_population(study, generation)
        return sorted(parents, key=lambda trial: trial.number)


class _Search:
    """One worker's part."""

    def __init__(self, settings: SmNasSettings, problem: Problem, out: File) -> None:
        self.settings, self.problem, self.out = settings, problem, out
        self.space, self.outputs = problem.space, problem.task.outputs
        self.clock = problem.clock()
        self.storage = open_storage("sm_nas", settings.storage, out)
        # Where trials are kept decides nothing.
        self.decides = {k: v for k, v in asdict(settings).items() if k != "storage"}
        self.name = identity("sm_nas", problem, self.decides)
        self.stages: list[Trials] = []

    def run(self) -> Outcome:
        """To the end, from where an earlier run was stopped."""
        began = time.monotonic()
        settings = self.settings
        found = self._stage(_STRUCTURAL, settings.structural)
        self.bases = [candidate.path for candidate in reversed(front(found))]
        found += self._stage(_MODULAR, settings.modular)
        return conclude(
            self.problem,
            found,
            (time.monotonic() - began) / 60.0,
            {
                "settings": self.decides,
                "latency": {"of": settings.latency, **self.clock.machine},
            },
        )

    def _stage(self, stage: int, count: int) -> list[Candidate]:
        trials = Trials(
            self.storage,
            f"{self.name}-{STAGES[stage]}",
            count,
            values=2,
            sampler=lambda index: _Nsga2(
                population_size=self.settings.population,
                seed=self._seed(stage, index) % _SEEDS,
            ),
            given=(lambda index: {}) if stage == _STRUCTURAL else self._first,
        )
        self._same_machine(trials)
        self.stages.append(trials)
        done = trials.work(lambda trial, index: self._trial(stage, trial, index))
        return [Candidate.from_json(trial.user_attrs[_CANDIDATE]) for trial in done.values()]

    def _trial(self, stage: int, trial: optuna.Trial, index: int) -> tuple[float, float]:
        candidate = self._candidate(stage, trial, index)
        trial.set_user_attr(_CANDIDATE, candidate.to_json())
        return candidate.loss, candidate.ms

    def _candidate(self, stage: int, trial: optuna.Trial, index: int) -> Candidate:
        """The trial's network, trained; without its images where it was trained before."""
        budget = self.problem.budget
        if stage == _STRUCTURAL:
            path, budget = self._structure(trial), replace(budget, low=self.settings.lowest)
        else:
            path = self._modules(trial)
        path, architecture, why = self._within(path, budget)
        known = [
            Candidate.from_json(other.user_attrs[_CANDIDATE])
            for trials in self.stages
            for other in trials.finished().values()
        ]
        twin = next((other for other in known if other.architecture == architecture), None)
        if twin is not None:
            return replace(twin, stage=STAGES[stage], why=why, images=0, minutes=0.0)
        by_parts = self.settings.latency == "parts"
        ms = self.clock.total(architecture) if by_parts else self.clock.measure(architecture)
        short = short_config(self.problem, self.settings.structural + self.settings.modular)
        task = self.problem.task.task(architecture, short)
        task.title = f"{STAGES[stage]} {index + 1}"
        # Another network may have had this number before a worker died.
        place = self.out / "trials" / f"{STAGES[stage]}-{index}-{architecture.digest[:8]}"
        result = train(task, GroupNormed.of(architecture), short, place)
        return Candidate(
            stage=STAGES[stage],
            architecture=architecture,
            path=path,
            why=why,
            ms=ms,
            loss=score(self.problem, result.network, architecture),
            images=result.images,
            minutes=result.minutes,
        )

    def _structure(self, trial: optuna.Trial) -> Path:
        sizes = structure_sizes(self.space)
        values = {name: trial.suggest_int(name, 0, size - 1) for name, size in sizes.items()}
        return structural_path(self.space, values)

    def _modules(self, trial: optuna.Trial) -> Path:
        base = self.bases[trial.suggest_int(_BASE, 0, len(self.bases) - 1)]
        picks = [
            trial.suggest_int(_SLOT.format(number), 0, len(slot.candidates) - 1)
            for number, slot in enumerate(self.space.slots)
        ]
        return Path(base.choices, tuple(picks))

    def _first(self, index: int) -> dict[str, int]:
        """Of the modular stage's first generation: the structural front, then mutants of it."""
        if index >= self.settings.population:
            return {}
        base = index % len(self.bases)
        path = self.bases[base]
        if index >= len(self.bases):
            rng = np.random.default_rng(self._seed(_MODULAR, index))
            path = mutated(self.space, path, self.settings.chance, rng)
        return {_BASE: base, **{_SLOT.format(slot): pick for slot, pick in enumerate(path.picks)}}

    def _within(self, path: Path, budget: Budget) -> tuple[Path, Architecture, str]:
        """The network of a path, with as little changed as brings its cost within the budget."""
        problem = replace(self.problem, budget=budget)
        wanted = as_few_open(problem, path.preference(self.space))
        repaired = repair(self.space, wanted, budget, self.outputs)
        picks = [
            slot.candidates.index(names[0])
            for slot, names in zip(self.space.slots, repaired.point.opened, strict=True)
        ]
        network = self.space.architecture(repaired.point, self.outputs)
        return Path(repaired.point.choices, tuple(picks)), network, repaired.why

    def _same_machine(self, trials: Trials) -> None:
        """Notes the machine whose times are the search's.

        Raises:
            SearchError: It is another one.
        """
        ours = dict(self.clock.machine)
        theirs = trials.study.user_attrs.get(_MACHINE)
        if theirs is None:
            trials.study.set_user_attr(_MACHINE, ours)
        elif theirs != ours:
            raise SearchError(
                f"strategy sm_nas: this search's times are those of {theirs}, and do not compare "
                f"with those of {ours}; share a storage between machines of one kind only"
            )

    def _seed(self, purpose: int, number: int) -> int:
        return derived_seed(self.problem.config.seed, purpose, number)
