# SPDX-License-Identifier: Apache-2.0
"""A network with a temporal cell against a single-frame one: equal MACs, compute, films, judgement.

    make bench-temporal
    python benchmarks/temporal.py --seeds 0 --jobs 2

`single` is a hand-made network of one family, the widest within the budget, trained on renders and
then on films. `cell` is one a little less wide, trained on the same renders and on some of the same
films; then a cell is searched within what it leaves of the budget, and trained with the rest.
Compute is equal as any search counts it, in images: the search has that of training a network of
the budget on so many, and looks at more windows for it, since a window costs its cell and its head
alone. What the networks saw is not equal: the backbone of `cell` was trained on 5/12 of the film
images that the one of `single` was. Both are exported to bundles and follow Spot through films that
neither has seen, by the estimator and the tracker that run on the robot. Of every image three poses
are judged: `measured`, the network's own; `filtered`, the track's (a constant-velocity filter); and
`alone`, the network's own without tracking and without memory. Each method and seed is one run in a
folder of its own below --work and makes a row of --results. Interrupted, the command goes on where
it was.
"""

from __future__ import annotations

import argparse
import datetime
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import safetensors.torch

from benchmarks.common import ROOT, machine
from benchmarks.runs import carry_out, locked, numbers, words
from fpg_pose_ros.bundle import WEIGHTS, Bundle, read_bundle
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Array
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings
from offline_search.data.film_poses import FilmPoses
from offline_search.data.live import LiveScene, default_camera
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.slots import Slots
from offline_search.data.sources import RenderedPoses
from offline_search.export import TrainedObject, export
from offline_search.metrics.pose_error import add, adi, re
from offline_search.metrics.recall import ADD_THRESHOLD, area_under_recall, recall
from offline_search.rendering import render_layers
from offline_search.retrain import make_pose_task, make_temporal_task
from offline_search.search import layer_stores
from offline_search.search_stages import find
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cell_cost, cost
from offline_search.space.meter import MacsMeter
from offline_search.space.network import build
from offline_search.space.presets import preset
from offline_search.space.search_space import load_space
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Budget
from offline_search.temporal_stages import make_temporal_problem
from offline_search.training.checkpoint import without_prefix
from offline_search.training.config import TrainConfig
from offline_search.training.loop import RESULT_FILE, TrainResult, save_result, train
from offline_search.training.seed_network import load_seed_network

METHODS: Final = ("single", "cell")
BUDGET: Final = 30_000_000
LEFT: Final = 1_500_000
"""What the network of `cell` leaves of the budget for its cell."""
TEST_SEED: Final = 980_001
"""Of the films that rows are about. Training seeds are smaller; those of choices are others."""
FILMS: Final = 12
FRAMES: Final = 40
_SETTLING: Final = 10  # frames of a film that are not judged: what is remembered must be there
FPS: Final = 30.0
KEY: Final = ("method", "seed")
"""Of a row: two rows that agree in it are of one run."""
_SIDE: Final = 128
_FILM_RATE: Final = 5e-4
_LAYERS: Final = 2000
_LAYER_PX: Final = 144
_DIFFICULTY: Final = 0.25


class BenchmarkError(FpgPoseError):
    """The benchmark cannot do what was asked; the message says what it can."""


