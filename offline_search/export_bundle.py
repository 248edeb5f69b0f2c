# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose export`: a bundle of trainings that are finished, whatever they were trained on.

`fpg-pose pipeline` does this too, and calibrates and judges what comes of it; here that is left to
commands of their own, which are named at the end.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.bundle import Bundle
from offline_search.data.objects import load_object
from offline_search.export import ExportError, TrainedObject, export
from offline_search.pipeline import curves, without_infinities
from offline_search.report.machine import own_command
from offline_search.retrain_shared import pose_folder
from offline_search.training.journal import METRICS_FILE
from offline_search.training.loop import CONFIG_FILE, TrainResult, load_result

_LOCATOR: Final = "locator"
_MEASURED: Final = "held-out samples of the training's own, one network at a time"


def export_bundle(
    objects: Sequence[str],
    poses: Sequence[Path],
    locator: Path,
    out: Path,
    *,
    name: str = "",
    command: str | None = None,
) -> Bundle:
    """The command: packs trainings as `fpg-pose retrain` leaves them, and says what is left to do.

    Args:
        objects: names or files, in the order of the locator's classes.
        poses: folder of the pose network's training, of each object.
        locator: folder of the locator's training.
        out: the bundle: a folder, or a zip when it ends in .zip; a bundle there is replaced.
        name: of the bundle; the objects' where empty.
        command: the command line to note in the bundle; this process's by default.

    Raises:
        ExportError: objects and trainings do not fit together.
        TrainingError: a training is not finished.
        MeshError: an object cannot be used, or has fewer keypoints than its network finds.
        BundleError: no bundle can be written there.
    """
    if len(poses) != len(objects):
        raise ExportError(
            f"there are {len(objects)} objects and {len(poses)} trainings of pose networks: give "
            "each --object its --pose, in the same order"
        )
    models = [load_object(thing).model for thing in objects]
    names = [model.name for model in models]
    folders = {pose_folder(Path(), n).name: f for n, f in zip(names, poses, strict=True)}
    folders[_LOCATOR] = locator
    results = {key: load_result(folder) for key, folder in folders.items()}
    for key, result in results.items():
        _check(key, folders[key], result, names)
    bundle = export(
        out,
        name=name or "+".join(names),
        objects=[TrainedObject(model, f) for model, f in zip(models, poses, strict=True)],
        locator=locator,
        training=_training(folders, results, command or own_command()),
        metrics=_metrics(results),
    )
    _print_rest(out, bundle, objects)
    return bundle


def _check(key: str, folder: Path, result: TrainResult, names: Sequence[str]) -> None:
    head = result.network.architecture.head
    if (head.kind == "locator") != (key == _LOCATOR):
        wanted = "locator's" if key == _LOCATOR else "pose network's"
        raise ExportError(
            f"{folder}: its network has a {head.kind} head; give a {wanted} training there"
        )
    if key == _LOCATOR and head.outputs != len(names):
        raise ExportError(
            f"{folder}: the locator finds {head.outputs} objects, {', '.join(names)} are named; "
            "name all of its objects, in the order in which it was trained on them"
        )


def _training(
    folders: Mapping[str, Path], results: Mapping[str, TrainResult], command: str
) -> dict[str, Any]:
    """What the manifest says of how it came about; as `pipeline` has it, as far as it is known."""
    settings = {key: folder / CONFIG_FILE for key, folder in folders.items()}
    # Networks that were trained together have one course, which lies elsewhere.
    courses = {k: curves(f) for k, f in folders.items() if (f / METRICS_FILE).exists()}
    return {
        "command": command,
        "images": sum(result.images for result in results.values()),
        "minutes_by_network": {key: round(found.minutes, 2) for key, found in results.items()},
        "settings": {k: json.loads(f.read_text()) for k, f in settings.items() if f.exists()},
        "curves": without_infinities(courses),
    }


def _metrics(results: Mapping[str, TrainResult]) -> dict[str, Any]:
    each = {key: {**result.metrics, "data": _MEASURED} for key, result in results.items()}
    return {**dict(without_infinities(each)), "data": f"{_MEASURED}; the bundle is not judged yet"}


def _print_rest(out: Path, bundle: Bundle, objects: Sequence[str]) -> None:
    """What was made on stdout, and what has still to be done to it."""
    for item in bundle.objects:
        memory = item.network.memory
        lags = "" if memory is None else ", ".join(map(str, memory.lags))
        told = f", remembers {lags} images back" if lags else ""
        print(f"{out}: {item.model.name}, {item.network.macs / 1e6:.1f} MMACs{told}")
    named = [part for thing in objects for part in ("--object", thing)]
    print("scores and covariances are not calibrated, and poses not judged; to do it:")
    print("  " + shlex.join(["fpg-pose", "calibrate", str(out), *named]))
    for item, thing in zip(bundle.objects, objects, strict=True):
        track = [] if item.network.memory is None else ["--track"]
        print("  " + shlex.join(["fpg-pose", "evaluate", str(out), "--object", thing, *track]))
