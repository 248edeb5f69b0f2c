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
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.common import ROOT, lmo_folder, lmo_object, machine
from benchmarks.runs import carry_out, locked, numbers, words
from benchmarks.searched import SEARCHED, searched
from fpg_pose_ros.errors import DatasetError, FpgPoseError
from offline_search.data.bop import BopDataset
from offline_search.data.datasets import PoseDataset
from offline_search.data.objects import RenderableObject, load_object
from offline_search.rendering import render_layers
from offline_search.retrain import CROP_MARGIN, VALIDATION_SEED, make_task
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.fabric_architecture import FabricArchitecture
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
RIVALS: Final = ("fpg", "random", "fpg_single")
"""Of the hand-made ones; benchmarks/methods.py compares all that search."""
IMAGES: Final = 8000
TEST_SEED: Final = 970_001
"""Of the renders that rows are about. Training seeds are smaller; VALIDATION_SEED is another."""
TEST_SAMPLES: Final = 512
LAYERS: Final = 2000
VALIDATION: Final = 256
_LAYER_PX: Final = 144
_DIFFICULTY: Final = 0.25
_LMO: Final = {"can": 5, "driller": 8}
OBJECTS: Final = ("spot", *_LMO)
KEY: Final = ("object", "budget_macs", "method", "seed")
"""Of a row: two rows that agree in it are of one run."""


class BenchmarkError(FpgPoseError):
    """The benchmark cannot do what was asked; the message says what it can."""


@dataclass(frozen=True)
class Run:
    """One training and its judgement.

    Attributes:
        thing: the object's name.
        budget: million MACs.
        method: see `HAND_MADE` and `searched.SEARCHED`.
        seed: of search, weights and data.
        images: samples the network is trained on.
    """

    thing: str
    budget: int
    method: str
    seed: int
    images: int
    program: ClassVar[str] = "benchmarks/search.py"

    @property
    def place(self) -> tuple[str, ...]:
        """Options that say where the method is judged."""
        return ("--objects", self.thing, "--budgets", str(self.budget))

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.thing}-{self.budget}-{self.method}-{self.seed}"

    @property
    def command(self) -> str:
        """What makes this row alone."""
        asked = [*self.place, "--methods", self.method, "--seeds", str(self.seed)]
        asked += [] if self.images == IMAGES else ["--images", str(self.images)]
        return shlex.join(["python", self.program, *asked])

    def row(self, work: Path, jobs: int) -> dict[str, Any]:
        """See `run_one`."""
        return run_one(self, work, jobs=jobs)


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
    search: dict[str, float | None] = {"search_minutes": None}
    if run.method in SEARCHED:
        outcome = searched(run.method, thing, budget_macs, config, work, folder / "search", jobs)
        architecture = outcome.architecture
        search = {
            "search_minutes": _figure(outcome.minutes, 2),
            "search_compute": _figure(outcome.details["compute"], 4),
        }
    else:
        # Imported late: what it needs is installed for this benchmark only.
        from benchmarks.hand_made import hand_made

        architecture = hand_made(run.method, budget_macs, outputs)
    render(thing, config, work, jobs)
    return {
        "object": run.thing,
        "budget_macs": budget_macs,
        "method": run.method,
        "seed": run.seed,
        **trained(thing, architecture, config, folder),
        **_layers(architecture),
        **search,
        "command": run.command,
    }


def trained(
    thing: RenderableObject, architecture: Any, config: TrainConfig, folder: Path
) -> dict[str, Any]:
    """Trains a network in a folder, judges it on the test renders; what its row says of that."""
    task, _ = make_task([thing], "pose", architecture, config)
    result = train(task, architecture, config, folder)
    unseen = samples(thing, TEST_SEED, TEST_SAMPLES, architecture.input_size[0])
    predictions = predict(result.network, thing.model, unseen, range(TEST_SAMPLES))
    metrics = judge(predictions, thing.model, architecture, result.extra)
    price = cost(architecture)
    return {
        "input_size": architecture.input_size[0],
        "macs": price.macs,
        "params": price.params,
        "add01": _figure(metrics["add01"], 4),
        "add_auc": _figure(metrics["add_auc"], 4),
        "rotation_deg_median": _figure(metrics["rotation_deg"], 3),
        "train_minutes": _figure(result.minutes, 2),
        "images_seen": result.images,
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }


def _layers(architecture: Any) -> dict[str, int]:
    """How many layers there are, and how many of them hold several operators."""
    if not isinstance(architecture, Architecture) or isinstance(architecture, FabricArchitecture):
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
    with locked(work / "objects.lock"):
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
    with locked(work / "render.lock"):  # runs side by side want the same ones
        render_layers([*(one.layers for one in sets), sets[0].clutter], jobs=jobs)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    runs = plan(options.objects, options.budgets, options.methods, options.seeds, options.images)
    return carry_out(runs, options.work, options.results, options.jobs, KEY)


def _figure(value: float, digits: int) -> float | None:
    return round(value, digits) if math.isfinite(value) else None


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    methods = (*HAND_MADE, *RIVALS)
    add = parser.add_argument
    add("--objects", type=words(OBJECTS), default=list(OBJECTS), help="comma-separated")
    add("--budgets", type=numbers, default=[30, 10, 60], help="million MACs, comma-separated")
    add("--methods", type=words(methods), default=list(methods), help=", ".join(methods))
    add("--seeds", type=numbers, default=[0, 1, 2], help="comma-separated")
    add("--images", type=int, default=IMAGES, help="training samples of each network")
    add("--jobs", type=int, default=2, help="trainings side by side, of one thread each")
    add("--work", type=Path, default=ROOT / "runs" / "bench-search", help="folder of all runs")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "search.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
