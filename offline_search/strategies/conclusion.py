# SPDX-License-Identifier: Apache-2.0
"""How a search with shared weights ends: a contest, for which some of the compute is put by."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from offline_search.strategies.contest import contest
from offline_search.strategies.problem import Outcome, Problem
from offline_search.strategies.repair import Preference
from offline_search.strategies.session import TRAINING, Session
from offline_search.strategies.shared_weights import (
    CALIBRATION_SAMPLES,
    ESTIMATE_SAMPLES,
    SharedWeights,
)

_IMAGES_OF_AN_ESTIMATE = CALIBRATION_SAMPLES + ESTIMATE_SAMPLES


class Conclusion:
    """The last choice by the shared weights.

    Attributes:
        evaluations: Networks that are compared.
        until: Share of the compute that is spent before.
    """

    def __init__(self, problem: Problem, share: float) -> None:
        """`share` is that of the compute which the contest may have."""
        images = TRAINING * problem.config.images
        self.problem = problem
        self.evaluations = max(1, int(share * images / _IMAGES_OF_AN_ESTIMATE))
        self.until = max(0.5, 1.0 - self.evaluations * _IMAGES_OF_AN_ESTIMATE / images)

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
        ranked = contest(self.problem, preference, weights.estimate, self.evaluations)
        best, *others = ranked
        return Outcome(
            architecture=best.architecture,
            why=best.repaired.why,
            estimate=best.estimate,
            rivals=tuple((rival.architecture, rival.estimate) for rival in others),
            images=session.images + len(ranked) * _IMAGES_OF_AN_ESTIMATE,
            minutes=(session.seconds + time.monotonic() - began) / 60.0,
            details={**details, "steps": session.step, "compared": len(ranked)},
        )
