# SPDX-License-Identifier: Apache-2.0
"""Searched networks against hand-made ones: equal budgets, data, recipe and judgement.

    make bench-search
    python benchmarks/search.py --methods lcnet,resnet18 --seeds 0 --jobs 2

Each object, budget, method and seed is one run in a folder of its own below --work: an
architecture is made or searched, trained from scratch on renders, and judged on fresh renders that
neither training nor the choice of decoding has seen. Every finished run is a row of --results.
Interrupted, the command goes on where it was; runs that are finished, or that another instance of
the command is at, are skipped. The first object is judged at all budgets, the others at the first.
"""

from __future__ import annotations

import argparse
import datetime
import fcntl
import json
import math
import multiprocessing
import multiprocessing.connection
import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final

from benchmarks.common import ROOT, lmo_folder, lmo_object, machine
from fpg_pose_ros.errors import DatasetError, FpgPoseError
from offline_search.data.bop import BopDataset
from offline_search.data.datasets import PoseDataset
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.sources import RenderedPoses
from offline_search.processes import (
    ONE_THREAD,
    die_with_parent,
    environment,
    terminate_as_interrupt,
)
from offline_search.rendering import render_layers
from offline_search.retrain import CROP_MARGIN, VALIDATION_SEED, make_task
from offline_search.search_stages import find, make_problem
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget
from offline_search.training.checkpoint import write_atomic
from offline_search.training.config import TrainConfig
from offline_search.training.loop import train
from offline_search.training.pose_validation import judge, predict

HAND_MADE: Final = (
    "mobilenetv3_small",
    "mobilenetv4_conv_small",
    "lcnet",
    "efficientnet_lite0",
    "resnet18",
)
# Method: strategy and its settings. `fpg_single` may keep one operator a layer.
SEARCHED: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "fpg": ("fpg", {}),
    "random": ("random", {"trials": 4}),
    "fpg_single": ("fpg", {"gate": "single"}),
}
_SEARCH_SHARE: Final = 0.9
"""Compute of a search in that of training a network of the budget."""
IMAGES: Final = 8000
TEST_SEED: Final = 970_001
"""Of the renders that rows are about. Training seeds are smaller; VALIDATION_SEED is another."""
TEST_SAMPLES: Final = 512
LAYERS: Final = 2000
VALIDATION: Final = 256
_LAYER_PX: Final = 144
_DIFFICULTY: Final = 0.25
_LMO: Final = {"can": 5, "driller": 8}
_TAKEN: Final = 3
"""Exit status of a run that another instance of the command is at."""


class BenchmarkError(FpgPoseError):
    """The benchmark cannot do what was asked; the message says what it can."""


@dataclass(frozen=True)
class Run:
    """One training and its judgement.

    Attributes:
        thing: the object's name.
        budget: million MACs.
        method: see `HAND_MADE` and `SEARCHED`.
        seed: of search, weights and data.
        images: samples the network is trained on.
    """

    thing: str
    budget: int
    method: str
    seed: int
    images: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.thing}-{self.budget}-{self.method}-{self.seed}"

    @property
    def command(self) -> str:
        """What makes this row alone."""
        words = ["--objects", self.thing, "--budgets", self.budget, "--methods", self.method]
        words += ["--seeds", self.seed]
        words += [] if self.images == IMAGES else ["--images", self.images]
        return shlex.join(["python", "benchmarks/search.py", *map(str, words)])


def plan(
    objects: Sequence[str],
    budgets: Sequence[int],
    methods: Sequence[str],
    seeds: Sequence[int],
    images: int,
) -> list[Run]:
    """All runs, what tells most first: the first object at all budgets, the others at the first."""
    places = [(objects[0], budget) for budget in budgets]
    places += [(thing, budgets[0]) for thing in objects[1:]]
    return [
        Run(thing, budget, method, seed, images)
        for thing, budget in places
        for seed in seeds
        for method in methods
    ]


def recipe(images: int, seed: int) -> TrainConfig:
    """The training of every network."""
    return TrainConfig(
        images=images,
        batch=8,
        lr=3e-3,
        seed=seed,
        workers=1,
        layers=LAYERS,
        layer_px=_LAYER_PX,
        curriculum=0.3,
        difficulty=_DIFFICULTY,
        validation=VALIDATION,
        validations=0,
        checkpoint_images=2000,
    )


