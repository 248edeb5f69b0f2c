# SPDX-License-Identifier: Apache-2.0
"""Networks that were trained briefly and timed: those that no other beats, and the last choice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.strategies.problem import Outcome, Problem
from offline_search.strategies.short_training import compute, judged_by
from offline_search.strategies.single_path import Path

# The comparing loss is what a report takes a score for.
_MEANINGS: Final = {
    "pose error": " The pose error is how far poses put all keypoints of the object, found or not, "
    "from where they are: the mean on held-out samples, in shares of the crop's side, at most 1."
}


@dataclass(frozen=True)
class Candidate:
    """One of them.

    Attributes:
        stage: Of the search, in which it came up.
        architecture: The network.
        path: The same with one operator a layer; the first where it has several.
        why: Why its cost is not within the band that was asked of it; empty where it is.
        ms: Its time.
        loss: Its score after its training, see `short_training.score`.
        images, minutes: Of its training.
    """

    stage: str
    architecture: Architecture
    path: Path
    why: str
    ms: float
    loss: float
    images: int
    minutes: float

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal candidate."""
        return {
            **vars(self),
            "architecture": self.architecture.to_json(),
            "path": {"choices": list(self.path.choices), "picks": list(self.path.picks)},
        }

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Candidate:
        """Inverse of `to_json`."""
        path = document["path"]
        made = {
            "architecture": Architecture.from_json(document["architecture"]),
            "path": Path(tuple(path["choices"]), tuple(path["picks"])),
        }
        return Candidate(**{**document, **made})


def front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those that no other beats in loss and time, from the fastest to the slowest."""
    kept: list[Candidate] = []
    for candidate in sorted(candidates, key=lambda one: (one.ms, one.loss)):
        if not kept or candidate.loss < kept[-1].loss:
            kept.append(candidate)
    return kept


def conclude(
    problem: Problem, found: Sequence[Candidate], minutes: float, details: Mapping[str, Any]
) -> Outcome:
    """The last choice: the least loss within the budget's band.

    Args:
        problem: The search's.
        found: All candidates, in the order of the search. The last of them were asked to be within
            the band.
        minutes: Of this run.
        details: For the report.
    """
    budget = problem.budget
    price = {one.architecture.digest: budget.meter.total(one.architecture) for one in found}
    within = [one for one in found if budget.holds(price[one.architecture.digest])]
    # Where nothing reaches the band, what came nearest from below is all there is.
    nearest = [one for one in found if one.stage == found[-1].stage]
    ranked = sorted(within or nearest, key=lambda one: one.loss)
    best, *others = {one.architecture.digest: one for one in ranked}.values()
    trained = [one for one in found if one.images > 0]
    beaten_by_none = {one.architecture.digest for one in front(found)}
    measure = judged_by(problem.space)
    return Outcome(
        architecture=best.architecture,
        why="" if within else best.why,
        estimate=best.loss,
        rivals=tuple((other.architecture, other.loss) for other in others),
        images=sum(one.images for one in found),
        minutes=max(minutes, sum(one.minutes for one in found)),
        details={
            **details,
            "compute": compute(problem, [(one.architecture, one.images) for one in trained]),
            "trained": len(trained),
            "trials": [
                {
                    "stage": one.stage,
                    "macs": cost(one.architecture).macs,
                    "params": cost(one.architecture).params,
                    "ms": one.ms,
                    "score": one.loss,
                    "front": one.architecture.digest in beaten_by_none,
                    "architecture": one.architecture.to_json(),
                }
                for one in found
            ],
            "trials_text": f"{len(found)} candidates were bred in {_listed(found)} trials, and "
            f"those that were new trained briefly from scratch; the one of the least {measure} "
            f"within the budget was kept.{_MEANINGS.get(measure, '')}",
            **({"judged_by": measure} if measure in _MEANINGS else {}),
        },
    )


def _listed(found: Sequence[Candidate]) -> str:
    counts: dict[str, int] = {}
    for one in found:
        counts[one.stage] = counts.get(one.stage, 0) + 1
    return " and ".join(f"{count} {stage}" for stage, count in counts.items())
