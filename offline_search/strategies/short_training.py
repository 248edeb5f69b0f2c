# SPDX-License-Identifier: Apache-2.0
"""Trials of networks by training each of them briefly: what one is, its score and its compute."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from offline_search.space.architecture import Architecture
from offline_search.space.network import Network
from offline_search.space.search_space import SearchSpace
from offline_search.strategies.problem import Problem
from offline_search.strategies.session import FORWARD, TRAINING
from offline_search.training.config import TrainConfig

_SCORE_SAMPLES: Final = 192
_SCORE_IMAGES: Final = _SCORE_SAMPLES * FORWARD // TRAINING
"""What a score costs, in samples of a training."""
# The short trainings' own validation only has to end; they are judged by the comparing loss.
_VALIDATION: Final = 32


def short_config(problem: Problem, trainings: int) -> TrainConfig:
    """Settings of each of so many trainings that, with their scores, divide the compute equally."""
    config = problem.config
    return replace(
        config,
        images=max(config.batch, config.images // trainings - _SCORE_IMAGES),
        validation=_VALIDATION,
        validations=0,
    )


def judged_by(space: SearchSpace) -> str:
    """What `score` is: `loss`, or `pose error` where losses mean different things.

    They do where a space leaves the number of keypoints open.
    """
    return "pose error" if space.keypoints else "loss"


def score(problem: Problem, network: Network, architecture: Architecture) -> float:
    """By what networks compare that were trained so, see `judged_by`; less is better."""
    task = problem.task
    judge = task.pose_error if problem.space.keypoints else task.estimate
    return judge(network, architecture, _SCORE_SAMPLES)


def compute(problem: Problem, trained: Iterable[tuple[Architecture, int]]) -> float:
    """What trials took of the search's compute, scores included.

    Args:
        problem: The search's.
        trained: Each trial's network and the images of its training.

    Returns:
        A share.
    """
    budget = problem.budget
    spent = sum(
        budget.meter.total(network) * (images + _SCORE_IMAGES) for network, images in trained
    )
    return spent / (budget.amount * problem.config.images)