def searched(
    method: str, thing: RenderableObject, budget: int, config: TrainConfig, out: Path
) -> tuple[Architecture, float]:
    """An architecture within a budget of MACs, and the minutes its search took.

    All methods have the compute of training `_SEARCH_SHARE` of the images on the budget.
    """
    strategy, settings = SEARCHED[method]
    wanted = replace(config, images=round(_SEARCH_SHARE * config.images))
    source, meter = RenderedPoses(thing), MacsMeter()
    problem = make_problem(source, load_space("small"), Budget(budget, meter), wanted)
    outcome = find(problem, strategy, settings, out)
    return outcome.architecture, outcome.minutes


def run_one(run: Run, work: Path, *, jobs: int = 1) -> dict[str, Any]:
    """Makes or searches the network, trains it, judges it on the test renders; goes on in `work`.

    Args:
        run: what is wanted.
        work: folder of all runs.
        jobs: processes that render.

    Returns:
        The run's row.
    """
    thing, config, folder = (
        load_thing(run.thing, work),
        recipe(run.images, run.seed),
        work / run.name,
    )
    outputs, budget_macs = len(thing.model.keypoints), run.budget * 1_000_000
    search_minutes = None
    if run.method in SEARCHED:
        architecture, search_minutes = searched(
            run.method, thing, budget_macs, config, folder / "search"
        )
    else:
        # Imported late: what it needs is installed for this benchmark only.
        from benchmarks.hand_made import hand_made

        architecture = hand_made(run.method, budget_macs, outputs)
    render(thing, config, work, jobs)
    task, _ = make_task([thing], "pose", architecture, config)
    result = train(task, architecture, config, folder)
    unseen = samples(thing, TEST_SEED, TEST_SAMPLES, architecture.input_size[0])
    predictions = predict(result.network, thing.model, unseen, range(TEST_SAMPLES))
    metrics = judge(predictions, thing.model, architecture, result.extra)
    price = cost(architecture)
    return {
        "object": run.thing,
        "budget_macs": budget_macs,
        "method": run.method,
        "seed": run.seed,
        "input_size": architecture.input_size[0],
        "macs": price.macs,
        "params": price.params,
        "add01": _figure(metrics["add01"], 4),
        "add_auc": _figure(metrics["add_auc"], 4),
        "rotation_deg_median": _figure(metrics["rotation_deg"], 3),
        **_layers(architecture),
        "search_minutes": None if search_minutes is None else _figure(search_minutes, 2),
        "train_minutes": _figure(result.minutes, 2),
        "images_seen": result.images,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
        "command": run.command,
    }


def _layers(architecture: Any) -> dict[str, int]:
    """How many layers there are, and how many of them hold several operators."""
    if not isinstance(architecture, Architecture):
        return {}
    layers = architecture.layers
    several = sum(len(names) > 1 for names in layers)
    return {"layers": len(layers), "layers_with_several": several}


def load_thing(name: str, work: Path) -> RenderableObject:
    """An object of the benchmark.

    Raises:
        DatasetError: it is one of LM-O's, and FPG_POSE_DATA does not lead there.
    """
    if name not in _LMO:
        return load_object(ROOT / "objects" / f"{name}.yaml")
    folder = lmo_folder()
    if folder is None:
        raise DatasetError(
            f"{name} is an object of LM-O: set FPG_POSE_DATA to the folder that holds the dataset "
            "(https://bop.felk.cvut.cz/datasets) as lmo/"
        )
    with _lock(work / "objects.lock"):
        return lmo_object(BopDataset(folder), _LMO[name], name, work / "objects")


def samples(thing: RenderableObject, seed: int, count: int, side: int) -> PoseDataset:
    """Crops of `side` px from `count` renders, as hard as the training's last."""
    return PoseDataset(
        thing,
        seed=seed,
        resolution=side,
        layers=count,
        difficulty=_DIFFICULTY,
        margin=CROP_MARGIN,
        layer_px=_LAYER_PX,
    )


def render(thing: RenderableObject, config: TrainConfig, work: Path, jobs: int) -> None:
    """Renders all that a network is shown ahead, so that no training's minutes count that."""
    wanted = {
        config.seed: config.layers,
        VALIDATION_SEED: 2 * config.validation,
        TEST_SEED: TEST_SAMPLES,
    }
    sets = [samples(thing, seed, count, _LAYER_PX) for seed, count in wanted.items()]
    with _lock(work / "render.lock"):  # runs side by side want the same ones
        render_layers([*(one.layers for one in sets), sets[0].clutter], jobs=jobs)


