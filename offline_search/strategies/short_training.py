# SPDX-License-Identifier: Apache-2.0
"""Trials of networks by training each of them briefly: what such a training is, and its score."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from offline_search.space.architecture import Architecture
from offline_search.space.network import Network
from offline_search.strategies.problem import Problem
from offline_search.training.config import TrainConfig

_SCORE_SAMPLES: Final = 192
# The short trainings' own validation only has to end; they are judged by the comparing loss.
_VALIDATION: Final = 32


def short_config(problem: Problem, trainings: int) -> TrainConfig:
    """Settings of each of so many trainings that divide the search's images equally."""
    config = problem.config
    return replace(
        config,
        images=max(config.batch, config.images // trainings),
        validation=_VALIDATION,
        validations=0,
    )


def score(problem: Problem, network: Network, architecture: Architecture) -> float:
    """The comparing loss of a network that was trained so; less is better."""
    return problem.task.estimate(network, architecture, _SCORE_SAMPLES)