@dataclass(frozen=True)
class Run:
    """One method's training and its judgement.

    Attributes:
        method: see `METHODS`.
        seed: of weights and data.
        images: samples of renders that the network is trained on at first.
        film_images: of films: of `cell` 5/12 for the network, the compute of 1/6 for the search and
            5/12 for the cell.
        film_frames: different frames of training films.
    """

    method: str
    seed: int
    images: int
    film_images: int
    film_frames: int

    @property
    def name(self) -> str:
        """Of its folder."""
        return f"{self.method}-{self.seed}"

    def row(self, work: Path, jobs: int) -> dict[str, Any]:
        """Trains, exports and judges; goes on in `work`. `jobs` processes may render."""
        thing = load_object(ROOT / "objects" / "spot.yaml")
        folder = work / self.name
        trained, figures = self._train(thing, work, jobs)
        bundle = export(
            folder / "bundle",
            name=self.name,
            objects=[TrainedObject(thing.model, trained)],
            locator=shipped_locator(folder / "locator"),
            training={"seed": self.seed},
            metrics={"pose": {}},  # judged below, and not by what the training measured
        )
        tracked, alone = judged(bundle, thing, test_films(thing, work))
        return {
            "object": "spot",
            "method": self.method,
            "seed": self.seed,
            "budget_macs": BUDGET,
            **figures,
            "add_auc": tracked["filtered"]["add_auc"],
            **tracked,
            "alone": alone,
            "judged_frames": FILMS * (FRAMES - _SETTLING),
            "machine": machine(),
            "date": datetime.date.today().isoformat(),
            "command": self.command,
        }

    @property
    def command(self) -> str:
        """What makes this row alone."""
        asked = ["--methods", self.method, "--seeds", self.seed, "--images", self.images]
        asked += ["--film-images", self.film_images, "--film-frames", self.film_frames]
        return shlex.join(["python", "benchmarks/temporal.py", *map(str, asked)])

    def _train(self, thing: RenderableObject, work: Path, jobs: int) -> tuple[Path, dict[str, Any]]:
        """Folder of the finished training, and what the row says of it."""
        folder, films = work / self.name, FilmPoses(thing)
        with_cell = self.method == "cell"
        network = widest(BUDGET - (LEFT if with_cell else 0), len(thing.model.keypoints))
        config = self._recipe(self.images)
        first = make_pose_task(RenderedPoses(thing), network, config)
        with locked(work / "render.lock"):  # runs side by side want the same ones
            render_layers([first.samples.layers, first.samples.clutter], jobs=jobs)  # type: ignore[attr-defined]
        result = train(first, network, config, folder / "renders")
        minutes = result.minutes
        share = self.film_images * (5 if with_cell else 12) // 12
        config = self._film_recipe(share)
        task = make_pose_task(films, network, config)
        with locked(work / "render.lock"):
            render_layers([task.samples.store, task.held_out.store], jobs=jobs)  # type: ignore[attr-defined]
        seed = load_seed_network(folder / "renders")
        result = train(task, network, config, folder / "films", seed)
        minutes += result.minutes
        if not with_cell:
            return folder / "films", _figures(network, minutes, self.images + share)
        seed = load_seed_network(folder / "films")
        space = load_space("temporal")
        assert isinstance(space, TemporalSpace)
        wanted = self._film_recipe(self.film_images // 6)
        problem = make_temporal_problem(films, space, Budget(BUDGET, MacsMeter()), wanted, seed)
        with locked(work / "render.lock"):
            render_layers(layer_stores(problem), jobs=jobs)
        outcome = find(problem, "temporal", {}, folder / "search")
        config = self._film_recipe(share)
        cell_task = make_temporal_task(films, outcome.architecture, config, seed)
        result = train(cell_task, outcome.architecture, config, folder / "cell", seed)
        images = self.images + 2 * share + self.film_images // 6
        figures = _figures(outcome.architecture, minutes + result.minutes, images)
        found = outcome.architecture.cell
        edges = [] if found is None else [[edge.lag, *edge.operators] for edge in found.edges]
        return folder / "cell", {
            **figures,
            "edges": edges,
            "search_minutes": _figure(outcome.minutes, 2),
        }

    def _recipe(self, images: int) -> TrainConfig:
        return TrainConfig(
            images=images,
            batch=8,
            seed=self.seed,
            layers=_LAYERS,
            layer_px=_LAYER_PX,
            difficulty=_DIFFICULTY,
            validation=256,
            validations=0,
            checkpoint_images=2000,
        )

    def _film_recipe(self, images: int) -> TrainConfig:
        return replace(self._recipe(images), lr=_FILM_RATE, layers=self.film_frames)


def _figures(network: Architecture, minutes: float, images: int) -> dict[str, Any]:
    price = cost(network)
    return {
        "macs": price.macs,
        "cell_macs": cell_cost(network).macs,
        "params": price.params,
        "images_seen": images,
        "train_minutes": _figure(minutes, 2),
    }


def widest(budget: int, outputs: int) -> Architecture:
    """The widest network of a hand-made family within a budget of MACs.

    Raises:
        BenchmarkError: none is.
    """
    frame = replace(preset("demo", outputs), input_size=(_SIDE, _SIDE))
    found = None
    for width in range(8, 256):
        last = replace(frame.stages[-1], width=width)
        wider = replace(frame, stages=(*frame.stages[:-1], last))
        if cost(wider).macs > budget:
            break
        found = wider
    if found is None:
        raise BenchmarkError(f"no network of the family costs at most {budget} MACs")
    return found


def shipped_locator(out: Path) -> Path:
    """The shipped bundle's locator, as its training left it: what is compared is what follows."""
    if not (out / RESULT_FILE).exists():
        bundle = read_bundle(ROOT / "models" / "spot")
        network = build(Architecture.from_json(bundle.manifest["architecture"]["locator"]))
        weights = safetensors.torch.load(bundle.files[WEIGHTS])
        network.load_state_dict(without_prefix("locator", weights))
        out.mkdir(parents=True, exist_ok=True)
        result = TrainResult(network.eval(), {}, dict(bundle.locator.extra), 0.0, 0)
        save_result(out, result)
    return out


def test_films(thing: RenderableObject, work: Path) -> list[dict[str, Any]]:
    """Whole frames (F, 480, 640, 3) and poses (F, 4, 4) of each film; rendered once, on disk."""
    camera = default_camera()
    described = {"thing": thing.digest, "seed": TEST_SEED, "fps": FPS, "frames": FRAMES}
    columns = {
        "images": (np.uint8, (FRAMES, camera.height, camera.width, 3)),
        "poses": (np.float64, (FRAMES, 4, 4)),
    }
    slots = Slots(work, "test_films", described, FILMS, columns)
    with locked(work / "render.lock"):
        for film in range(FILMS):
            if slots.holds(film):
                continue
            frames = list(LiveScene(thing, seed=TEST_SEED + film, fps=FPS, duration=FRAMES / FPS))
            poses = [frame.ground_truth[thing.model.name] for frame in frames]
            slots.fill(film, {"images": [frame.image for frame in frames], "poses": poses})
    return [slots.read(film) for film in range(FILMS)]


class _Watched(Estimator):
    """An estimator that keeps what it first found in an image, before anything was made of it.

    Where a track is followed that is its own: rivals are looked at after it.
    """

    first: PoseEstimate | None = None

    def follow_up(self, *arguments: Any, **named: Any) -> PoseEstimate:
        """See `Estimator`."""
        found = super().follow_up(*arguments, **named)
        self.first = self.first or found
        return found


def judged(
    bundle: Bundle, thing: RenderableObject, films: Sequence[dict[str, Any]]
) -> tuple[dict[str, dict[str, float | None]], dict[str, float | None]]:
    """Figures of `measured` and `filtered` poses with tracking, and of those without."""
    tracked, alone = (
        list(_followed(bundle, films, TrackingSettings(enabled=enabled)))
        for enabled in (True, False)
    )
    score = partial(scores, thing.model)
    truths = [truth for truth, _, _ in tracked]
    return (
        {
            "measured": score(truths, [measured for _, measured, _ in tracked]),
            "filtered": score(truths, [reported for _, _, reported in tracked]),
        },
        score(truths, [reported for _, _, reported in alone]),
    )


Pose = Array | None


def _followed(
    bundle: Bundle, films: Sequence[dict[str, Any]], settings: TrackingSettings
) -> Iterator[tuple[Array, Pose, Pose]]:
    """True, measured and reported poses of all frames that are judged."""
    estimator, camera = _Watched(bundle), default_camera()
    for film in films:
        tracker = PoseTracker([estimator], settings)
        pairs = zip(film["images"], film["poses"], strict=True)
        for number, (image, truth) in enumerate(pairs):
            estimator.first = None
            result = tracker.estimate(image, camera, round(number / FPS * 1e9), "camera")
            if number < _SETTLING:
                continue
            measured = None if estimator.first is None else estimator.first.T_camera_object
            reported = result.estimates[0].T_camera_object if result.estimates else None
            yield truth, measured, reported


def scores(
    model: ObjectModel, truths: Sequence[Array], poses: Sequence[Pose]
) -> dict[str, float | None]:
    """Figures of some poses; one that is missing is an infinite error.

    Returns:
        add01: share with ADD below a tenth of the diameter; add_auc: area under recall up to that;
        position_percent_p95: of the diameter; rotation_deg_p95; None where more than 5 % miss.
    """
    distance = adi if model.symmetries else add
    symmetries, points = model.symmetries.transforms(), model.mesh.vertices
    errors = np.array(
        [
            (np.inf, np.inf, np.inf)
            if pose is None
            else (
                float(distance(pose, truth, points)),
                float(np.linalg.norm(pose[:3, 3] - truth[:3, 3])),
                float(np.degrees(re(pose, truth, symmetries))),
            )
            for truth, pose in zip(truths, poses, strict=True)
        ]
    )
    limit = ADD_THRESHOLD * model.diameter
    position, rotation = np.percentile(errors[:, 1:], 95, axis=0, method="higher").tolist()
    return {
        "add01": _figure(recall(errors[:, 0], limit), 4),
        "add_auc": _figure(area_under_recall(errors[:, 0], limit), 4),
        "position_percent_p95": _figure(100 * position / model.diameter, 3),
        "rotation_deg_p95": _figure(rotation, 3),
    }


def _figure(value: float, digits: int) -> float | None:
    return round(value, digits) if np.isfinite(value) else None


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    runs = [
        Run(method, seed, options.images, options.film_images, options.film_frames)
        for seed in options.seeds
        for method in options.methods
    ]
    return carry_out(runs, options.work, options.results, options.jobs, KEY)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--methods", type=words(METHODS), default=list(METHODS))
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--images", type=int, default=20_000, help="of renders")
    parser.add_argument("--film-images", type=int, default=6000, help="of films")
    parser.add_argument("--film-frames", type=int, default=2048, help="different ones")
    parser.add_argument("--jobs", type=int, default=1, help="runs, or rendering processes, at once")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "bench-temporal")
    results = ROOT / "benchmarks" / "results" / "temporal.json"
    parser.add_argument("--results", type=Path, default=results)
    return parser


if __name__ == "__main__":
    sys.exit(main())