def run_all(runs: Sequence[Run], work: Path, results: Path, jobs: int) -> list[Run]:
    """Runs, up to `jobs` at a time, what has no row yet; rows are collected as they come.

    Returns:
        The runs that failed; what they wrote is in the log of their folder.
    """
    context = multiprocessing.get_context("spawn")
    waiting = [run for run in runs if not _row_file(work, run).exists()]
    print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished", flush=True)
    running: dict[SpawnProcess, Run] = {}
    failed: list[Run] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                process = context.Process(target=_process, args=(run, work, jobs))
                with environment(**ONE_THREAD):
                    process.start()
                running[process] = run
                _say(f"{run.name}: started")
            process = _first_ended(running)
            run = running.pop(process)
            if process.exitcode == 0:
                collect(work, results)
                row = json.loads(_row_file(work, run).read_text())
                _say(f"{run.name}: add_auc {row['add_auc']}, {row['train_minutes']} min")
            elif process.exitcode == _TAKEN:
                _say(f"{run.name}: another instance is at it")
            else:
                failed.append(run)
                _say(f"{run.name}: failed, see {work / run.name / 'log'}")
    finally:
        for process in running:
            process.terminate()  # a training finishes its step, saves and ends
        for process in running:
            process.join()
    return failed


def collect(work: Path, results: Path) -> None:
    """Writes all rows in `work` to the results, in the place of those of the same runs."""
    with _lock(work / "results.lock"):
        held = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
        made = [json.loads(file.read_text()) for file in sorted(work.glob("*/row.json"))]
        rows = {_key(row): row for row in [*held, *made]}
        results.parent.mkdir(parents=True, exist_ok=True)
        ordered = [rows[key] for key in sorted(rows)]
        write_atomic(results, (json.dumps(ordered, indent=1) + "\n").encode())


def _process(run: Run, work: Path, jobs: int) -> None:
    """One run in a process of its own; its words go to its folder's log."""
    die_with_parent()
    folder = work / run.name
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    try:
        with _lock(folder / "lock", wait=False):
            place = _row_file(work, run)
            if not place.exists():
                row = run_one(run, work, jobs=jobs)
                write_atomic(place, (json.dumps(row, indent=1) + "\n").encode())
    except BlockingIOError:
        raise SystemExit(_TAKEN) from None
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def _first_ended(running: dict[SpawnProcess, Run]) -> SpawnProcess:
    sentinels = {process.sentinel: process for process in running}
    ended = sentinels[multiprocessing.connection.wait(list(sentinels))[0]]
    ended.join()
    return ended


@contextmanager
def _lock(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps other processes out; without `wait`, BlockingIOError where one is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _row_file(work: Path, run: Run) -> Path:
    return work / run.name / "row.json"


def _key(row: dict[str, Any]) -> tuple[str, int, str, int]:
    return row["object"], row["budget_macs"], row["method"], row["seed"]


def _figure(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    runs = plan(options.objects, options.budgets, options.methods, options.seeds, options.images)
    try:
        with terminate_as_interrupt():
            failed = run_all(runs, options.work, options.results, options.jobs)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"rows are in {options.results}; now run python benchmarks/report.py")
    return 1 if failed else 0


def _list(known: Sequence[str] = ()) -> Any:
    """An option's type: words between commas, all of them known."""

    def read(text: str) -> list[str]:
        words = text.split(",")
        if unknown := [word for word in words if word not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return words

    return read


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    methods = (*HAND_MADE, *SEARCHED)
    objects = ("spot", *_LMO)
    add = parser.add_argument
    add("--objects", type=_list(objects), default=list(objects), help="comma-separated")
    add("--budgets", type=_numbers, default=[30, 10, 60], help="million MACs, comma-separated")
    add("--methods", type=_list(methods), default=list(methods), help=", ".join(methods))
    add("--seeds", type=_numbers, default=[0, 1, 2], help="comma-separated")
    add("--images", type=int, default=IMAGES, help="training samples of each network")
    add("--jobs", type=int, default=2, help="trainings side by side, of one thread each")
    add("--work", type=Path, default=ROOT / "runs" / "bench-search", help="folder of all runs")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "search.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
