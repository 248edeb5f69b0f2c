# SPDX-License-Identifier: Apache-2.0
"""How far away an object is, from how large it looks.

Keypoints fix the direction of an object well and its distance badly: their errors are alike, and a
common scale error of 3 % is 3 % of the distance. How much of the crop the object covers is
independent evidence. The network predicts the cover of the whole object, hidden parts included; it
is compared with the cover of the mesh at the pose from the keypoints, and both are weighed by
their uncertainty (one step of a Kalman filter on the pose).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, Camera, apply_affine, exp_so3, transform
from fpg_pose_ros.objects import Mesh
from fpg_pose_ros.solve import PnPSolution

# Enough points that a cell of the grid inside the outline is hardly ever missed.
_POINTS: Final = 8000
_CELL_PX: Final = 2.0
# Below this cover, crop px^2, an outline says nothing.
_LEAST_AREA: Final = 64.0
# Squared deviations beyond which the two kinds of evidence contradict each other: one of them is
# an outlier, and the keypoints, which agree among themselves, are kept.
_GATE: Final = 25.0


class Silhouette:
    """The outline of a mesh at any pose, as a cloud of points on its surface."""

    def __init__(self, mesh: Mesh) -> None:
        """Spreads points evenly over the surface; the same ones every time."""
        corners = mesh.vertices[mesh.faces]
        normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        share = np.linalg.norm(normals, axis=1).cumsum()
        rng = np.random.default_rng(0)
        places = (np.arange(_POINTS) + 0.5) / _POINTS * share[-1]
        chosen = corners[np.searchsorted(share, places)]
        u, v = np.sort(rng.random((2, _POINTS)), axis=0)
        weights = np.stack([u, v - u, 1.0 - v], axis=1)
        self.points = np.einsum("nc,ncd->nd", weights, chosen)

    def area(
        self, T_camera_object: Array, camera: Camera, A: Array, size: tuple[int, int]
    ) -> float:
        """Returns how much of a crop the object covers, crop px^2; parts outside do not count.

        Args:
            T_camera_object: (4, 4) pose, m.
            camera: of the full image.
            A: (2, 3), crop_px = A @ [image_px, 1].
            size: (height, width) of the crop, px.
        """
        pixels = apply_affine(A, camera.project(transform(T_camera_object, self.points)))
        cells = np.floor((pixels[np.isfinite(pixels).all(axis=1)] + 0.5) / _CELL_PX)
        rows, columns = (int(np.ceil(side / _CELL_PX)) for side in size)
        inside = (cells >= 0).all(axis=1) & (cells[:, 0] < columns) & (cells[:, 1] < rows)
        grid = np.zeros(rows * columns, dtype=np.bool_)
        grid[(cells[inside, 1] * columns + cells[inside, 0]).astype(np.int64)] = True
        return float(grid.sum()) * _CELL_PX**2


def seen_area(logits: NDArray[np.float32], stride: float) -> float:
    """Returns the cover, crop px^2, that the network predicts; logits (h, w), cells of `stride`."""
    return float(np.sum(1.0 / (1.0 + np.exp(-logits.astype(np.float64))))) * stride**2


def log_distance_ratio(rendered: float, seen: float) -> float | None:
    """Returns the log of true over assumed distance that two covers speak for; None: too small.

    Cover falls with the square of the distance.
    """
    if min(rendered, seen) < _LEAST_AREA:
        return None
    return 0.5 * float(np.log(rendered / seen))


def refine_distance(
    solution: PnPSolution, log_ratio: float, extra: Mapping[str, float]
) -> PnPSolution:
    """Returns the pose with the evidence of `log_distance_ratio` taken in.

    Args:
        solution: from keypoints; its covariance times `pose_covariance_scale` is believed.
        log_ratio: see `log_distance_ratio`.
        extra: `silhouette_bias` and `silhouette_sigma`, mean and standard deviation of the log
            ratio's error on held-out data; `pose_covariance_scale`.
    """
    scale = extra.get("pose_covariance_scale", 1.0)
    t = solution.T_camera_object[:3, 3]
    gradient = np.concatenate([t / (t @ t), np.zeros(3)])  # of the log distance
    P = solution.covariance * scale
    innovation = log_ratio - extra["silhouette_bias"]
    variance = float(gradient @ P @ gradient) + extra["silhouette_sigma"] ** 2
    if innovation**2 > _GATE * variance:
        return solution
    gain = P @ gradient / variance
    step = gain * innovation
    T = solution.T_camera_object.copy()
    T[:3, :3] = exp_so3(step[3:]) @ T[:3, :3]
    T[:3, 3] += step[:3]
    covariance = (P - np.outer(gain, gradient @ P)) / scale
    return replace(solution, T_camera_object=T, covariance=0.5 * (covariance + covariance.T))
