# SPDX-License-Identifier: Apache-2.0
"""What `--data` names: a dataset of photographs, films, or nothing for renders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from fpg_pose_ros.errors import DatasetError
from offline_search.data.bop_poses import bop_poses, linemod_poses
from offline_search.data.film_poses import FilmPoses
from offline_search.data.objects import load_object
from offline_search.data.sources import PoseSource, RenderedPoses
from offline_search.data.speed_poses import speed_poses

FILMS: Final = "films"
"""Renders too, but of an object in motion before a camera in motion, see `films`."""
_FORMATS: Final = {
    "bop": "the folder of a BOP dataset",
    "linemod": "the folder Linemod_preprocessed",
    "speed": "the folder of SPEED or SPEED+",
}


def pose_source(
    objects: Sequence[str | Path], data: str | None, cache: Path | None = None
) -> PoseSource:
    """Opens the source of a pose network's samples.

    Args:
        objects: One: the name of a built-in object or an object file; with `bop:PATH` and
            `linemod:PATH` see `bop_poses`, with `speed:PATH` see `speed_poses`.
        data: `bop:PATH`, `linemod:PATH`, `speed:PATH`, `films`, or None for renders.
        cache: Folder of rendered layers; the user's cache folder by default.

    Raises:
        DatasetError: `data` is malformed, or the dataset or the object in it is not as needed.
        CameraError, MeshError: The dataset's camera, or the object, cannot be used.
    """
    if len(objects) != 1:
        raise DatasetError(f"a pose network is trained for one object, not for {len(objects)}")
    which = str(objects[0])
    if data is None:
        return RenderedPoses(load_object(which), cache)
    if data == FILMS:
        return FilmPoses(load_object(which), cache)
    kind, root = data_folder(data, "bop", "linemod", "speed", other=FILMS)
    if kind == "speed":
        return speed_poses(root, which)
    return (bop_poses if kind == "bop" else linemod_poses)(root, which, cache)


def data_folder(data: str, *kinds: str, other: str = "") -> tuple[str, Path]:
    """Reads `KIND:PATH`, of one of these kinds, as (kind, path).

    Args:
        data: What was given.
        kinds: That there are.
        other: What else could have been given.

    Raises:
        DatasetError: It has another form.
    """
    kind, _, path = data.partition(":")
    if kind not in kinds or not path:
        known = ", or ".join(f"{kind}:PATH, {_FORMATS[kind]}" for kind in kinds)
        known += f", or {other}" if other else ""
        raise DatasetError(f"--data {data}: give {known}")
    return kind, Path(path)
