# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose search`: finds a network within a budget, trains it from scratch, reports.

    python offline_search/search.py --object spot --budget 30M --out runs/search

The search proper leaves its architecture in OUT/search; a few rivals are then trained briefly from
scratch, to see whether its estimates rank networks as training does; the found network is trained
from scratch; OUT/search.json and OUT/report.html hold everything. Every part goes on where it was
stopped when the command is run again.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # As a file this is run from anywhere: the package lies in the folder above, not in this one.
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import importlib
import json
import resource
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from offline_search.data.datasets import PoseDataset
from offline_search.data.film_poses import FilmFrames, FilmPoses
from offline_search.data.open_source import FILMS, pose_source
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName
from offline_search.rendering import Store, render_layers
from offline_search.report.examples import write_examples
from offline_search.report.machine import machine, own_command
from offline_search.report.search_page import write_search_report
from offline_search.search_stages import check, find, found, make_problem, rank
from offline_search.space.fabric_space import FabricSpace
from offline_search.space.meter import MacsMeter, Meter
from offline_search.space.search_space import SearchSpace, load_space, space_names
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Budget, Outcome, Problem, SearchError
from offline_search.strategies.registry import strategies
from offline_search.temporal_stages import make_temporal_problem
from offline_search.training.checkpoint import write_json
from offline_search.training.claim import claim
from offline_search.training.config import TrainConfig
from offline_search.training.distributed import barrier, joined, main_process
from offline_search.training.loop import TrainResult, train
from offline_search.training.pose_task import PoseTask
from offline_search.training.search_task import PoseSearchTask
from offline_search.training.seed_network import load_seed_network

REQUEST_FILE: Final = "request.json"
RESULT_FILE: Final = "search.json"
ARCHITECTURE_FILE: Final = "architecture.json"
_SETTINGS: Final = {
    "batch": 8,
    "layers": 3000,
    "validation": 256,
    "validations": 2,
    "checkpoint_images": 800,
}
"""Of trainings of minutes: small batches learn most from few images."""


@dataclass(frozen=True)
class SearchRequest:
    """What is to be found.

    Attributes:
        objects: One: name or file of an object, or its number in a BOP dataset.
        budget: The most a network may cost.
        unit: MACs, or ms on this machine in the robot's runtime.
        data: `bop:PATH`, `speed:PATH`, or None for renders.
        space: Name or YAML file.
        strategy: Name.
        strategy_settings: Its own settings.
        seed: Of everything that is random.
        images: Compute of the search: that of training a network of the budget on so many.
        retrain_images: Samples of the found network's training; 0: none.
        ranking: Networks trained briefly to check the search's estimates; 0: none.
        ranking_images: Samples of each of these trainings.
        renderer: Of the renders that are trained on, see `TrainConfig`.
        settings: Further fields of `TrainConfig`, for all trainings.
        seed_network: Folder or weights of a training from which the search's weights and those of
            what it finds start; None: fresh ones.
    """

    objects: tuple[str, ...]
    budget: float
    unit: Literal["MACs", "ms"] = "MACs"
    data: str | None = None
    space: str = "small"
    strategy: str = "fpg"
    strategy_settings: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    images: int = 10_000
    retrain_images: int = 16_000
    ranking: int = 4
    ranking_images: int = 1_500
    renderer: RendererName = DEFAULT_RENDERER
    settings: Mapping[str, Any] = field(default_factory=dict)
    seed_network: str | None = None

    def config(self, images: int) -> TrainConfig:
        """Settings of a training on that many samples."""
        base = {**_SETTINGS, "images": images, "seed": self.seed, "renderer": self.renderer}
        return TrainConfig.from_json({**base, **self.settings, "images": images})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


def search(
    request: SearchRequest,
    out: Path,
    *,
    jobs: int = 1,
    cache: Path | None = None,
    command: str | None = None,
) -> dict[str, Any]:
    """Searches, or goes on searching, in the folder `out`.

    Args:
        request: What is wanted.
        out: Its folder.
        jobs: Processes that render.
        cache: Folder of rendered layers; the user's cache folder by default.
        command: The command line to note; this process's by default.

    Returns:
        search.json's content.

    Raises:
        FpgPoseError: With a message that says what to do; running again goes on from there.
    """
    problem = problem_of(request, cache)
    check(
        problem.space,
        problem.task.outputs,
        problem.budget,
        request.strategy,
        request.strategy_settings,
        problem.config.seed,
    )
    with joined(problem.config.device) as world:
        if world.main:
            # A folder from before the option existed goes on.
            defaults = {"renderer": DEFAULT_RENDERER}
            claim(out / REQUEST_FILE, request.to_json(), "search", SearchError, defaults)
            # Side by side, and so that its minutes do not count that.
            render_layers(layer_stores(problem), jobs=jobs)
        barrier(world)
        result = _search(problem, request, out)
        if world.main:
            result = {**result, "command": command or own_command(), "machine": machine()}
            write_json(out / RESULT_FILE, result)
            write_search_report(out)
        barrier(world)
    return result


