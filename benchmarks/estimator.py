#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the estimator adds to its networks' own time: one object in a VGA image, one thread.

    python benchmarks/estimator.py [--runs N]

The networks are replaced by recorded outputs, maps of keypoints with noise as a good network gives
them, so that every step does its ordinary work and the table shows that work alone.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.backends import Tensor
from fpg_pose_ros.bundle import Bundle, BundleObject, NetworkSpec
from fpg_pose_ros.decode import DecodeParameters, decode_heatmap
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Array, Camera, apply_affine, exp_so3, make_transform, transform
from fpg_pose_ros.localise import Box, locate
from fpg_pose_ros.memory import Glimpse, MemorySpec, past_features
from fpg_pose_ros.preprocess import letterbox_affine, resample, to_tensor
from fpg_pose_ros.steps import crop_affine, solve_observations, to_image
from offline_search.data.objects import load_object

CROP, FRAME, STRIDE, LOCATOR_STRIDE = (128, 128), (168, 224), 4, 8
CAMERA = Camera(640, 480, np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]]))
LENS = Camera(640, 480, CAMERA.K, np.array([-0.28, 0.09, 0.001, -0.001, 0.0]), "plumb_bob")
SIGMA_CELLS = 1.25
MEMORY = MemorySpec(lags=(1, 2, 4), channels=96, size=(8, 8), stride=16, fps=30.0)


class Recorded:
    """A backend that gives the same outputs every time."""

    runtime = "recorded"

    def __init__(self, outputs: tuple[Tensor, ...]) -> None:
        """Takes what it will give."""
        self.outputs = outputs

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Returns the recorded outputs."""
        return self.outputs


def gaussian_maps(centres: Array, cells: tuple[int, int]) -> Tensor:
    """Logits (1, K, h, w) of Gaussians around cell coordinates (K, 2)."""
    y, x = np.mgrid[: cells[0], : cells[1]]
    squared = (x - centres[:, 0, None, None]) ** 2 + (y - centres[:, 1, None, None]) ** 2
    return (-squared / (2 * SIGMA_CELLS**2))[None].astype(np.float32)


def spot_bundle() -> Bundle:
    """A bundle whose networks are yet to be put in."""
    extra = {"stride": STRIDE, "crop_margin": 1.28, "sigma_px": SIGMA_CELLS * STRIDE}
    pose = NetworkSpec("pose.onnx", "heatmap", CROP, 0, 0, extra=extra)
    locator = NetworkSpec("locator.onnx", "locator", FRAME, 0, 0, extra={"stride": LOCATOR_STRIDE})
    model = load_object("spot").model
    return Bundle("recorded", "", {}, (BundleObject(model, pose),), locator, {})


def record(bundle: Bundle, camera: Camera, T: Array) -> tuple[dict[str, Recorded], Box]:
    """The outputs that good networks would give for a pose, and the box."""
    rng = np.random.default_rng(0)
    model, spec = bundle.objects[0].model, bundle.objects[0].network
    pixels = camera.project(transform(T, model.mesh.vertices))
    box: Box = (*pixels.min(axis=0).tolist(), *pixels.max(axis=0).tolist())
    keypoints = camera.project(transform(T, model.keypoints))
    in_crop = apply_affine(crop_affine(box, spec), keypoints)
    in_crop += rng.normal(scale=0.8, size=in_crop.shape)
    maps = gaussian_maps((in_crop + 0.5) / STRIDE - 0.5, (32, 32))
    corners = apply_affine(letterbox_affine((480, 640), FRAME), np.reshape(box, (2, 2)))
    corners = (corners + 0.5) / LOCATOR_STRIDE - 0.5
    heat = gaussian_maps(corners.mean(axis=0, keepdims=True), (21, 28)) + 3
    column, row = np.round(corners.mean(axis=0))
    sides = np.abs(corners - [column, row]).ravel()
    sides = np.tile(sides[None, :, None, None], (1, 1, 21, 28)).astype(np.float32)
    return {"pose.onnx": Recorded((maps,)), "locator.onnx": Recorded((heat, sides))}, box


def measure(step: Callable[[], object], runs: int) -> NDArray[np.float64]:
    """Durations (runs,) of a step in microseconds."""
    for _ in range(20):
        step()
    spent = np.empty(runs)
    for run in range(runs):
        start = time.perf_counter()
        step()
        spent[run] = 1e6 * (time.perf_counter() - start)
    return spent


def steps(
    bundle: Bundle, camera: Camera, T: Array, image: NDArray[np.uint8]
) -> dict[str, Callable[[], object]]:
    """Each step of the estimator alone, then all of it."""
    recorded, box = record(bundle, camera, T)
    item = bundle.objects[0]
    letterbox, crop = letterbox_affine((480, 640), FRAME), crop_affine(box, item.network)
    small, window = resample(image, letterbox, FRAME), resample(image, crop, CROP)
    heat, sides = recorded["locator.onnx"].outputs
    parameters = DecodeParameters.from_extra(item.network.extra)
    maps = recorded["pose.onnx"].outputs[0][0]
    seen = to_image(decode_heatmap(maps, STRIDE, parameters), crop)
    estimator = Estimator(bundle, backend=recorded)
    glimpse = Glimpse(np.ones(MEMORY.given, np.float32), crop, camera)
    return {
        "letterbox": lambda: resample(image, letterbox, FRAME),
        "tensor, locator": lambda: to_tensor(small, bundle.locator),
        "locate": lambda: locate(
            heat[0], sides[0], stride=LOCATOR_STRIDE, A=letterbox, min_score=0.2
        ),
        "crop": lambda: resample(image, crop, CROP),
        "tensor, crop": lambda: to_tensor(window, item.network),
        "align 3x96x8x8": lambda: past_features(MEMORY, [glimpse] * 3, 1.01 * crop, camera),
        "decode 16x32x32": lambda: decode_heatmap(maps, STRIDE, parameters),
        "back to the image": lambda: to_image(seen, crop),
        "normalise and solve": lambda: solve_observations(item.model, seen, camera),
        "estimate, all of it": lambda: estimator.estimate(image, camera),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=1000)
    runs = parser.parse_args(arguments).runs
    cv2.setNumThreads(1)
    bundle = spot_bundle()
    T = make_transform(exp_so3([0.4, 2.2, -0.3]), [0.06, -0.03, 0.7])
    image = np.random.default_rng(0).integers(0, 255, (480, 640, 3), dtype=np.uint8)
    tables = {
        name: {step: measure(run, runs) for step, run in steps(bundle, camera, T, image).items()}
        for name, camera in (("pinhole", CAMERA), ("distorted", LENS))
    }
    print(f"{'us':<22}" + "".join(f"{name + ' p50':>15}{'p99':>9}" for name in tables))
    for step in tables["pinhole"]:
        cells = (np.percentile(table[step], (50, 99)) for table in tables.values())
        print(f"{step:<22}" + "".join(f"{p50:>15.0f}{p99:>9.0f}" for p50, p99 in cells))


if __name__ == "__main__":
    main()
