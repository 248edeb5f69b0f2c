# SPDX-License-Identifier: Apache-2.0
"""LM-O photographs through the real topics: train on renders, run the nodes, score the answers.

    make bench-lmo
    python benchmarks/lmo_through_ros.py --objects can=5,driller=8 --images 200000   # ROS sourced
    python benchmarks/lmo_through_ros.py --objects all --shared-backbone

Each step leaves its result in --work and is skipped, or goes on, when the command is run again:
objects are made of the dataset's meshes, the pipeline trains pose networks and locator on renders
of them and packs a bundle, then the photographs go through camera_node -> DDS -> pose_node. The
poses are written as BOP's CSV and scored against the dataset's targets, and a row for each object
is added to --results (or replaces the row of the same bundle). No photograph is trained on.
"""

from __future__ import annotations

import argparse
import datetime
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import LMO_OBJECTS, ROOT, lmo_folder, lmo_object, machine
from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.errors import DatasetError, FpgPoseError
from offline_search.data.bop import BopDataset
from offline_search.data.bop_results import BopResult, write_results
from offline_search.evaluate_bop import named_objects, object_ids, score_bop
from offline_search.metrics.scores import Scores
from offline_search.pipeline import Request, pipeline
from offline_search.training.checkpoint import write_atomic


def make_objects(dataset: BopDataset, ids: Mapping[int, str], options: argparse.Namespace) -> Path:
    """Make the object files that are not there yet; returns their folder."""
    objects: Path = options.work / "objects"
    for obj_id, name in ids.items():
        lmo_object(dataset, obj_id, name, objects)
    return objects


def train(dataset: BopDataset, ids: Mapping[int, str], options: argparse.Namespace) -> Path:
    """Make the objects and train on renders of them; returns the bundle's folder."""
    objects = make_objects(dataset, ids, options)
    request = Request(
        objects=tuple(str(objects / f"{name}.yaml") for name in ids.values()),
        images=options.images,
        locator_images=options.locator_images or options.images // 2,
        architecture=options.architecture,
        locator_architecture=options.locator_architecture,
        shared_backbone=options.shared_backbone,
        seed=options.seed,
        layers=options.layers,
        frames=options.frames,
        name="lmo-" + "-".join(ids.values()),
        settings=options.settings,
        locator_settings=options.locator_settings,
    )
    return pipeline(
        request,
        options.work / "training",
        jobs=options.jobs,
        cache=options.work / "cache",
        command=_command(),
    )


def run(
    dataset: BopDataset, bundle: Path, ids: Mapping[int, str], options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Send the photographs, write the CSV, score it; returns a row for each object."""
    # Imported late, so that training needs no ROS.
    from benchmarks.ros_photographs import send_photographs

    opened = read_bundle(bundle)
    targets = [target for target in dataset.targets() if target.obj_id in ids]
    numbers = {name: obj_id for obj_id, name in ids.items()}
    names = [item.model.name for item in opened.objects]
    results, latencies, photographs = [], [], 0
    for scene_id in sorted({target.scene_id for target in targets}):
        scene = dataset.scene(scene_id).folder
        answers = send_photographs(
            scene, bundle, names, rate=options.rate, logs=options.work / "logs"
        )
        photographs += len(answers)
        latencies += [answer.latency_ms for answer in answers.values()]
        results += [
            BopResult(
                scene_id=scene_id,
                image_id=image_id,
                obj_id=numbers[pose.object_name],
                score=pose.score,
                T_camera_object=pose.T_camera_object,
                seconds=answer.node_ms * 1e-3,
            )
            for image_id, answer in answers.items()
            for pose in answer.poses
            if pose.object_name in numbers
        ]
    csv = options.work / f"fpg-pose-ros_{dataset.root.name}-{dataset.split}.csv"
    write_results(csv, results)
    print(f"{len(results)} poses in {photographs} photographs: {csv}")
    common = {
        "images": photographs,
        "through_ros": True,
        "latency_ms_p50": round(float(np.percentile(latencies, 50)), 2),
        "latency_ms_p99": round(float(np.percentile(latencies, 99)), 2),
        "command": _command(),
        "machine": machine(),
        "date": datetime.date.today().isoformat(),
    }
    scores = score_bop(dataset, targets, results)
    return [{**_row(opened, ids[obj_id], scores[obj_id]), **common} for obj_id in sorted(scores)]


def update_rows(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Put rows into a results file, in the place of those of the same object and bundle."""
    held = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    same = {(row["object"], row["bundle_hash"]) for row in rows}
    kept = [row for row in held if (row["object"], row["bundle_hash"]) not in same]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps([*kept, *rows], indent=1) + "\n").encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        if options.data is None:
            raise DatasetError(
                "give --data, the folder of LM-O in BOP's format (https://bop.felk.cvut.cz/"
                "datasets), or set FPG_POSE_DATA to the folder that holds it as lmo/"
            )
        dataset = BopDataset(options.data)
        ids = named_objects(options.objects)
        if options.objects_only:
            print(make_objects(dataset, ids, options))
            return 0
        bundle = options.bundle or train(dataset, ids, options)
        ids = object_ids(options.objects, read_bundle(bundle))
        rows = run(dataset, bundle, ids, options)
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    update_rows(options.results, rows)
    for row in rows:
        print(json.dumps(row))
    print(f"rows are in {options.results}; now run python benchmarks/report.py")
    return 0


