# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose evaluate`: judge a bundle by the very estimator that runs on the robot."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

from tqdm import tqdm

from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.estimator import Estimator
from offline_search.data.bop import BopDataset
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.data.open_source import data_folder
from offline_search.evaluate_bop import evaluate_bop
from offline_search.evaluation import (
    Evaluation,
    EvaluationError,
    format_table,
    make_evaluation,
    require_objects,
)
from offline_search.metrics.pose_error import bop_symmetry_transforms
from offline_search.metrics.scores import ObjectGeometry, Target, score, stack_poses

_FPS = 30.0


def evaluate_rendered(
    bundle: Bundle, name: str, *, frames: int, seed: int, threads: int = 1
) -> Evaluation:
    """Judge a bundle on rendered frames of a moving object among clutter.

    Args:
        bundle: must hold the object.
        name: of the object, or the path of its file.
        frames: how many.
        seed: which scene and motion; another one than the training's.
        threads: of one inference.
    """
    item = load_object(name)
    model = item.model
    require_objects(bundle, [model.name])
    geometry = ObjectGeometry(
        points=item.mesh.vertices,
        symmetries=bop_symmetry_transforms(model.symmetries),
        diameter=model.diameter,
    )
    estimator = Estimator(bundle, threads=threads)
    targets, times = [], []
    scene = LiveScene(item, seed=seed, duration=frames / _FPS, fps=_FPS)
    for frame in tqdm(islice(scene, frames), "evaluate", frames, unit="frame", dynamic_ncols=True):
        outcome = estimator.estimate(frame.image, frame.camera)
        times.append(outcome.times.total_ms)
        poses = [e.T_camera_object for e in outcome.estimates if e.object_name == model.name]
        targets.append(
            Target(
                truth=frame.ground_truth[model.name][None],
                estimates=stack_poses(poses),
                K=frame.camera.K,
                image_width=frame.camera.width,
            )
        )
    data = f"{frames} rendered frames of {model.name}, seed {seed}"
    return make_evaluation(bundle, data, {model.name: score(targets, geometry)}, times)


def evaluate(
    bundle: Path,
    *,
    data: str | None = None,
    targets: Path | None = None,
    objects: str | None = None,
    rendered: str | None = None,
    frames: int = 300,
    seed: int = 1,
    threads: int = 1,
    json_out: Path | None = None,
    results_out: Path | None = None,
) -> Evaluation:
    """The command: judge a bundle, print the table, and write it as JSON where asked.

    Args:
        bundle: path of the bundle.
        data: `bop:PATH`, a BOP dataset's folder; or nothing, for rendered frames.
        targets: see `evaluate_bop`.
        objects: see `object_ids`.
        rendered: for rendered frames: the object's name or file.
        frames: for rendered frames: how many.
        seed: for rendered frames: which motion.
        threads: of one inference.
        json_out: file for the figures.
        results_out: file for the estimates as BOP's CSV; only with `data`.

    Raises:
        EvaluationError, DatasetError: it is not clear on what to judge, or that cannot be read.
    """
    opened = read_bundle(bundle)
    if data is not None and rendered is None:
        _, folder = data_folder(data, "bop")
        evaluation = evaluate_bop(
            opened,
            BopDataset(folder),
            targets=targets,
            objects=objects,
            threads=threads,
            results=results_out,
        )
    elif rendered is not None and data is None:
        evaluation = evaluate_rendered(opened, rendered, frames=frames, seed=seed, threads=threads)
    else:
        raise EvaluationError("give either --data bop:PATH or --object NAME")
    print(format_table(evaluation))
    if json_out is not None:
        json_out.parent.mkdir(parents=True, exist_ok=True)
        json_out.write_text(json.dumps(evaluation.to_json(), indent=2) + "\n", encoding="utf-8")
    return evaluation
