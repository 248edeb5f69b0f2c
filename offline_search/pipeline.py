# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose pipeline`: from objects to a model bundle, in stages that can be interrupted anywhere.

    renders -> searches for pose networks -> trainings (pose networks, locator) -> draft
            -> calibration on held-out frames -> judgement on others -> bundle

Where the architecture is given there is nothing to search for. Every stage leaves its result in the
output folder and finds it there when the command is run again. `pipeline.json` says what was asked
for; a folder is never used for two different requests.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.bundle import MANIFEST, Bundle, read_bundle, write_bundle
from offline_search.calibrate import CalibrationError, calibrate
from offline_search.evaluate import evaluate_rendered
from offline_search.export import TrainedObject, export
from offline_search.plan import Plan, Request, make_plan
from offline_search.prepare import Search, SideBySide, all_stores
from offline_search.rendering import render_layers
from offline_search.report.machine import own_command
from offline_search.retrain import VALIDATION_SEED
from offline_search.search import RESULT_FILE
from offline_search.training.checkpoint import write_json
from offline_search.training.journal import read_metrics
from offline_search.training.loop import load_result

__all__ = ["Request", "complete_manifest", "curves", "judge", "pipeline", "without_infinities"]

CLOCK_FILE: Final = "minutes.json"
BUNDLE_FOLDER: Final = "bundle"
DRAFT_FOLDER: Final = "draft"
CALIBRATED_FOLDER: Final = "calibrated"
#: Of the frames a bundle is judged on; training seeds are smaller.
FRAMES_SEED: Final = VALIDATION_SEED + 1
_CURVE_POINTS: Final = 160
_KEPT_OF_SEARCHES: Final = (
    *("strategy", "paper", "space", "log10_size", "seed", "budget", "macs", "within_budget"),
    *("why", "layers", "layers_with_several", "command"),
)


def pipeline(
    request: Request,
    out: Path,
    *,
    jobs: int = 1,
    cache: Path | None = None,
    command: str | None = None,
) -> Path:
    """Makes a bundle, or goes on making it.

    Args:
        request: what is wanted.
        out: folder for searches, trainings and the bundle.
        jobs: processes that render, and searches and trainings that run side by side.
        cache: folder of rendered layers; the user's cache folder by default.
        command: the command line to note in the bundle; this process's by default.

    Returns:
        The bundle's folder.

    Raises:
        FpgPoseError: with a message that says what to do; running again goes on from there.
    """
    plan = make_plan(request, out, command)
    finished = out / BUNDLE_FOLDER
    if (finished / MANIFEST).exists():
        print(f"{finished} is complete already", file=sys.stderr)
        _print_verdict(plan, read_bundle(finished).manifest["metrics"])
        return finished
    with _stage(out, "render"):
        render_layers(all_stores(plan.works, cache), jobs=jobs)
    with SideBySide(jobs, cache) as works:
        if plan.searches:
            with _stage(out, "search"):
                works.finish(plan.searches, meanwhile=[plan.locator])
        with _stage(out, "train"):
            works.finish(plan.trainings)
    with _stage(out, "export"):
        draft = _draft(plan)
    with _stage(out, "calibrate"):
        bundle = _calibrated(plan, draft)
    with _stage(out, "judge"):
        metrics = judge(plan, bundle)
    manifest = complete_manifest(plan, bundle, metrics, command or own_command(), _minutes(out))
    write_bundle(finished, manifest, bundle.files)
    _print_verdict(plan, metrics)
    return finished


def _print_verdict(plan: Plan, metrics: Mapping[str, Any]) -> None:
    """A line on stderr for each object: how many of the poses are right."""
    for thing in plan.things:
        scores = metrics[thing.model.name]
        print(
            f"{thing.model.name}: the pose is right (ADD(-S) below a tenth of the diameter) in "
            f"{scores['add01']:.1%} of {scores['targets']} held-out rendered frames",
            file=sys.stderr,
        )


def _draft(plan: Plan) -> Bundle:
    """The bundle as trained, not yet judged."""
    place = plan.out / DRAFT_FOLDER
    if (place / MANIFEST).exists():
        return read_bundle(place)
    return export(
        place,
        name=plan.name,
        objects=[
            TrainedObject(thing.model, training.out)
            for thing, training in zip(plan.things, plan.poses, strict=True)
        ],
        locator=plan.locator.out,
        training={"images": plan.request.images * len(plan.poses) + plan.request.locator_images},
        metrics={"data": "not judged yet"},
        budget_macs=plan.request.budget_macs,
    )


