# SPDX-License-Identifier: Apache-2.0
"""Pose networks of several objects from one training: a shared backbone, a head for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from offline_search.data.open_source import pose_source
from offline_search.retrain import load_architecture, make_pose_task
from offline_search.space.architecture import Architecture
from offline_search.space.shared import SharedArchitecture, branch
from offline_search.training.checkpoint import disk_errors
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.distributed import main_process
from offline_search.training.loop import RESULT_FILE, TrainResult, describe, save_result, train
from offline_search.training.shared_pose_task import SharedPoseTask, shared_configs

SHARED_FOLDER: Final = "poses"
"""Of the training itself: its checkpoint, its journal."""


def pose_folder(out: Path, name: str) -> Path:
    """Where an object's pose network is found, however it was trained."""
    return out / f"pose-{name}"


def retrain_shared(
    objects: Sequence[str | Path],
    *,
    architecture: str | Path | Architecture,
    config: TrainConfig,
    out: Path,
    data: str | None = None,
    cache: Path | None = None,
) -> dict[str, TrainResult]:
    """Trains in `out`/poses; run again, it goes on where it was stopped.

    At the end `out`/pose-NAME holds each object's ordinary network, the backbone's weights and its
    own head, as a training of that object alone leaves it; minutes are its share.

    Args:
        objects: Two or more, see `offline_search.data.open_source.pose_source`.
        architecture: A preset's name, a JSON file, or the thing itself; each object's head has as
            many outputs as the object has keypoints.
        config: Settings; see `shared_configs` for what is each object's and what is the whole's.
        out: Folder.
        data: Photographs with poses; renders where not given.
        cache: Folder of rendered layers; the user's cache folder by default.

    Returns:
        Results by the objects' names.

    Raises:
        MeshError, DatasetError, ArchitectureError, TrainingError: With a message that says what
            to do.
    """
    sources = [pose_source([thing], data, cache) for thing in objects]
    names = [source.model.name for source in sources]
    if len(names) < 2 or len(set(names)) < len(names):
        raise TrainingError(
            f"a backbone is shared by two or more objects of different names, not by "
            f"{', '.join(names) or 'none'}"
        )
    own, whole = shared_configs(config, len(names))
    outputs = [len(source.model.keypoints) for source in sources]
    shared = SharedArchitecture.of(load_architecture(architecture, outputs[0]), outputs)
    tasks = [
        make_pose_task(source, member, own)
        for source, member in zip(sources, shared.members, strict=True)
    ]
    result = train(SharedPoseTask(tasks), shared, whole, out / SHARED_FOLDER)
    parts = {name: _part(result, place, name) for place, name in enumerate(names)}
    if main_process():
        for name, part in parts.items():
            _leave(part, own, pose_folder(out, name))
    return parts


def _part(result: TrainResult, place: int, name: str) -> TrainResult:
    count = len(result.extra)
    return TrainResult(
        network=branch(result.network, place),
        metrics=result.extra[name]["metrics"],
        extra=result.extra[name]["extra"],
        minutes=result.minutes / count,
        images=result.images // count,
    )


def _leave(part: TrainResult, config: TrainConfig, folder: Path) -> None:
    if (folder / RESULT_FILE).exists():
        return
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    describe(folder, part.network.architecture, config)
    save_result(folder, part)
