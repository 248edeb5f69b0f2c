# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose quantise`: a bundle whose networks compute in 8-bit integers, and what that costs."""

from __future__ import annotations

import datetime
import importlib.util
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Final

import numpy as np

from fpg_pose_ros.backends import open_backends
from fpg_pose_ros.backends.stopwatch import milliseconds
from fpg_pose_ros.bundle import Bundle, read_bundle, write_bundle
from offline_search.calibrate import calibrate, calibrated_objects, uncalibrated
from offline_search.data.objects import load_object
from offline_search.evaluate import evaluate_rendered
from offline_search.evaluation import require_objects
from offline_search.int8 import METHOD, QuantisationError, record_inputs, to_int8

_FIGURES: Final = ("add01", "add_auc", "rotation_deg_median")
#: Figures by the name of what they are of.
_Table = dict[str, dict[str, float | None]]


def quantise(
    bundle: Path,
    objects: Sequence[str],
    *,
    out: Path,
    calibration_frames: int,
    images: int,
    frames: int,
    seed: int,
) -> Bundle:
    """The command: writes a quantised bundle and prints accuracy, size and time, before and after.

    Args:
        bundle: path of the bundle.
        objects: names or files of all of its objects.
        out: where to.
        calibration_frames: rendered frames of each object to find the ranges on, seed `seed` + 1.
        images: rendered frames to calibrate each object anew on that is calibrated, since a
            calibration is of the networks that it was fitted to; 0: the result has none.
        frames: rendered frames of each object to judge on.
        seed: of the scenes that are judged.

    Returns:
        The new bundle. Its manifest says how it was made and what was lost (`quantisation`).

    Raises:
        QuantisationError: an object is not given, or is never found; or it is quantised already.
        CalibrationError: too few poses of the result are right to calibrate it.
        BundleError, MeshError: see there.
    """
    opened = read_bundle(bundle)
    things = [load_object(source) for source in objects]
    names = {thing.model.name: source for thing, source in zip(things, objects, strict=True)}
    _check(opened, names)
    inputs = record_inputs(opened, things, calibration_frames, seed + 1)
    files = {
        **opened.files,
        **{file: to_int8(opened.files[file], seen) for file, seen in inputs.items()},
    }
    manifest = {
        **opened.manifest,
        "name": f"{opened.name[:123]} int8",
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "objects": [
            {**entry, "network": {**entry["network"], "precision": "int8"}}
            for entry in opened.manifest["objects"]
        ],
        "locator": {**opened.manifest["locator"], "precision": "int8"},
        "quantisation": {
            "of": opened.hash,
            "method": METHOD,
            "calibration": f"{calibration_frames} rendered frames of each object, seed {seed + 1}",
            "judged_on": f"{frames} rendered frames of each object, seed {seed}",
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        draft = uncalibrated(write_bundle(Path(folder) / "draft", manifest, files))
    again = calibrated_objects(opened) if images else []
    for name in again:
        draft = calibrate(draft, names[name], images=images)
    manifest = dict(draft.manifest)
    manifest["quantisation"] |= {"scores": _scores(again, images)}
    before, after = (_accuracy(b, names, frames, seed) for b in (opened, draft))
    times = latencies(opened, draft)
    manifest["quantisation"] |= {"before": before, "after": after, "latency_ms": times}
    manifest["metrics"] = {**after, "data": manifest["quantisation"]["judged_on"]}
    result = write_bundle(out, manifest, files)
    print("\n".join(_lines(opened, result, before, after, times)))
    return result


def _scores(calibrated: Sequence[str], images: int) -> str:
    if not calibrated:
        return "scores and covariances are not calibrated"
    return (
        f"scores and covariances of {', '.join(calibrated)} are calibrated anew on {images} "
        "rendered frames"
    )


def latencies(before: Bundle, after: Bundle) -> dict[str, _Table]:
    """Times of both bundles' networks on this machine, one thread, in the runtimes that are there.

    Returns:
        {file: {runtime: {before, after}}}, ms.
    """
    runtimes = ["onnxruntime"]
    runtimes += ["openvino"] if importlib.util.find_spec("openvino") else []
    opened = {
        (runtime, when): open_backends(bundle, runtime)
        for runtime in runtimes
        for when, bundle in (("before", before), ("after", after))
    }
    tables: dict[str, _Table] = {}
    for spec in (before.locator, *(item.network for item in before.objects)):
        rng = np.random.default_rng(0)
        inputs = [rng.uniform(0, 255, shape).astype(np.float32) for shape in spec.input_shapes]
        times = milliseconds([(backends[spec.file], inputs) for backends in opened.values()])
        tables[spec.file] = {runtime: {} for runtime in runtimes}
        for (runtime, when), ms in zip(opened, times, strict=True):
            tables[spec.file][runtime][when] = round(ms, 3)
    return tables


def _check(bundle: Bundle, names: Mapping[str, str]) -> None:
    require_objects(bundle, names)
    missing = [o.model.name for o in bundle.objects if o.model.name not in names]
    if missing:
        raise QuantisationError(f"the bundle also holds {', '.join(missing)}: give --object for it")
    if bundle.locator.precision != "float32":
        raise QuantisationError("the bundle is quantised already; give the one it was made from")
    for item in bundle.objects:
        if item.network.memory is not None:
            raise QuantisationError(
                f"{item.network.file} is told of earlier images, and ranges are found on single "
                "ones: run the bundle in float32, or quantise one without a temporal cell"
            )


def _accuracy(bundle: Bundle, names: Mapping[str, str], frames: int, seed: int) -> _Table:
    table: _Table = {}
    for name, source in names.items():
        scores = evaluate_rendered(bundle, source, frames=frames, seed=seed).objects[name]
        values = {figure: float(getattr(scores, figure)) for figure in _FIGURES}
        table[name] = {key: value if isfinite(value) else None for key, value in values.items()}
    return table


def _lines(
    before: Bundle, after: Bundle, was: _Table, now: _Table, times: Mapping[str, _Table]
) -> Iterator[str]:
    """What is printed."""
    yield f"{'':36}{'float32':>10}{'int8':>10}{'change':>10}"
    for name, figures in was.items():
        for figure, value in figures.items():
            yield _line(f"{name} {figure}", value, now[name][figure], 4)
    for file, table in times.items():
        was_bytes, now_bytes = len(before.files[file]), len(after.files[file])
        yield _line(f"{file} KiB", was_bytes / 1024, now_bytes / 1024, 0)
        for runtime, pair in table.items():
            yield _line(f"{file} {runtime} ms", pair["before"], pair["after"], 3)
    yield str(after.manifest["quantisation"]["judged_on"])
    yield str(after.manifest["quantisation"]["scores"])


def _line(label: str, was: float | None, now: float | None, digits: int) -> str:
    cells = (was, now, None if was is None or now is None else now - was)
    texts = ["-" if cell is None else f"{cell:.{digits}f}" for cell in cells]
    return f"{label:36}" + "".join(f"{text:>10}" for text in texts)
