# SPDX-License-Identifier: Apache-2.0
"""What the distance costs: ADD-0.1d from keypoints, with the silhouette's help, with the truth.

    fpg-pose pipeline --object spot --out runs/spot
    python benchmarks/distance.py runs/spot/pose-spot

Held-out crops of three difficulties, each judged three times: with the pose from the keypoints,
with its distance corrected by the predicted cover, and with its distance replaced by the true one.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fpg_pose_ros.decode import DecodeParameters
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.silhouette import Silhouette, refine_distance
from offline_search.data.datasets import PoseDataset
from offline_search.data.objects import load_object
from offline_search.metrics.pose_error import add
from offline_search.metrics.recall import ADD_THRESHOLD, recall
from offline_search.retrain import CROP_MARGIN, VALIDATION_SEED
from offline_search.training.loop import load_result
from offline_search.training.pose_validation import distance_evidence, observe, predict, solve

_DIFFICULTIES = {"clean": 0.0, "medium": 0.5, "cluttered": 1.0}


def errors(training: Path, name: str, difficulty: float, count: int) -> dict[str, list[float]]:
    """ADD (m) of each crop by each way to the distance; infinite where there is no pose."""
    result, thing = load_result(training), load_object(name)
    architecture = result.network.architecture
    samples = PoseDataset(
        thing,
        seed=VALIDATION_SEED,
        resolution=architecture.input_size[0],
        layers=1024,
        margin=CROP_MARGIN,
        difficulty=difficulty,
    )
    silhouette, parameters = Silhouette(thing.model.mesh), DecodeParameters.from_extra(result.extra)
    found: dict[str, list[float]] = {"keypoints": [], "silhouette": [], "true distance": []}
    for prediction in predict(result.network, thing.model, samples, range(count)):
        pose = solve(prediction, observe(prediction, architecture, parameters), thing.model)
        if pose is None:
            for column in found.values():
                column.append(np.inf)
            continue
        truth = prediction.T_camera_object
        ratio = distance_evidence(prediction, pose, silhouette, architecture)
        refined = pose if ratio is None else refine_distance(pose, ratio, result.extra)
        exact = pose.T_camera_object.copy()
        exact[:3, 3] *= np.linalg.norm(truth[:3, 3]) / np.linalg.norm(exact[:3, 3])
        poses = (pose.T_camera_object, refined.T_camera_object, exact)
        for column, T in zip(found.values(), poses, strict=True):
            column.append(float(add(T, truth, thing.model.mesh.vertices)))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("training", type=Path, help="folder of a pose network with a mask")
    parser.add_argument("--object", default="spot", help="name or file")
    parser.add_argument("--count", type=int, default=500, help="crops of each difficulty")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        limit = ADD_THRESHOLD * load_object(options.object).model.diameter
        print("| crops | keypoints | silhouette | true distance |\n| --- | --- | --- | --- |")
        for label, difficulty in _DIFFICULTIES.items():
            found = errors(options.training, options.object, difficulty, options.count)
            cells = [f"{recall(np.array(column), limit):.3f}" for column in found.values()]
            print(f"| {label} | {' | '.join(cells)} |")
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
