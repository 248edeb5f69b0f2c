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
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, Camera, apply_affine, exp_so3
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
        # Single precision moves a point by less than a thousandth of a cell.
        self.points = np.einsum("nc,ncd->nd", weights, chosen).astype(np.float32)

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
        rows, columns = (int(np.ceil(side / _CELL_PX)) for side in size)
        # Cells begin at 1: what lies outside the crop goes to a rim around it.
        to_cells = A / _CELL_PX
        to_cells[:, 2] += 0.5 / _CELL_PX + 1.0
        x, y = self._image(T_camera_object, camera, to_cells)
        np.clip(x, 0.0, columns + 1.0, out=x)
        np.clip(y, 0.0, rows + 1.0, out=y)
        across = columns + 2
        # Whole numbers up to 2^24 are exact in single precision.
        cells = (np.floor(y) * across + np.floor(x)).astype(np.intp)
        grid = np.zeros((rows + 2) * across, dtype=np.bool_)
        grid[cells] = True
        inner = grid.reshape(rows + 2, across)[1:-1, 1:-1]
        return float(np.count_nonzero(inner)) * _CELL_PX**2

    def _image(
        self, T_camera_object: Array, camera: Camera, B: Array
    ) -> tuple[NDArray[np.floating[Any]], NDArray[np.floating[Any]]]:
        """The points before the camera at B @ [image_px, 1], B (2, 3): x and y, (n,) each."""
        # Without a lens one matrix leads from the object to homogeneous coordinates in the end.
        matrix = T_camera_object[:3]
        if not camera.distorts:
            matrix = np.vstack([B @ camera.K, [0.0, 0.0, 1.0]]) @ matrix
        mapped = cv2.transform(self.points[None], matrix.astype(np.float32))[0]
        depth = mapped[:, 2]
        if not depth.min() > 0.0:
            mapped = mapped[depth > 0.0]
            depth = mapped[:, 2]
        x, y = mapped[:, 0] / depth, mapped[:, 1] / depth
        if not camera.distorts:
            return x, y
        pixels = camera.project_normalised(np.column_stack([x, y]))
        x, y = apply_affine(B, pixels[np.isfinite(pixels).all(axis=1)]).T
        return x, y


def seen_area(logits: NDArray[np.float32], stride: float) -> float:
    """Returns the cover, crop px^2, that the network predicts; logits (h, w), cells of `stride`."""
    odds = np.exp(np.minimum(-logits, 60.0))  # more is beyond single precision
    return float(np.sum(1.0 / (1.0 + odds), dtype=np.float64)) * stride**2


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
    gradient = t / (t @ t)  # of the log distance; turning does not change it
    P = solution.covariance * scale
    innovation = log_ratio - extra["silhouette_bias"]
    tied = P[:, :3] @ gradient
    variance = float(tied[:3] @ gradient) + extra["silhouette_sigma"] ** 2
    if innovation**2 > _GATE * variance:
        return solution
    step = tied * (innovation / variance)
    T = solution.T_camera_object.copy()
    T[:3, :3] = exp_so3(step[3:]) @ T[:3, :3]
    T[:3, 3] += step[:3]
    covariance = (P - tied[:, None] * (tied / variance)) / scale
    return replace(solution, T_camera_object=T, covariance=covariance)
