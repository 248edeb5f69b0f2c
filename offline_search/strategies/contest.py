# SPDX-License-Identifier: Apache-2.0
"""The last choice among networks within the budget, by what shared weights say of them.

The likeliest network of a distribution is drawn from many small decisions, each of them uncertain.
Its rivals are draws from the same distribution, then changes of the best so far. All are compared
on the same held-out samples.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from tqdm import tqdm

from offline_search.space.architecture import Architecture
from offline_search.space.search_space import Point
from offline_search.strategies.problem import Problem, SearchError
from offline_search.strategies.repair import (
    NEVER,
    Preference,
    Repaired,
    derived_seed,
    random_logits,
    repair,
)

_PARENTS: Final = 4
_MEAN_OPEN: Final = 1.5
# Of a change: how sure the parent's own choices are against the noise, in nats.
_PARENT_LOGIT: Final = 2.5
_CHANGED_SLOTS: Final = 0.25
_CHANGED_GENES: Final = 0.15


@dataclass(frozen=True, eq=False)
class Contestant:
    """A network, why it is not within the band ("" where it is), and its estimate."""

    repaired: Repaired
    architecture: Architecture
    estimate: float


def contest(
    problem: Problem,
    preference: Preference,
    estimate: Callable[[Architecture], float],
    evaluations: int,
) -> list[Contestant]:
    """Networks with their estimates, best first; the first one drawn is the likeliest.

    Args:
        problem: Space, budget and seed.
        preference: What has been learnt.
        estimate: Of a network, less is better.
        evaluations: How many to compare, at least 1.
    """
    tried: dict[str, Contestant] = {}
    bar = tqdm(range(max(1, evaluations)), desc=f"compare {problem.task.title}", unit="network")
    for number in bar:
        rng = np.random.default_rng(derived_seed(problem.config.seed, number))
        best = sorted(tried.values(), key=_estimate)[:_PARENTS]
        wanted = _candidate(problem, preference, best, number / max(1, evaluations), rng)
        try:
            repaired = repair(problem.space, wanted, problem.budget, problem.task.outputs)
        except SearchError:
            if not tried:
                raise
            continue
        network = problem.space.architecture(repaired.point, problem.task.outputs)
        unwanted = repaired.why or _opens_closed(problem, preference, repaired.point)
        if network.digest in tried or (unwanted and tried):
            continue
        tried[network.digest] = Contestant(repaired, network, estimate(network))
        bar.set_postfix_str(f"best {min(map(_estimate, tried.values())):.4g}")
    return sorted(tried.values(), key=_estimate)


def _opens_closed(problem: Problem, preference: Preference, point: Point) -> bool:
    """Whether a gate is open that is never to be."""
    layers = zip(problem.space.slots, preference.gates, point.opened, strict=True)
    return any(
        values[slot.candidates.index(name)] <= NEVER
        for slot, values, names in layers
        for name in names
    )


def _candidate(
    problem: Problem,
    preference: Preference,
    best: list[Contestant],
    done: float,
    rng: np.random.Generator,
) -> Preference:
    """The likeliest; draws in the first half of the contest; then changes of the best."""
    if not best:
        return preference
    if done < 0.5:
        return _noisy(preference, rng)
    parent = best[int(rng.integers(len(best)))]
    return _changed(problem, parent.repaired.point, preference, rng)


def _noisy(preference: Preference, rng: np.random.Generator) -> Preference:
    """A draw: logistic noise on gates, Gumbel noise on genes."""
    gates = tuple(values + rng.logistic(size=len(values)) for values in preference.gates)
    genes = tuple(values + rng.gumbel(size=len(values)) for values in preference.genes)
    return Preference(gates, genes, preference.most_open)


def _changed(
    problem: Problem, point: Point, preference: Preference, rng: np.random.Generator
) -> Preference:
    """The point with some layers and genes drawn anew; what is never to be open stays closed."""
    space = problem.space
    gates = []
    for slot, names, learnt in zip(space.slots, point.opened, preference.gates, strict=True):
        own = np.where([name in names for name in slot.candidates], _PARENT_LOGIT, -_PARENT_LOGIT)
        fresh = random_logits(rng, len(slot.candidates), _MEAN_OPEN)
        chosen = fresh if rng.random() < _CHANGED_SLOTS else own
        gates.append(np.where(learnt <= NEVER, NEVER, chosen))
    genes = []
    for gene, choice in zip(space.genes, point.choices, strict=True):
        own = np.where(np.arange(len(gene.choices)) == choice, 0.0, -2 * _PARENT_LOGIT)
        changed = rng.random() < _CHANGED_GENES
        genes.append(rng.gumbel(size=len(own)) if changed else own)
    return Preference(tuple(gates), tuple(genes), preference.most_open)


def _estimate(contestant: Contestant) -> float:
    return contestant.estimate