def _calibrated(plan: Plan, draft: Bundle) -> Bundle:
    """The draft with true scores and covariances; as it is where too few of its poses are right."""
    place = plan.out / CALIBRATED_FOLDER
    if (place / MANIFEST).exists():
        return read_bundle(place)
    bundle = draft
    for source in plan.request.objects:
        try:
            bundle = calibrate(bundle, source, images=plan.request.frames)
        except CalibrationError as error:
            print(f"not calibrated: {error}", file=sys.stderr)
    return write_bundle(place, bundle.manifest, bundle.files)


def judge(plan: Plan, draft: Bundle) -> dict[str, Any]:
    """Figures of the whole estimator on held-out frames, and of each network on its own."""
    place = plan.out / "judgement.json"
    if place.exists():
        held = json.loads(place.read_text())
        if held["bundle_hash"] == draft.hash:
            return dict(held["metrics"])
    metrics: dict[str, Any] = {}
    for source, thing in zip(plan.request.objects, plan.things, strict=True):
        verdict = evaluate_rendered(draft, source, frames=plan.request.frames, seed=FRAMES_SEED)
        scores = verdict.to_json()["objects"][thing.model.name]
        metrics[thing.model.name] = scores
        metrics["data"] = (
            f"{plan.request.frames} rendered, cluttered 640x480 frames of each object, seed "
            f"{FRAMES_SEED}, through locator and pose network"
        )
    sizes = plan.request.config(1).validation
    for training in [*plan.poses, plan.locator]:
        data = f"{sizes} held-out synthetic samples of the training's own generator"
        result = load_result(training.out)
        metrics[training.out.name] = {**result.metrics, "data": data}
    metrics = dict(without_infinities(metrics))
    write_json(place, {"bundle_hash": draft.hash, "metrics": metrics})
    return metrics


def complete_manifest(
    plan: Plan,
    draft: Bundle,
    metrics: Mapping[str, Any],
    command: str,
    minutes: Mapping[str, float],
) -> dict[str, Any]:
    """The draft's manifest with all that is known of how it came about."""
    return {
        **draft.manifest,
        "training": {
            **draft.manifest["training"],
            "command": command,
            "request": plan.request.to_json(),
            "seed": plan.request.seed,
            "data": f"renders by {plan.locator.config.renderer} of "
            f"{', '.join(thing.model.name for thing in plan.things)} before made-up "
            "backgrounds and pictures that come with scikit-image; no photograph of the object",
            "minutes": round(sum(minutes.values()), 2),
            "minutes_by_stage": dict(minutes),
            "minutes_by_network": {
                t.out.name: round(load_result(t.out).minutes, 2)
                for t in [*plan.poses, plan.locator]
            },
            "curves": without_infinities({t.out.name: curves(t.out) for t in plan.trainings}),
            # None where the architecture was given; only the first where the backbone is shared.
            "searches": {
                thing.model.name: _searched(search)
                for thing, search in zip(plan.things, plan.searches, strict=False)
            },
        },
        "metrics": dict(metrics),
    }


def _searched(search: Search) -> dict[str, Any]:
    """What a bundle says of the search for one of its networks."""
    outcome = json.loads((search.out / RESULT_FILE).read_text())
    return {
        **{name: outcome[name] for name in _KEPT_OF_SEARCHES},
        "minutes": round(outcome["minutes"]["search"], 2),
        "images": outcome["images"]["search"],
    }


def curves(training: Path) -> dict[str, dict[str, list[float]]]:
    """A training's course, thinned to what a plot can show: columns of numbers by kind of row."""
    found = {}
    for kind in ("train", "validation"):
        rows = read_metrics(training, kind)
        step = max(1, -(-len(rows) // _CURVE_POINTS))
        kept = rows[::step] + (rows[-1:] if (len(rows) - 1) % step else [])
        names = sorted(set.intersection(*(set(row) for row in kept))) if kept else []
        found[kind] = {name: [row[name] for row in kept] for name in names}
    return found


def without_infinities(value: Any) -> Any:
    """The same with null for what is not finite, as an untrained network's errors are not."""
    if isinstance(value, dict):
        return {key: without_infinities(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_infinities(item) for item in value]
    return None if isinstance(value, float) and not isfinite(value) else value


@contextmanager
def _stage(out: Path, name: str) -> Iterator[None]:
    """Adds the stage's wall time to what earlier runs have spent on it, however it ends."""
    began = time.monotonic()
    try:
        yield
    finally:
        spent = _minutes(out)
        spent[name] = round(spent.get(name, 0.0) + (time.monotonic() - began) / 60, 3)
        write_json(out / CLOCK_FILE, spent)


def _minutes(out: Path) -> dict[str, float]:
    place = out / CLOCK_FILE
    return dict(json.loads(place.read_text())) if place.exists() else {}
