# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose evaluate`: judge a bundle by the very estimator that runs on the robot."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from fpg_pose_ros.bundle import Bundle, read_bundle
from offline_search.data.bop import BopDataset
from offline_search.data.bop_image import PoseImages
from offline_search.data.bop_results import write_results
from offline_search.data.linemod import LinemodDataset
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.data.open_source import data_folder
from offline_search.evaluate_bop import bop_exam, object_ids, results_of
from offline_search.evaluate_speed import speed_exam
from offline_search.evaluation import (
    Evaluation,
    EvaluationError,
    format_table,
    geometry_of,
    require_objects,
)
from offline_search.examination import Exam, Image, Sight, Verdict, Wanted, examine
from offline_search.report.gallery import write_gallery
from offline_search.report.visibility import Visibility

_FPS: Final = 30.0


def evaluate_rendered(
    bundle: Bundle,
    name: str,
    *,
    frames: int,
    seed: int,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
) -> Evaluation:
    """Judge a bundle on rendered frames of a moving object among clutter.

    Args:
        bundle: must hold the object.
        name: of the object, or the path of its file.
        frames: how many.
        seed: which scene and motion; another one than the training's.
        backend: what runs the networks, see `fpg_pose_ros.backends`.
        threads: of one inference.
        device: cpu or cuda.
    """
    exam = rendered_exam(bundle, name, frames=frames, seed=seed)
    return examine(bundle, exam, backend=backend, threads=threads, device=device).evaluation


def rendered_exam(
    bundle: Bundle, name: str, *, frames: int, seed: int, visibility: bool = False
) -> Exam:
    """What a bundle is judged on in renders; else as `evaluate_rendered`.

    Args:
        bundle: must hold the object.
        name: of the object, or the path of its file.
        frames: how many.
        seed: which scene and motion.
        visibility: whether it is measured, by further renders, how much is to be seen.
    """
    item = load_object(name)
    require_objects(bundle, [item.model.name])
    scene = LiveScene(item, seed=seed, duration=frames / _FPS, fps=_FPS)
    return Exam(
        data=f"{frames} rendered frames of {item.model.name}, seed {seed}",
        sights=_frames(scene, item.model.name, frames, visibility),
        count=frames,
        geometries={item.model.name: geometry_of(item)},
        up={item.model.name: np.asarray(item.views.up, dtype=np.float64)},
    )


def _frames(scene: LiveScene, name: str, count: int, visibility: bool) -> Iterator[Sight]:
    visible = Visibility(scene) if visibility else None
    for number in range(count):
        frame = scene.frame(number)
        truth = frame.ground_truth[name]
        share = float("nan") if visible is None else visible(truth)
        yield Sight(
            label=f"frame {number}",
            image=frame.image,
            camera=scene.camera,
            wanted=(Wanted(name, truth[None], np.array([share])),),
            again=partial(_image, scene, number),
            stamp_ns=frame.stamp_ns,
        )


def _image(scene: LiveScene, number: int) -> Image:
    return scene.frame(number).image


def evaluate(
    bundle: Path,
    *,
    data: str | None = None,
    split: str | None = None,
    targets: Path | None = None,
    objects: str | None = None,
    rendered: str | None = None,
    frames: int = 300,
    seed: int = 1,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    json_out: Path | None = None,
    results_out: Path | None = None,
    gallery: Path | None = None,
    track: bool = False,
) -> Evaluation:
    """The command: judge a bundle, print the table, and write it as JSON where asked.

    Args:
        bundle: path of the bundle.
        data: `bop:PATH`, `linemod:PATH` or `speed:PATH`; or nothing, for rendered frames.
        split: the dataset's images to judge on; of BOP and LINEMOD test, of SPEED+ synthetic where
            not given.
        targets: see `bop_exam`.
        objects: see `object_ids` and `speed_exam`.
        rendered: for rendered frames: the object's name or file.
        frames: for rendered frames: how many.
        seed: for rendered frames: which motion.
        backend: what runs the networks, see `fpg_pose_ros.backends`.
        threads: of one inference.
        device: cpu or cuda.
        json_out: file for the figures.
        results_out: file for the estimates as BOP's CSV; only with BOP and LINEMOD.
        gallery: folder for a page of the worst and the median cases.
        track: see `examine`; only with rendered frames.

    Raises:
        EvaluationError, DatasetError: it is not clear on what to judge, or that cannot be read.
    """
    opened = read_bundle(bundle)
    if (data is None) == (rendered is None):
        raise EvaluationError(
            "give either --data bop:PATH, linemod:PATH or speed:PATH, or --object NAME"
        )
    if results_out is not None and not (data or "").startswith(("bop:", "linemod:")):
        raise EvaluationError("--results is BOP's table: give --data bop:PATH or linemod:PATH")
    if track and data is not None:
        raise EvaluationError("--track follows things through a film: give --object, not --data")
    keys: list[tuple[int, int]] = []
    if data is not None:
        kind, folder = data_folder(data, "bop", "linemod", "speed")
        if kind == "speed":
            exam = speed_exam(opened, folder, split or "synthetic", objects)
        else:
            open_dataset = BopDataset if kind == "bop" else LinemodDataset
            dataset: PoseImages = open_dataset(folder, split or "test")
            exam, keys = bop_exam(opened, dataset, targets=targets, objects=objects)
    else:
        exam = rendered_exam(
            opened, str(rendered), frames=frames, seed=seed, visibility=gallery is not None
        )
    verdict = examine(opened, exam, backend=backend, threads=threads, device=device, track=track)
    print(format_table(verdict.evaluation))
    if results_out is not None:
        write_results(results_out, results_of(verdict, keys, object_ids(objects, opened)))
    if json_out is not None:
        json_out.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(verdict.evaluation.to_json(), indent=2) + "\n"
        json_out.write_text(text, encoding="utf-8")
    if gallery is not None:
        print(f"gallery: {_gallery(verdict, opened, gallery)}")
    return verdict.evaluation


def _gallery(verdict: Verdict, bundle: Bundle, folder: Path) -> Path:
    evaluation = verdict.evaluation
    models = [item.model for item in bundle.objects if item.model.name in evaluation.objects]
    lead = f"{evaluation.data}: {evaluation.images} images, judged with {evaluation.bundle}."
    footer = f"Bundle {evaluation.bundle}, SHA-256 of its manifest {evaluation.bundle_hash}."
    return write_gallery(folder, verdict.cases, models, lead=lead, footer=footer)
