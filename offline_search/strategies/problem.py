# SPDX-License-Identifier: Apache-2.0
"""What a strategy is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from fpg_pose_ros.errors import FpgPoseError
from offline_search.space.architecture import Architecture
from offline_search.space.meter import Meter
from offline_search.space.search_space import SearchSpace
from offline_search.training.config import TrainConfig
from offline_search.training.search_task import SearchTask
from offline_search.training.seed_network import SeedNetwork


class SearchError(FpgPoseError):
    """A search that cannot start, go on or end; the message says what to do."""


def check_settings(strategy: str, settings: object, rules: Iterable[tuple[str, bool, str]]) -> None:
    """Checks a strategy's settings.

    Args:
        strategy: Its name.
        settings: With the fields that the rules name.
        rules: Name of a field, whether its value fits, and what would.

    Raises:
        SearchError: One is out of range.
    """
    for name, fits, wanted in rules:
        if not fits:
            value = getattr(settings, name)
            raise SearchError(f"strategy {strategy}: {name} must be {wanted}, got {value!r}")


@dataclass(frozen=True)
class Budget:
    """What a network may cost.

    Attributes:
        amount: At most so much, in the meter's unit.
        meter: What is counted.
        low: At least this share of it: less would leave accuracy unbought.
    """

    amount: float
    meter: Meter
    low: float = 0.95

    def holds(self, cost: float) -> bool:
        """Whether the cost is within the budget's band."""
        return self.low * self.amount <= cost <= self.amount


class Clock(Protocol):
    """Tells how long networks take on this machine in the robot's runtime."""

    @property
    def machine(self) -> Mapping[str, Any]:
        """What times depend on; those of different machines do not compare."""
        ...

    def measure(self, architecture: Architecture) -> float:
        """Of the whole network, ms: measured once, then remembered."""
        ...

    def total(self, architecture: Architecture) -> float:
        """The same from the times of its parts, measured once for all networks, ms."""
        ...


@dataclass(frozen=True, eq=False)
class Problem:
    """A search's task.

    Attributes:
        space: Where to look.
        task: Data and loss.
        budget: What the network may cost.
        config: How weights are trained. `images` is the search's compute, whatever the strategy:
            that of training a network of just the budget on so many samples.
        clock: Makes a `Clock`, for strategies that weigh time, whatever the budget counts.
        seed_network: What all weights start from, those of a supernet too; None: fresh ones.
    """

    space: SearchSpace
    task: SearchTask
    budget: Budget
    config: TrainConfig
    clock: Callable[[], Clock]
    seed_network: SeedNetwork | None = None


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a strategy found.

    Attributes:
        architecture: The network to be trained from scratch.
        why: Why it is not within the budget's band; empty where it is.
        estimate: The comparing loss (`SearchTask.loss`) that the strategy expects of it, as far as
            it can tell, or another number that is less for what it takes to be better; None where
            it makes no estimate.
        rivals: Other architectures with their estimates, best first, for a check of the estimates.
        images: Samples shown to networks, counted once for each network.
        minutes: Wall time of all runs that led here.
        details: For the report and search.json. `compute` is the share of the search's compute
            that was spent.
    """

    architecture: Architecture
    why: str
    estimate: float | None
    rivals: tuple[tuple[Architecture, float], ...]
    images: int
    minutes: float
    details: Mapping[str, Any] = field(default_factory=dict)


def spread(
    rivals: Sequence[tuple[Architecture, float]], count: int
) -> list[tuple[Architecture, float]]:
    """`count` of them, from the best to the worst estimate."""
    if count >= len(rivals):
        return list(rivals)
    return [rivals[round(i * (len(rivals) - 1) / max(1, count - 1))] for i in range(count)]
