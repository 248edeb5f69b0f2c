# SPDX-License-Identifier: Apache-2.0
"""The parts of a search that the command, the pipeline and the benchmark share."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from scipy.stats import kendalltau

from fpg_pose_ros.objects import MIN_KEYPOINTS
from offline_search.data.datasets import as_ramp, layer_resolution
from offline_search.data.sources import PoseSource, Split
from offline_search.retrain import CROP_MARGIN, curriculum, make_pose_task
from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.cost import cost
from offline_search.space.fabric_space import FabricSpace
from offline_search.space.search_space import Point, SearchSpace
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.fabric_budget import roomy
from offline_search.strategies.problem import Budget, Clock, Outcome, Problem, SearchError, spread
from offline_search.strategies.registry import check_space, make_strategy
from offline_search.strategies.repair import random_preference, repair
from offline_search.strategies.short_training import score
from offline_search.training.checkpoint import write_atomic
from offline_search.training.config import TrainConfig
from offline_search.training.distributed import main_process
from offline_search.training.loop import train
from offline_search.training.pose_task import PoseTask
from offline_search.training.search_task import ENDLESS, PoseSearchTask
from offline_search.training.seed_network import SeedNetwork

SELECTION_SEED: Final = 900_101
"""Of the held-out samples by which a search chooses; those of training are smaller, those of
validation and test are others."""
OUTCOME_FILE: Final = "outcome.json"
_SUFFIXES: Final = {"k": 1e3, "M": 1e6, "G": 1e9}
_MILLIONS_BELOW: Final = 1e4
_LEAST_HELD_OUT: Final = 256


def parse_macs(text: str) -> float:
    """`30M`, `0.03G` or `30000000` MACs; a bare number below 10,000 counts millions.

    Raises:
        SearchError: It is no positive number.
    """
    number, factor = text.strip(), 1.0
    if number[-1:] in _SUFFIXES:
        number, factor = number[:-1], _SUFFIXES[number[-1]]
    try:
        value = float(number) * factor
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SearchError(f"budget {text!r}: give MACs, such as 30M or 0.03G")
    return value * 1e6 if factor == 1.0 and value < _MILLIONS_BELOW else value


def parse_milliseconds(text: str) -> float:
    """`8ms` or `8`, in milliseconds.

    Raises:
        SearchError: It is no positive number.
    """
    try:
        value = float(text.strip().removesuffix("ms"))
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise SearchError(f"latency {text!r}: give milliseconds, such as 8ms")
    return value


def make_problem(
    source: PoseSource,
    space: SearchSpace,
    budget: Budget,
    config: TrainConfig,
    seed_network: SeedNetwork | None = None,
    cache: Path | None = None,
) -> Problem:
    """The search for an object's pose network.

    All input sizes share samples of the largest one, and renders of one size. Measured times are
    kept in the folder `cache`, the user's cache folder by default.
    """
    largest = space.largest_input
    side = config.layer_px or layer_resolution(largest, CROP_MARGIN)
    config = replace(config, layer_px=side)

    def samples(split: Split, seed: int, layers: int) -> PoseTask:
        difficulty = curriculum(config) if split == "train" else as_ramp(config.difficulty)
        crops = source.samples(
            split,
            seed=seed,
            resolution=largest,
            margin=CROP_MARGIN,
            layers=layers,
            layer_px=side,
            difficulty=difficulty,
            length=ENDLESS,
            renderer=config.renderer,
        )
        return PoseTask(source.model, crops, crops, network, config, CROP_MARGIN)

    network = _any_network(space, len(source.model.keypoints))
    task = PoseSearchTask(
        source.model,
        samples("train", config.seed, config.layers),
        samples("held_out", SELECTION_SEED, max(_LEAST_HELD_OUT, config.layers // 4)),
        largest,
        lambda architecture, wanted: make_pose_task(source, architecture, wanted),
    )
    return Problem(space, task, budget, config, partial(make_clock, cache), seed_network)


def make_clock(cache: Path | None) -> Clock:
    """What times networks on this machine; `cache` is the folder of its measurements."""
    # Imported late: most searches need no runtime.
    from offline_search.latency import LatencyMeter

    return LatencyMeter(cache)


def _any_network(space: SearchSpace, outputs: int) -> Architecture:
    """Of the largest input: what encodes samples asks a network for its input and its mask."""
    opened = tuple(slot.candidates[:1] for slot in space.slots)
    network = space.architecture(Point((0,) * len(space.genes), opened), outputs)
    head = next((head for head in space.heads if head.mask), space.heads[0])
    return replace(
        network,
        input_size=(space.largest_input, space.largest_input),
        head=replace(head, outputs=outputs),
    )


def check(
    space: SearchSpace,
    outputs: int,
    budget: Budget,
    strategy: str,
    settings: Mapping[str, Any],
    seed: int,
) -> None:
    """Tells mistakes before minutes are spent.

    Args:
        space: Where to look.
        outputs: Keypoints of the object.
        budget: What a network may cost.
        strategy: Its name.
        settings: Its own settings.
        seed: The search's.

    Raises:
        SearchError: The strategy or one of its settings is unknown, it does not search such a
            space, the object has too few keypoints for it, or no network is within the budget.
    """
    make_strategy(strategy, settings)
    check_space(strategy, space)
    beyond = [count for count in space.keypoints if not MIN_KEYPOINTS <= count <= outputs]
    if beyond:
        raise SearchError(
            f"space {space.name} has networks that find {', '.join(map(str, beyond))} keypoints, "
            f"and of an object of {outputs} it can be {MIN_KEYPOINTS} to {outputs}: change the "
            "space's `keypoints`, or make the object with more"
        )
    if isinstance(space, FabricSpace):
        roomy(space, outputs, budget, 1.0)
        return
    if isinstance(space, TemporalSpace):
        return  # whether a cell fits is known when the problem is made
    repair(space, random_preference(space, seed, mean_open=1.0), budget, outputs)


def find(problem: Problem, strategy: str, settings: Mapping[str, Any], out: Path) -> Outcome:
    """Runs a strategy in the folder `out`, or reads what it found there before.

    Raises:
        SearchError, TrainingError: With a message that says what to do.
    """
    place = out / OUTCOME_FILE
    if place.exists():
        return _read_outcome(place)
    outcome = make_strategy(strategy, settings).search(problem, out)
    if not main_process():
        return outcome
    document = {
        "architecture": outcome.architecture.to_json(),
        "why": outcome.why,
        "estimate": outcome.estimate,
        "rivals": [[network.to_json(), estimate] for network, estimate in outcome.rivals],
        "images": outcome.images,
        "minutes": outcome.minutes,
        "details": dict(outcome.details),
    }
    write_atomic(place, (json.dumps(document) + "\n").encode())
    return outcome


def _read_outcome(place: Path) -> Outcome:
    try:
        document = json.loads(place.read_text())
        return Outcome(
            architecture=Architecture.from_json(document["architecture"]),
            why=document["why"],
            estimate=document["estimate"],
            rivals=tuple(
                (Architecture.from_json(network), estimate)
                for network, estimate in document["rivals"]
            ),
            images=document["images"],
            minutes=document["minutes"],
            details=document["details"],
        )
    except (OSError, ValueError, KeyError, TypeError, ArchitectureError) as error:
        raise SearchError(f"{place} is damaged ({error}); delete it to search again") from error


def rank(
    problem: Problem, outcome: Outcome, images: int, count: int, out: Path
) -> dict[str, Any] | None:
    """Trains the found network and rivals briefly from scratch: is that the estimates' order?

    Args:
        problem: The search's.
        outcome: With estimates.
        images: Samples of each training.
        count: Networks in all.
        out: Folder of the trainings.

    Returns:
        Kendall's tau of the search's estimates and the scores after training, see
        `short_training.score`, and the candidates; None without estimates.
    """
    if outcome.estimate is None or count < 2 or images < 1:
        return None
    networks = [(outcome.architecture, outcome.estimate), *spread(outcome.rivals, count - 1)]
    config = replace(problem.config, images=images, validations=0)
    candidates, minutes = [], 0.0
    for index, (network, estimate) in enumerate(networks):
        task = problem.task.task(network, config)
        task.title = f"ranking {index + 1} of {len(networks)}"
        result = train(task, network, config, out / str(index), problem.seed_network)
        minutes += result.minutes
        price = cost(network)
        candidates.append(
            {
                "macs": price.macs,
                "params": price.params,
                "estimate": estimate,
                "trained": score(problem, result.network, network),
                "add_auc": result.metrics["add_auc"],
                "architecture": network.to_json(),
            }
        )
    tau = float(
        kendalltau(
            [candidate["estimate"] for candidate in candidates],
            [candidate["trained"] for candidate in candidates],
        ).statistic
    )
    return {
        "kendall_tau": tau if tau == tau else None,
        "images": images,
        "candidates": candidates,
        "minutes": minutes,
    }


def found(problem: Problem, outcome: Outcome) -> dict[str, Any]:
    """What search.json says of the network."""
    network, budget = outcome.architecture, problem.budget
    price, value = cost(network), budget.meter.total(network)
    layers = network.layers
    return {
        "budget": {"amount": budget.amount, "unit": budget.meter.unit, "low": budget.low},
        "space": problem.space.name,
        "log10_size": problem.space.log10_size,
        "architecture": network.to_json(),
        "macs": price.macs,
        "params": price.params,
        "cost": value,
        "within_budget": budget.holds(value),
        "why": outcome.why,
        "estimate": outcome.estimate,
        "layers": len(layers),
        "layers_with_several": sum(len(names) > 1 for names in layers),
        **outcome.details,
    }
