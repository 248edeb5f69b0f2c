# SPDX-License-Identifier: Apache-2.0
"""A small world that can be drawn in microseconds: a wire tetrahedron with coloured corners."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fpg_pose_ros.geometry import CropBox, Symmetries, exp_so3, make_transform, transform
from fpg_pose_ros.objects import Mesh, ObjectModel
from offline_search.space import Architecture, Head, Stage

RESOLUTION = 32
K = np.array([[300.0, 0, 160.0], [0, 300.0, 120.0], [0, 0, 1.0]])
CORNERS = np.array(
    [[0.1, 0.1, 0.1], [0.1, -0.1, -0.1], [-0.1, 0.1, -0.1], [-0.1, -0.1, 0.1], [0, 0, 0.12]]
)
FACES = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2], [0, 4, 3]], np.int32)
COLORS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0], [255, 0, 255]])


def tetrahedron(symmetries: Symmetries | None = None) -> ObjectModel:
    mesh = Mesh(CORNERS, FACES, COLORS.astype(np.uint8))
    return ObjectModel("tetra", 0.283, CORNERS, {}, symmetries or Symmetries(), mesh)


@dataclass(frozen=True)
class DrawnSample:
    image: np.ndarray
    mask: np.ndarray
    keypoints: np.ndarray
    T_camera_object: np.ndarray
    K: np.ndarray
    A: np.ndarray
    visible_fraction: float = 1.0


@dataclass(frozen=True)
class DrawnPoses:
    """Sample i depends on (seed, i) alone."""

    seed: int
    turn: float = 0.5
    resolution: int = RESOLUTION
    side: float = 150.0

    def __getitem__(self, index: int) -> DrawnSample:
        rng = np.random.default_rng((self.seed, index))
        rotation = exp_so3(rng.normal(size=3) * self.turn)
        T = make_transform(rotation, np.array([*rng.uniform(-0.1, 0.1, 2), rng.uniform(0.6, 0.9)]))
        points = transform(T, CORNERS) @ K.T
        pixels = points[:, :2] / points[:, 2:]
        centre = pixels.mean(axis=0) + rng.uniform(-5, 5, 2)
        A = CropBox(float(centre[0]), float(centre[1]), self.side).affine(self.resolution)
        labels = pixels @ A[:, :2].T + A[:, 2]
        image = np.full((self.resolution, self.resolution, 3), rng.integers(60, 120), np.uint8)
        for point, color in zip(labels, COLORS, strict=True):
            centre16 = tuple(round(float(v) * 16) for v in point)
            cv2.circle(image, centre16, 2 * 16, tuple(map(int, color)), -1, cv2.LINE_AA, 4)
        mask = np.zeros(image.shape[:2], np.uint8)
        for face in FACES:
            cv2.fillConvexPoly(mask, np.round(labels[face] * 16).astype(np.int32), 255, 8, 4)
        return DrawnSample(image, mask, labels, T, K, A)


def tiny(kind: str = "heatmap", outputs: int = 5, *, mask: bool = False) -> Architecture:
    stages = (Stage(16, 2, (("mb_k3_e3",),)), Stage(32, 2, (("mb_k3_e3",), ("sep_k3",))))
    widths = {"heatmap": (24,), "simcc": (32,), "locator": (16,)}
    size = (64, 64) if kind == "locator" else (RESOLUTION, RESOLUTION)
    return Architecture(size, 8, 8, stages, Head(kind, widths[kind], outputs, mask=mask))
