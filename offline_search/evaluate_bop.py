# SPDX-License-Identifier: Apache-2.0
"""Judging a bundle, or poses from anywhere, on a BOP dataset."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from tqdm import tqdm

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimator import Estimator
from offline_search.data.bop import BopDataset, BopTarget, object_name
from offline_search.data.bop_results import BopResult, write_results
from offline_search.evaluation import Evaluation, EvaluationError, make_evaluation, require_objects
from offline_search.metrics.pose_error import bop_symmetry_transforms
from offline_search.metrics.scores import ObjectGeometry, Scores, Target, score, stack_poses


def evaluate_bop(
    bundle: Bundle,
    dataset: BopDataset,
    *,
    targets: Path | None = None,
    objects: str | None = None,
    threads: int = 1,
    results: Path | None = None,
) -> Evaluation:
    """Judge a bundle on the images of a BOP dataset.

    Args:
        bundle: its objects are matched to the dataset's by `objects`.
        dataset: the images and the truth.
        targets: target file; the dataset's own where not given.
        objects: see `object_ids`.
        threads: of one inference.
        results: where to write the estimates as BOP's CSV, if anywhere.
    """
    names = object_ids(objects, bundle)
    wanted = [target for target in dataset.targets(targets) if target.obj_id in names]
    if not wanted:
        raise EvaluationError(f"no target is one of the objects {objects}; see the target file")
    scenes = {scene_id: dataset.scene(scene_id) for scene_id in {t.scene_id for t in wanted}}
    images = [
        scenes[scene_id].image(image_id)
        for scene_id, image_id in sorted({(t.scene_id, t.image_id) for t in wanted})
    ]
    ids = {name: obj_id for obj_id, name in names.items()}
    # BOP tells a method which objects an image holds: no pose is held back for being unsure.
    estimator = Estimator(bundle, threads=threads, min_score=0.0, max_reprojection_error=math.inf)
    found, times = [], []
    for image in tqdm(images, desc="evaluate", unit="image", dynamic_ncols=True):
        outcome = estimator.estimate(image.read(), image.camera)
        times.append(outcome.times.total_ms)
        found += [
            BopResult(
                scene_id=image.scene_id,
                image_id=image.image_id,
                obj_id=ids[estimate.object_name],
                score=estimate.score,
                T_camera_object=estimate.T_camera_object,
                seconds=outcome.times.total_ms * 1e-3,
            )
            for estimate in outcome.estimates
            if estimate.object_name in ids
        ]
    if results is not None:
        write_results(results, found)
    scores = score_bop(dataset, wanted, found)
    named = {names[obj_id]: value for obj_id, value in scores.items()}
    return make_evaluation(bundle, f"BOP {dataset.root.name}/{dataset.split}", named, times)


def score_bop(
    dataset: BopDataset, targets: Sequence[BopTarget], results: Iterable[BopResult]
) -> dict[int, Scores]:
    """Scores by object number of estimates for the images of a BOP dataset.

    Estimates of anything that is no target are left aside, as BOP does.
    """
    best_first: dict[tuple[int, int, int], list[BopResult]] = defaultdict(list)
    for result in sorted(results, key=lambda result: -result.score):
        best_first[result.scene_id, result.image_id, result.obj_id].append(result)
    scenes = {scene_id: dataset.scene(scene_id) for scene_id in {t.scene_id for t in targets}}
    judged: dict[int, list[Target]] = defaultdict(list)
    for target in targets:
        image = scenes[target.scene_id].image(target.image_id)
        estimates = best_first[target.scene_id, target.image_id, target.obj_id]
        judged[target.obj_id].append(
            Target(
                truth=image.truth(target.obj_id, target.count),
                estimates=stack_poses([result.T_camera_object for result in estimates]),
                K=image.K,
                image_width=image.camera.width,
            )
        )
    return {
        obj_id: score(items, _bop_geometry(dataset, obj_id)) for obj_id, items in judged.items()
    }


def object_ids(objects: str | None, bundle: Bundle) -> dict[int, str]:
    """Which objects of a BOP dataset a bundle's objects are.

    Args:
        objects: numbers and names as `5,8` or `can=5,driller=8`. A number alone stands for the
            object that the bundle calls by its BOP file's name (obj_000005). Where not given, all
            objects of the bundle with such a name.
        bundle: whose objects are meant.

    Returns:
        The bundle's object names by dataset number.

    Raises:
        EvaluationError: a part is no number, or the bundle lacks the object.
    """
    held = [item.model.name for item in bundle.objects]
    names = named_objects(objects or "")
    if objects is None:
        names = {int(n[4:]): n for n in held if n[4:].isdigit() and n == object_name(int(n[4:]))}
        if not names:
            raise EvaluationError(
                f"bundle {bundle.name} holds {', '.join(held)}; say which of the dataset's objects "
                f"they are, as --objects {held[0]}=5"
            )
    require_objects(bundle, names.values())
    return names


def named_objects(objects: str) -> dict[int, str]:
    """Names by dataset number of `5,8` or `can=5,driller=8`, in that order.

    Raises:
        EvaluationError: a part is no number.
    """
    names: dict[int, str] = {}
    for part in filter(None, objects.split(",")):
        name, _, number = part.strip().rpartition("=")
        if not number.isdigit():
            raise EvaluationError(
                f"--objects {objects}: {part!r} is neither a number nor NAME=NUMBER"
            )
        names[int(number)] = name or object_name(int(number))
    return names


def _bop_geometry(dataset: BopDataset, obj_id: int) -> ObjectGeometry:
    model = dataset.model(obj_id)
    return ObjectGeometry(model.points, bop_symmetry_transforms(model.symmetries), model.diameter)
