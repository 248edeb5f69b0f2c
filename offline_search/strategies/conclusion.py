# SPDX-License-Identifier: Apache-2.0
"""How a search with shared weights ends: a contest, for which some of the compute is put by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from offline_search.strategies.contest import contest
from offline_search.strategies.problem import Outcome, Problem
from offline_search.strategies.repair import Preference
from offline_search.strategies.session import FORWARD, TRAINING, Session
from offline_search.strategies.shared_weights import (
    CALIBRATION_SAMPLES,
    ESTIMATE_SAMPLES,
    SharedWeights,
)

_IMAGES_OF_AN_ESTIMATE = CALIBRATION_SAMPLES + ESTIMATE_SAMPLES


class Conclusion:
    """The last choice by the shared weights.

    Attributes:
        price: What comparing a network of just the budget takes, as a share of the compute.
        evaluations: Networks that are compared, where the search before spent no more than `until`.
        until: Share of the compute that is spent before.
    """

    def __init__(self, problem: Problem, share: float) -> None:
        """`share` is that of the compute which the contest may have."""
        self.problem = problem
        self.price = FORWARD * _IMAGES_OF_AN_ESTIMATE / (TRAINING * problem.config.images)
        self.evaluations = max(1, int(share / self.price))
        self.until = max(0.5, 1.0 - self.evaluations * self.price)

    def outcome(
        self,
        session: Session,
        weights: SharedWeights,
        preference: Preference,
        details: Mapping[str, Any],
    ) -> Outcome:
        """Holds the contest; the best of it is the search's.

        Args:
            session: At its end.
            weights: By which networks are compared.
            preference: What was learnt.
            details: For the report.
        """
        began = time.monotonic()
        # The last step may have taken more than was left for it.
        evaluations = max(1, min(self.evaluations, int((1.0 - session.spent) / self.price)))
        ranked = contest(self.problem, preference, weights.estimate, evaluations)
        best, *others = ranked
        budget = self.problem.budget
        costs = sum(budget.meter.total(one.architecture) for one in ranked) / budget.amount
        return Outcome(
            architecture=best.architecture,
            why=best.repaired.why,
            estimate=best.estimate,
            rivals=tuple((rival.architecture, rival.estimate) for rival in others),
            images=session.images + len(ranked) * _IMAGES_OF_AN_ESTIMATE,
            minutes=(session.seconds + time.monotonic() - began) / 60.0,
            details={
                **details,
                "compute": session.spent + costs * self.price,
                "steps": session.step,
                "compared": len(ranked),
            },
        )
