# SPDX-License-Identifier: Apache-2.0
"""Pinhole cameras and their lens distortion, applied to points and never to whole images."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Final, Literal, get_args

import cv2
import numpy as np
from numpy.typing import ArrayLike

from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry.crop import apply_affine, invert_affine
from fpg_pose_ros.geometry.types import Array

CameraModel = Literal["pinhole", "plumb_bob", "rational_polynomial", "equidistant"]

# How many distortion coefficients each model takes (ROS's and OpenCV's order).
_COEFFICIENTS: Final[dict[str, tuple[int, ...]]] = {
    "pinhole": (0,),
    "plumb_bob": (0, 4, 5),
    "rational_polynomial": (8, 12, 14),
    "equidistant": (4,),
}
# A pixel whose undistorted ray does not come back to it within this many pixels has no inverse.
_ROUND_TRIP_PX: Final = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """A pinhole camera with an optional lens distortion, in the models of ROS's CameraInfo.

    Attributes:
        width, height: image size, px.
        K: (3, 3) intrinsics for centre-at-integer pixels.
        distortion: (n,) coefficients in ROS's and OpenCV's order; empty for none.
        model: how `distortion` is read.

    Raises:
        CameraError: a field is not usable; the message names it.
    """

    width: int
    height: int
    K: Array
    distortion: Array = field(default_factory=lambda: np.zeros(0))
    model: CameraModel = "pinhole"

    def __post_init__(self) -> None:
        """Checks every field and makes the arrays read-only float64."""
        for name in ("width", "height"):
            size = getattr(self, name)
            if isinstance(size, bool) or not isinstance(size, (int, np.integer)) or size <= 0:
                raise CameraError(
                    f"camera {name} is {size!r}; it must be a positive whole number of pixels"
                )
        object.__setattr__(self, "K", _checked_intrinsics(self.K))
        object.__setattr__(self, "distortion", _checked_distortion(self.distortion, self.model))

    @property
    def fx(self) -> float:
        """Horizontal focal length, px."""
        return float(self.K[0, 0])

    @property
    def fy(self) -> float:
        """Vertical focal length, px."""
        return float(self.K[1, 1])

    @cached_property
    def distorts(self) -> bool:
        """Whether the lens bends anything; an equidistant one does even with zeros."""
        return self.model == "equidistant" or bool(np.any(self.distortion))

    def is_like(self, other: Camera) -> bool:
        """Whether both show a thing at the same pixels."""
        return self is other or (
            (self.width, self.height, self.model) == (other.width, other.height, other.model)
            and np.array_equal(self.K, other.K)
            and np.array_equal(self.distortion, other.distortion)
        )

    @cached_property
    def _inverse(self) -> Array:
        """(2, 3), from pixels to coordinates at z = 1 where there is no distortion."""
        return invert_affine(self.K[:2])

    def project(self, points_camera: ArrayLike) -> Array:
        """Projects points (N, 3) of the camera frame (m) to pixels (N, 2), lens distortion and all.

        Points that are not in front of the camera (z <= 0) give NaN.
        """
        points = np.asarray(points_camera, dtype=np.float64).reshape(-1, 3)
        depth = points[:, 2:]
        if not depth.min(initial=np.inf) > 0:
            depth = np.where(depth > 0, depth, np.nan)
        return self.project_normalised(points[:, :2] / depth)

    def project_normalised(self, normalised: ArrayLike) -> Array:
        """Maps ideal image coordinates (N, 2) at z = 1 to pixels (N, 2), undoing `normalise`."""
        xy = np.asarray(normalised, dtype=np.float64).reshape(-1, 2)
        if not self.distorts or len(xy) == 0:
            return apply_affine(self.K[:2], xy)
        if self.model == "equidistant":
            bent = cv2.fisheye.distortPoints(xy[None], self.K, self.distortion)[0]
        elif self.distortion[12:].any():  # a tilted sensor
            rays, zero = np.column_stack([xy, np.ones(len(xy))]), np.zeros(3)
            bent = cv2.projectPoints(rays, zero, zero, self.K, self.distortion)[0][:, 0]
        else:
            bent = _bent(xy, self.distortion) * [self.fx, self.fy] + self.K[:2, 2]
        return np.asarray(bent, dtype=np.float64)

    def normalise(self, pixels: ArrayLike) -> Array:
        """Maps pixels (N, 2) to undistorted image coordinates (N, 2): the ray of each is (x, y, 1).

        Pixels that the lens model cannot have produced (where it folds back) give NaN.
        """
        px = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        if not self.distorts or len(px) == 0:
            return apply_affine(self._inverse, px)
        if self.model == "equidistant":
            straight = cv2.fisheye.undistortPoints(px[None], self.K, self.distortion)[0]
        else:
            enough = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 100, 1e-10)
            straight = cv2.undistortPointsIter(
                px[:, None], self.K, self.distortion, np.eye(3), np.eye(3), enough
            )[:, 0]
        xy = np.array(straight, dtype=np.float64)
        wrong = ~(np.abs(self.project_normalised(xy) - px).max(axis=1) < _ROUND_TRIP_PX)
        xy[wrong] = np.nan
        return xy

    def normalise_gaussian(self, pixels: ArrayLike, covariances: ArrayLike) -> tuple[Array, Array]:
        """Maps pixels (N, 2) with covariances (N, 2, 2) px^2 to normalised coordinates with theirs.

        The covariance goes through the local Jacobian: exactly 1/f without distortion, else by
        differences of a quarter pixel, which also costs only points.
        """
        px = np.asarray(pixels, dtype=np.float64).reshape(-1, 2)
        cov = np.asarray(covariances, dtype=np.float64)
        if not self.distorts:
            inverse = self._inverse[:, :2]
            return self.normalise(px), inverse @ cov @ inverse.T
        step = 0.25
        shifts = np.array([[0.0, 0.0], [step, 0.0], [-step, 0.0], [0.0, step], [0.0, -step]])
        xy = self.normalise((px + shifts[:, None]).reshape(-1, 2)).reshape(5, -1, 2)
        jacobian = np.stack([xy[1] - xy[2], xy[3] - xy[4]], axis=-1) / (2.0 * step)
        return xy[0], jacobian @ cov @ np.swapaxes(jacobian, 1, 2)


def _bent(xy: Array, distortion: Array) -> Array:
    """Bends coordinates (N, 2) as plumb_bob and rational_polynomial lenses do but for a tilt.

    The formula is that of `cv2.projectPoints`, which also derives it and so takes milliseconds for
    thousands of points.
    """
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = [*distortion.tolist(), *[0.0] * 12][:12]
    x, y = np.ascontiguousarray(xy.T)
    xx, yy, both = x * x, y * y, 2.0 * x * y
    r2 = xx + yy
    radial = 1.0 + r2 * (k1 + r2 * (k2 + r2 * k3))
    if k4 or k5 or k6:
        radial /= 1.0 + r2 * (k4 + r2 * (k5 + r2 * k6))
    bent = np.empty_like(xy)
    bent[:, 0] = x * radial + p1 * both + p2 * (r2 + 2.0 * xx) + r2 * (s1 + r2 * s2)
    bent[:, 1] = y * radial + p2 * both + p1 * (r2 + 2.0 * yy) + r2 * (s3 + r2 * s4)
    return bent


def _checked_intrinsics(value: ArrayLike) -> Array:
    try:
        K = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise CameraError(f"camera K is not a 3x3 matrix of numbers: {value!r}") from None
    if K.shape != (3, 3):
        raise CameraError(f"camera K has shape {K.shape}; it must be 3x3")
    for name, (row, column) in {
        "fx": (0, 0),
        "fy": (1, 1),
        "cx": (0, 2),
        "cy": (1, 2),
        "skew": (0, 1),
    }.items():
        if not np.isfinite(K[row, column]):
            raise CameraError(
                f"camera {name} is {K[row, column]}; calibrate the camera, it must be finite"
            )
    for name, focal in {"fx": K[0, 0], "fy": K[1, 1]}.items():
        if focal <= 0:
            raise CameraError(
                f"camera {name} is {focal}; calibrate the camera, it must be positive"
            )
    if not np.array_equal(K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
        raise CameraError("camera K must have the form [[fx, s, cx], [0, fy, cy], [0, 0, 1]]")
    K.flags.writeable = False
    return K


def _checked_distortion(value: ArrayLike, model: str) -> Array:
    if model not in _COEFFICIENTS:
        known = ", ".join(get_args(CameraModel))
        raise CameraError(f"camera distortion model {model!r} is not known; use one of {known}")
    try:
        distortion = np.array(value, dtype=np.float64).reshape(-1)
    except (TypeError, ValueError):
        raise CameraError(f"camera distortion is not a list of numbers: {value!r}") from None
    if not np.isfinite(distortion).all():
        raise CameraError(
            f"camera distortion holds a value that is not finite: {distortion.tolist()}"
        )
    if model == "pinhole" and not distortion.any():
        distortion = np.zeros(0)
    if len(distortion) not in _COEFFICIENTS[model]:
        counts = " or ".join(map(str, _COEFFICIENTS[model]))
        raise CameraError(
            f"camera distortion has {len(distortion)} coefficients; model {model!r} takes {counts}"
        )
    distortion.flags.writeable = False
    return distortion
