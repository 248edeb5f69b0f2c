# SPDX-License-Identifier: Apache-2.0
"""Judging a bundle on SPEED and SPEED+."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimator import Limits
from fpg_pose_ros.objects import ObjectModel
from offline_search.data.photographs import Photograph
from offline_search.data.speed_poses import speed_images
from offline_search.evaluation import EvaluationError, require_objects
from offline_search.examination import Exam, Sight, Wanted
from offline_search.metrics.pose_error import bop_symmetry_transforms
from offline_search.metrics.scores import ObjectGeometry


def speed_exam(
    bundle: Bundle, root: Path, domain: str = "synthetic", objects: str | None = None
) -> Exam:
    """What a bundle is judged on in SPEED or SPEED+.

    Args:
        bundle: holds the spacecraft.
        root: the dataset's folder.
        domain: see `speed_images`.
        objects: which of the bundle's objects the spacecraft is; need not be said of a bundle with
            one object.

    Raises:
        EvaluationError: it is not clear which object it is.
        DatasetError, CameraError: the dataset cannot be read.
    """
    model = _spacecraft(bundle, objects)
    images = speed_images(root, domain)
    return Exam(
        data=f"{root.name}/{domain}",
        sights=(_sight(name, photograph, model.name) for name, photograph in images.items()),
        count=len(images),
        geometries={
            model.name: ObjectGeometry(
                model.mesh.vertices, bop_symmetry_transforms(model.symmetries), model.diameter
            )
        },
        # Every image shows the spacecraft: no pose is held back for being unsure.
        limits=Limits(min_score=0.0, max_reprojection_error=math.inf),
        spacecraft=True,
    )


def _sight(name: str, photograph: Photograph, object_name: str) -> Sight:
    assert photograph.camera is not None
    return Sight(
        label=name,
        image=photograph.read(),
        camera=photograph.camera,
        wanted=(Wanted(object_name, photograph.T_camera_object[None], np.array([np.nan])),),
        again=photograph.read,
    )


def _spacecraft(bundle: Bundle, objects: str | None) -> ObjectModel:
    models = {item.model.name: item.model for item in bundle.objects}
    if objects is None and len(models) > 1:
        raise EvaluationError(
            f"bundle {bundle.name} holds {', '.join(models)}; say which of them is the spacecraft, "
            f"as --objects {min(models)}"
        )
    name = objects or next(iter(models))
    require_objects(bundle, [name])
    return models[name]
