# SPDX-License-Identifier: Apache-2.0
"""Judging a bundle, or poses from anywhere, on a BOP dataset or LINEMOD."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimator import Limits
from offline_search.data.bop import object_name
from offline_search.data.bop_image import BopImage, BopModel, BopTarget, PoseImages
from offline_search.data.bop_results import BopResult
from offline_search.evaluation import EvaluationError, require_objects
from offline_search.examination import Exam, Sight, Verdict, Wanted
from offline_search.metrics.pose_error import bop_symmetry_transforms
from offline_search.metrics.scores import ObjectGeometry, Scores, Target, score, stack_poses
from offline_search.surfaces import Surfaces


def bop_exam(
    bundle: Bundle, dataset: PoseImages, *, targets: Path | None = None, objects: str | None = None
) -> tuple[Exam, list[tuple[int, int]]]:
    """What a bundle is judged on in a BOP dataset or LINEMOD.

    Args:
        bundle: its objects are matched to the dataset's by `objects`.
        dataset: the images and the truth.
        targets: target file; the dataset's own where not given.
        objects: see `object_ids`.

    Returns:
        The exam, and scene and number of each of its images.
    """
    names = object_ids(objects, bundle)
    wanted: dict[tuple[int, int], list[BopTarget]] = defaultdict(list)
    for target in dataset.targets(targets):
        if target.obj_id in names:
            wanted[target.scene_id, target.image_id].append(target)
    if not wanted:
        asked_for = ", ".join(f"{name}={obj_id}" for obj_id, name in names.items())
        raise EvaluationError(
            f"{dataset.root.name}/{dataset.split}: there is nothing to judge, no target is one of "
            f"{asked_for or 'no objects'}: give other --objects, or another --targets file"
        )
    keys = sorted(wanted)
    models = {obj_id: dataset.model(obj_id) for obj_id in names}
    scenes = {scene_id: dataset.scene(scene_id) for scene_id, _ in keys}
    asked = {target.obj_id for several in wanted.values() for target in several}
    deep = scenes[keys[0][0]].image(keys[0][1]).depth_path is not None
    exam = Exam(
        data=f"{dataset.root.name}/{dataset.split}",
        sights=(_sight(scenes[key[0]].image(key[1]), wanted[key], names) for key in keys),
        count=len(keys),
        geometries={names[i]: geometry_of_model(models[i]) for i in names if i in asked},
        meshes={names[i]: models[i].mesh for i in names if i in asked} if deep else {},
        # BOP tells a method which objects an image holds: no pose is held back for being unsure.
        limits=Limits(min_score=0.0, max_reprojection_error=math.inf),
    )
    return exam, keys


def _sight(image: BopImage, targets: Sequence[BopTarget], names: Mapping[int, str]) -> Sight:
    wanted = []
    for target in targets:
        instances = image.most_visible(target.obj_id, target.count)
        if instances:
            visible = np.array([instance.visible_fraction for instance in instances])
            truth = stack_poses([instance.T_camera_object for instance in instances])
            wanted.append(Wanted(names[target.obj_id], truth, visible))
    return Sight(
        label=f"scene {image.scene_id}, image {image.image_id}",
        image=image.read(),
        camera=image.camera,
        wanted=tuple(wanted),
        again=image.read,
        depth=image.read_depth(),
    )


def results_of(
    verdict: Verdict, keys: Sequence[tuple[int, int]], names: Mapping[int, str]
) -> list[BopResult]:
    """What was said, in BOP's form.

    Args:
        verdict: of a dataset.
        keys: scene and number of its images, as of `bop_exam`.
        names: the bundle's object names by the dataset's number.
    """
    ids = {name: obj_id for obj_id, name in names.items()}
    return [
        BopResult(
            *key, ids[one.object_name], one.score, one.T_camera_object, result.times.total_ms * 1e-3
        )
        for key, result in zip(keys, verdict.results, strict=True)
        for one in result.estimates
        if one.object_name in ids
    ]


def score_bop(
    dataset: PoseImages, targets: Sequence[BopTarget], results: Iterable[BopResult]
) -> dict[int, Scores]:
    """Scores by object number of estimates for the images of a BOP dataset.

    Estimates of anything that is no target are left aside, as BOP does.
    """
    best_first: dict[tuple[int, int, int], list[BopResult]] = defaultdict(list)
    for result in sorted(results, key=lambda result: -result.score):
        best_first[result.scene_id, result.image_id, result.obj_id].append(result)
    scenes = {scene_id: dataset.scene(scene_id) for scene_id in {t.scene_id for t in targets}}
    models = {obj_id: dataset.model(obj_id) for obj_id in {t.obj_id for t in targets}}
    surfaces = Surfaces(
        {str(i): model.mesh for i, model in models.items()},
        {str(i): model.diameter for i, model in models.items()},
    )
    judged: dict[int, list[Target]] = defaultdict(list)
    for target in targets:
        image = scenes[target.scene_id].image(target.image_id)
        found = best_first[target.scene_id, target.image_id, target.obj_id]
        estimates = stack_poses([result.T_camera_object for result in found])
        truth, depth = image.truth(target.obj_id, target.count), image.read_depth()
        judged[target.obj_id].append(
            Target(
                truth=truth,
                estimates=estimates,
                K=image.K,
                image_width=image.camera.width,
                surfaces=None
                if depth is None
                else surfaces.errors(str(target.obj_id), estimates, truth, depth, image.camera),
            )
        )
    return {
        obj_id: score(items, geometry_of_model(models[obj_id])) for obj_id, items in judged.items()
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


def geometry_of_model(model: BopModel) -> ObjectGeometry:
    """What errors of a dataset's object depend on."""
    return ObjectGeometry(model.points, bop_symmetry_transforms(model.symmetries), model.diameter)