def _row(bundle: Bundle, name: str, scores: Scores) -> dict[str, Any]:
    network = next(item.network for item in bundle.objects if item.model.name == name)
    training = bundle.manifest.get("training", {})
    by_network = training.get("minutes_by_network", {})
    minutes = [by_network.get(key) for key in (f"pose-{name}", "locator")]
    return {
        "object": name,
        "bundle": bundle.name,
        "bundle_hash": bundle.hash,
        "targets": scores.targets,
        "misses": scores.misses,
        "macs_pose": network.macs,
        "macs_locator": bundle.locator.macs,
        "train_minutes": training.get("minutes") if None in minutes else round(sum(minutes), 2),
        "train_images": training.get("request", {}).get("images", training.get("images")),
        "train_command": training.get("command"),
        "seed": training.get("seed"),
        "add01": round(scores.add01, 4),
        "add_auc": round(scores.add_auc, 4),
        "mssd_recall": round(scores.mssd_ar, 4),
        "mspd_recall": round(scores.mspd_ar, 4),
        "rotation_deg_median": _figure(scores.rotation_deg_median, 2),
        "translation_mm_median": _figure(scores.translation_mm_median, 1),
    }


def _figure(value: float, digits: int) -> float | None:
    return None if np.isnan(value) else round(value, digits)


def _command() -> str:
    """This command as the repository's root would run it."""
    return shlex.join(["python", "benchmarks/lmo_through_ros.py", *sys.argv[1:]])


def _objects(text: str) -> str:
    every = ",".join(f"{name}={number}" for name, number in LMO_OBJECTS.items())
    return every if text == "all" else text


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=lmo_folder(), help="LM-O's folder")
    add(
        "--objects",
        type=_objects,
        default="can=5,driller=8",
        help="NAME=NUMBER, comma-separated; all: the eight of LM-O",
    )
    add("--objects-only", action="store_true", help="make the object files and end")
    add("--bundle", type=Path, help="use this bundle, train nothing")
    add("--images", type=int, default=200_000, help="training samples of each pose network")
    add("--locator-images", type=int, help="training samples of the locator; half of --images")
    add("--architecture", default="small", help="preset or JSON file of the pose networks")
    add("--locator-architecture", default="locator", help="preset or JSON file of the locator")
    add(
        "--shared-backbone",
        action="store_true",
        help="train the pose networks together: one backbone, a head an object",
    )
    add("--settings", type=json.loads, default={}, help="further fields of TrainConfig, JSON")
    add("--locator-settings", type=json.loads, default={}, help="those of the locator's own, JSON")
    add("--layers", type=int, default=8000, help="renders of each object")
    add("--frames", type=int, default=200, help="rendered frames it is calibrated and judged on")
    add("--seed", type=int, default=0)
    add("--jobs", type=int, default=1, help="trainings and renderers side by side")
    add("--rate", type=float, default=10.0, help="photographs per second")
    add("--work", type=Path, default=ROOT / "runs" / "lmo", help="folder for everything made")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "lmo.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
