# SPDX-License-Identifier: Apache-2.0
"""Samples of an object of a BOP dataset or LINEMOD: of its training images, or else of its mesh.

All folders of training images that are there (`train`, `train_pbr`, `train_real`, ...) are used
together; test and validation images never are.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np

from fpg_pose_ros.errors import DatasetError
from offline_search.data.bop import BopDataset, object_name
from offline_search.data.linemod import LinemodDataset
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.photographed_poses import PhotographedPoses
from offline_search.data.photographs import Photograph
from offline_search.data.sources import PoseSource, RenderedPoses
from offline_search.data.variety import MIN_VISIBLE

_Dataset: TypeAlias = BopDataset | LinemodDataset
# What an object file and its dataset say of a diameter may differ by so much.
_TOLERANCE: Final = 0.05


def bop_poses(root: Path, which: str, cache: Path | None = None) -> PoseSource:
    """Opens a dataset for one of its objects.

    Args:
        root: The dataset's folder.
        which: A number (5 or obj_000005), NAME=NUMBER to call the object so, or FILE=NUMBER with an
            object file, whose keypoints, parts and views are then used; its frame must be that of
            the dataset's mesh.
        cache: Folder of rendered layers, for datasets without training images.

    Raises:
        DatasetError: The dataset lacks the object, or a file that is needed.
        MeshError: The object's mesh or file cannot be used.
    """
    return _poses(BopDataset(root), which, cache)


def linemod_poses(root: Path, which: str, cache: Path | None = None) -> PoseSource:
    """Opens Linemod_preprocessed for one of its objects; else as `bop_poses`."""
    return _poses(LinemodDataset(root), which, cache)


def _poses(dataset: _Dataset, which: str, cache: Path | None) -> PoseSource:
    obj_id, thing = _object(dataset, which)
    splits = dataset.training_splits()
    named = [pair for split in splits for pair in _photographs(dataset, split, obj_id, thing)]
    if named:
        return PhotographedPoses.split(thing, named)
    print(
        f"{dataset.root}: no training images show object {obj_id}; renders of its mesh take "
        "their place",
        file=sys.stderr,
    )
    return RenderedPoses(thing, cache, _others(dataset, obj_id))


def _others(dataset: _Dataset, obj_id: int) -> tuple[RenderableObject, ...]:
    """Returns the dataset's other objects: they are what stands around and in the way."""
    with tempfile.TemporaryDirectory() as folder:
        return tuple(
            dataset.create_object(other, Path(folder))
            for other in dataset.object_ids()
            if other != obj_id
        )


def _object(dataset: _Dataset, which: str) -> tuple[int, RenderableObject]:
    """Returns the object and its number."""
    name, _, number = which.rpartition("=")
    digits = number.removeprefix("obj_")
    if not digits.isdigit() or int(digits) not in dataset.object_ids():
        held = ", ".join(map(str, dataset.object_ids()))
        raise DatasetError(
            f"--object {which}: say which of the objects of {dataset.root} it is, by its number "
            f"(it has {held}), as --object {dataset.object_ids()[0]} or --object can="
            f"{dataset.object_ids()[0]}"
        )
    obj_id = int(digits)
    if not name.endswith((".yaml", ".yml")):
        with tempfile.TemporaryDirectory() as folder:
            made = dataset.create_object(obj_id, Path(folder), name=name or object_name(obj_id))
        return obj_id, made
    thing, diameter = load_object(name), dataset.model(obj_id).diameter
    if abs(thing.model.diameter - diameter) > _TOLERANCE * diameter:
        raise DatasetError(
            f"--object {which}: the object file's diameter is {thing.model.diameter:.4g} m, that "
            f"of the dataset's object {obj_id} {diameter:.4g} m; they are not the same object"
        )
    return obj_id, thing


def _photographs(
    dataset: _Dataset, split: str, obj_id: int, thing: RenderableObject
) -> Iterator[tuple[str, Photograph]]:
    """Yields the appearances of an object that show enough of it, with their images' names."""
    images = dataset.with_split(split)
    for scene_id in images.scene_ids():
        for image in images.scene(scene_id).of_object(obj_id):
            for instance in image.instances:
                near = instance.T_camera_object[2, 3] < thing.model.diameter
                if near or instance.visible_fraction < MIN_VISIBLE:
                    continue
                yield (
                    f"{scene_id}/{image.image_id}",
                    Photograph(
                        path=image.path,
                        K=image.K,
                        T_camera_object=instance.T_camera_object,
                        visible_fraction=float(np.nan_to_num(instance.visible_fraction, nan=1.0)),
                        mask=instance.mask,
                    ),
                )
