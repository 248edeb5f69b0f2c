# SPDX-License-Identifier: Apache-2.0
"""The estimator's steps from a box in the image to a pose, as functions to be put together."""

from __future__ import annotations

import math

import numpy as np

from fpg_pose_ros.backends import Tensor
from fpg_pose_ros.bundle import NetworkSpec
from fpg_pose_ros.decode import (
    DecodeParameters,
    KeypointObservations,
    decode_heatmap,
    decode_simcc,
)
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.geometry import Array, Camera, CropBox, apply_affine, invert_affine
from fpg_pose_ros.localise import Box
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.silhouette import (
    Silhouette,
    log_distance_ratio,
    refine_distance,
    seen_area,
)
from fpg_pose_ros.solve import PnPSolution, solve_pnp


class RejectedError(FpgPoseError):
    """A detection gave no pose that can be trusted; the message says why."""


def crop_affine(box: Box, spec: NetworkSpec) -> Array:
    """Returns A (2, 3), crop_px = A @ [image_px, 1], of the square crop around a box.

    Raises:
        RejectedError: the box has no size.
    """
    x0, y0, x1, y1 = box
    side = max(x1 - x0, y1 - y0) * spec.extra["crop_margin"]
    if not 1.0 < side < 1e6:
        raise RejectedError(f"its box is {x1 - x0:.1f} x {y1 - y0:.1f} px")
    return CropBox(0.5 * (x0 + x1), 0.5 * (y0 + y1), side).affine(spec.input_size[0])


def decode(
    outputs: tuple[Tensor, ...], spec: NetworkSpec, parameters: DecodeParameters
) -> KeypointObservations:
    """Reads a pose network's outputs as its kind demands; positions in crop px."""
    if spec.kind == "simcc":
        return decode_simcc(outputs[0][0], outputs[1][0], spec.extra["bins_per_pixel"], parameters)
    maps = outputs[0][0][:-1] if spec.has_mask else outputs[0][0]
    return decode_heatmap(maps, spec.extra["stride"], parameters)


def to_image(observations: KeypointObservations, A: Array) -> KeypointObservations:
    """Maps observations in crop px back to image px; A as in `crop_affine`."""
    back = invert_affine(A)
    return KeypointObservations(
        pixels=apply_affine(back, observations.pixels),
        covariances=back[:, :2] @ observations.covariances @ back[:, :2].T,
        confidence=observations.confidence,
    )


def solve_observations(
    model: ObjectModel, observations: KeypointObservations, camera: Camera
) -> PnPSolution:
    """Solves for the pose from observations in image px.

    Raises:
        SolveError: they determine no pose.
    """
    normalised, covariances = camera.normalise_gaussian(
        observations.pixels, observations.covariances
    )
    return solve_pnp(model.keypoints, normalised, covariances)


def refine(
    solution: PnPSolution,
    outputs: tuple[Tensor, ...],
    spec: NetworkSpec,
    silhouette: Silhouette,
    camera: Camera,
    A: Array,
) -> PnPSolution:
    """Corrects the distance by the cover that the network predicts; A as in `crop_affine`."""
    ratio = log_distance_ratio(
        silhouette.area(solution.T_camera_object, camera, A, spec.input_size),
        seen_area(outputs[0][0][-1], spec.extra["stride"]),
    )
    return solution if ratio is None else refine_distance(solution, ratio, spec.extra)


def reprojection_error(
    model: ObjectModel, camera: Camera, observations: KeypointObservations, solution: PnPSolution
) -> float:
    """Root mean square distance (image px) of the inliers from the projected keypoints.

    Each weighs by how sure it is: what the network could not see says nothing of the pose.
    """
    T, inliers = solution.T_camera_object, solution.inliers
    points, seen, covariances = model.keypoints, observations.pixels, observations.covariances
    if not inliers.all():
        points, seen, covariances = points[inliers], seen[inliers], covariances[inliers]
    missed = camera.project(points @ T[:3, :3].T + T[:3, 3]) - seen
    weights = 1.0 / (covariances[:, 0, 0] + covariances[:, 1, 1])
    return math.sqrt(float(weights @ np.einsum("ki,ki->k", missed, missed) / weights.sum()))
