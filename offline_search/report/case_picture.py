# SPDX-License-Identifier: Apache-2.0
"""A case drawn: the part of its image that matters, the true pose and the one that was said."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import cv2
import numpy as np

from fpg_pose_ros.geometry import Array, Camera, transform
from fpg_pose_ros.objects import ObjectModel
from fpg_pose_ros.overlay import PALETTE, draw_axes, silhouette
from offline_search.report.case import Case, Image
from offline_search.report.pictures import as_estimate

#: Of the pictures, px.
SIZE: Final = (480, 360)
_WHITE: Final = (255, 255, 255)
_DARK: Final = (18, 18, 18)
_MARGIN: Final = 1.5
# Smaller parts of an image would show pixels, not things.
_LEAST_PX: Final = 160.0
_NEAR: Final = 0.02  # m


def draw_case(case: Case, model: ObjectModel) -> Image:
    """The picture (360, 480, 3): in white the true outline, in yellow the estimate and its axes."""
    poses = [(case.truth, _WHITE)]
    if case.estimate is not None:
        poses.append((case.estimate.T_camera_object, PALETTE[0]))
    # A pose that reaches behind the camera cannot be drawn.
    drawn = [(T, c) for T, c in poses if transform(T, model.mesh.vertices)[:, 2].min() > _NEAR]
    pixels = [case.camera.project(transform(T, model.mesh.vertices)) for T, _ in drawn]
    x0, y0, x1, y1 = window(pixels, (case.camera.width, case.camera.height))
    scale = SIZE[0] / (x1 - x0)
    canvas = np.asarray(
        cv2.resize(
            case.read()[y0:y1, x0:x1],
            SIZE,
            interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC,
        ),
        dtype=np.uint8,
    )
    camera = _window_camera(case.camera, (x0, y0), (SIZE[0] / (x1 - x0), SIZE[1] / (y1 - y0)))
    for T, colour in drawn:
        _outline(canvas, silhouette(model.mesh, camera, as_estimate(T, camera, model)), colour)
        if colour != _WHITE:
            draw_axes(canvas, camera, T, model.diameter)
    return canvas


def window(pixels: list[Array], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part x0, y0, x1, y1 of an image, of the pictures' shape, that holds points.

    Args:
        pixels: arrays (N, 2) of points to be shown, as far as they are in the image.
        size: (width, height) of the image.
    """
    aspect = SIZE[0] / SIZE[1]
    widest = min(size[0], size[1] * aspect)
    limit = np.array(size, dtype=np.float64) - 1
    points = np.concatenate([*pixels, np.zeros((0, 2))])
    points = np.clip(points[np.isfinite(points).all(axis=1)], 0, limit)
    low, high = (points.min(axis=0), points.max(axis=0)) if len(points) else (0 * limit, limit)
    across, along = high - low
    width = float(np.clip(_MARGIN * max(across, along * aspect), min(_LEAST_PX, widest), widest))
    sides = np.array([width, width / aspect])
    corner = np.clip((low + high - sides) / 2, 0, np.array(size) - sides)
    x0, y0 = np.floor(corner).astype(int)
    x1, y1 = np.minimum(np.round(corner + sides).astype(int), size)
    return int(x0), int(y0), int(x1), int(y1)


def _outline(canvas: Image, mask: Image, colour: tuple[int, int, int]) -> None:
    """Bolder than an overlay's, as these pictures are looked at small."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for tone, width in ((_DARK, 5), (colour, 2)):
        cv2.drawContours(canvas, contours, -1, tone, width, cv2.LINE_AA)


def _window_camera(camera: Camera, corner: tuple[int, int], scale: tuple[float, float]) -> Camera:
    """The camera that sees a part of the image alone, enlarged; pixel centres are whole numbers."""
    K = camera.K.copy()
    for axis in (0, 1):
        K[axis, 2] += 0.5 - corner[axis]
        K[axis] *= scale[axis]
        K[axis, 2] -= 0.5
    return replace(camera, width=SIZE[0], height=SIZE[1], K=K)