def _search(problem: Problem, request: SearchRequest, out: Path) -> dict[str, Any]:
    """All parts in turn; what search.json says of them."""
    outcome = find(problem, request.strategy, request.strategy_settings, out / "search")
    facts = found(problem, outcome)
    if main_process():
        priced = {name: facts[name] for name in ("architecture", "macs", "params")}
        write_json(out / ARCHITECTURE_FILE, priced)
    ranking = rank(problem, outcome, request.ranking_images, request.ranking, out / "ranking")
    retrained = _retrain(problem, outcome, request, out)
    entry = next(entry for entry in strategies() if entry.name == request.strategy)
    return {
        "strategy": entry.name,
        "paper": entry.paper,
        "object": problem.task.title,
        "seed": request.seed,
        "seed_network": request.seed_network,
        **facts,
        "ranking": ranking,
        "metrics": retrained.metrics if retrained else None,
        "minutes": {
            "search": outcome.minutes,
            "ranking": ranking["minutes"] if ranking else 0.0,
            "retrain": retrained.minutes if retrained else 0.0,
        },
        "images": {"search": outcome.images, "retrain": retrained.images if retrained else 0},
        "peak_rss_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


def problem_of(request: SearchRequest, cache: Path | None = None) -> Problem:
    """What is asked for, looked up.

    Raises:
        FpgPoseError: Some part of it does not exist.
    """
    space = load_space(request.space)
    meter = _meter(request.unit, space, cache)
    data = FILMS if isinstance(space, TemporalSpace) and not request.data else request.data
    source = pose_source(request.objects, data, cache)
    config = request.config(request.images)
    seed_network = load_seed_network(request.seed_network) if request.seed_network else None
    if isinstance(space, TemporalSpace):
        if seed_network is None or not isinstance(source, FilmPoses):
            raise SearchError(
                f"space {space.name}: a cell is searched for a trained network (--seed-network "
                "FOLDER) and learns from films alone: leave --data out"
            )
        budget = Budget(request.budget, meter)
        return make_temporal_problem(source, space, budget, config, seed_network, cache)
    return make_problem(source, space, Budget(request.budget, meter), config, seed_network, cache)


def layer_stores(problem: Problem) -> list[Store]:
    """All renders that the search shows."""
    task = problem.task
    assert isinstance(task, PoseSearchTask)
    parts = (task.samples.samples, task.unseen.samples)
    films: list[Store] = [part.store for part in parts if isinstance(part, FilmFrames)]
    crops = [samples for samples in parts if isinstance(samples, PoseDataset)]
    return films + [store for samples in crops for store in (samples.layers, samples.clutter)]


def known() -> dict[str, list[dict[str, Any]]]:
    """All strategies and spaces with their papers, and spaces with their sizes."""
    spaces = [load_space(name) for name in space_names()]
    return {
        "strategies": [
            {"name": entry.name, "paper": entry.paper, "summary": entry.summary}
            for entry in strategies()
        ],
        "spaces": [
            {
                "name": space.name,
                "paper": space.paper,
                "log10_size": round(space.log10_size, 3),
                "summary": f"10^{space.log10_size:.1f} architectures, {_layers(space)}",
            }
            for space in spaces
        ],
    }


def _layers(space: SearchSpace) -> str:
    if isinstance(space, FabricSpace):
        return f"fabrics of {len(space.places)} cells"
    if isinstance(space, TemporalSpace):
        return f"cells over the features of {len(space.lags)} earlier images"
    return f"{len(space.slots)} layers"


def _retrain(
    problem: Problem, outcome: Outcome, request: SearchRequest, out: Path
) -> TrainResult | None:
    """The found network from scratch or its seed, and examples of its poses."""
    if request.retrain_images < 1:
        return None
    network = outcome.architecture
    config = replace(problem.config, images=request.retrain_images)
    task = problem.task.task(network, config)
    result = train(task, network, config, out / "retrain", problem.seed_network)
    if isinstance(task, PoseTask) and main_process():
        write_examples(result.network, task, out, result.extra)
    return result


def _meter(unit: str, space: SearchSpace, cache: Path | None) -> Meter:
    if unit == "MACs":
        return MacsMeter()
    if isinstance(space, FabricSpace | TemporalSpace):
        what = "fabrics" if isinstance(space, FabricSpace) else "temporal cells"
        raise SearchError(f"{what} are searched for a budget of MACs: give --budget, such as 30M")
    # Imported late: a budget of MACs needs no runtime.
    from offline_search.latency import LatencyMeter

    meter = LatencyMeter(cache)
    meter.prepare(space)  # before anything else runs: times taken beside it are noisy
    return meter


if __name__ == "__main__":
    # The command line is declared in one place, which imports this module.
    importlib.import_module("offline_search.cli").app(["search", *sys.argv[1:]])
