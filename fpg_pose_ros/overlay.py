# SPDX-License-Identifier: Apache-2.0
"""Poses drawn into their image: outline of the mesh, axes of the object, name and score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, Camera, transform
from fpg_pose_ros.objects import Mesh, ObjectModel

Image = NDArray[np.uint8]
Colour = tuple[int, int, int]

#: Outlines by object, chosen to be told apart with any colour vision (Okabe and Ito 2008).
PALETTE: Final[tuple[Colour, ...]] = (
    (240, 228, 66),
    (86, 180, 233),
    (230, 159, 0),
    (204, 121, 167),
    (0, 158, 115),
    (213, 94, 0),
    (0, 114, 178),
)
_AXES: Final[tuple[Colour, ...]] = ((235, 60, 50), (60, 200, 70), (60, 110, 245))
_DARK: Final[Colour] = (18, 18, 18)
_LIGHT: Final[Colour] = (255, 255, 255)
# Coordinates go to OpenCV in sixteenths of a pixel, for smooth lines.
_SHIFT: Final = 4
_FONT: Final = cv2.FONT_HERSHEY_SIMPLEX
# Of the object's axes, in diameters.
_AXIS_LENGTH: Final = 0.5


class _Panel(NamedTuple):
    left: int
    top: int
    width: int
    height: int

    def overlaps(self, other: _Panel) -> bool:
        across = abs(2 * (self.left - other.left) + self.width - other.width)
        along = abs(2 * (self.top - other.top) + self.height - other.height)
        return across < self.width + other.width and along < self.height + other.height


def draw(
    image: Image, camera: Camera, estimates: Iterable[PoseEstimate], objects: Sequence[ObjectModel]
) -> Image:
    """Draws estimates into a copy of their image.

    Args:
        image: (H, W, 3) uint8 RGB.
        camera: of this image.
        estimates: poses in it; those of other objects than `objects` are left out.
        objects: the models, in a fixed order, from which colours are given.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    canvas = image.copy()
    known = {model.name: index for index, model in enumerate(objects)}
    shown = [estimate for estimate in estimates if estimate.object_name in known]
    for estimate in sorted(shown, key=lambda item: -item.T_camera_object[2, 3]):  # far to near
        index = known[estimate.object_name]
        colour = PALETTE[index % len(PALETTE)]
        draw_outline(canvas, silhouette(objects[index].mesh, camera, estimate), colour)
        draw_axes(canvas, camera, estimate.T_camera_object, objects[index].diameter)
    panels: list[_Panel] = []
    for estimate in shown:
        panel, text = _label(canvas, estimate, panels)
        panels.append(panel)
        _draw_label(canvas, panel, text, PALETTE[known[estimate.object_name] % len(PALETTE)])
    return canvas


def silhouette(mesh: Mesh, camera: Camera, estimate: PoseEstimate) -> Image:
    """Returns a mask (H, W) uint8, 255 where the mesh is seen; empty when it reaches behind."""
    mask = np.zeros((camera.height, camera.width), dtype=np.uint8)
    pixels = camera.project(transform(estimate.T_camera_object, mesh.vertices))
    if not np.isfinite(pixels).all() or np.abs(pixels).max() > 1e5:
        return mask
    for triangle in _fixed_point(pixels)[mesh.faces]:
        cv2.fillConvexPoly(mask, triangle, 255, cv2.LINE_8, _SHIFT)
    return mask


def draw_outline(canvas: Image, mask: Image, colour: Colour) -> None:
    """Draws the outline of a mask (H, W) into an image (H, W, 3)."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    width = _line_width(canvas)
    cv2.drawContours(canvas, contours, -1, _DARK, width + 2, cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, colour, width, cv2.LINE_AA)


def draw_axes(canvas: Image, camera: Camera, T_camera_object: Array, diameter: float) -> None:
    """Draws x, y and z of an object (red, green, blue) into an image; not where it is behind."""
    ends = np.vstack([np.zeros(3), _AXIS_LENGTH * diameter * np.eye(3)])
    points = transform(T_camera_object, ends)
    pixels = camera.project(points)
    if not np.isfinite(pixels).all() or np.abs(pixels).max() > 1e5:
        return
    fixed, width = _fixed_point(pixels), _line_width(canvas) + 1
    for axis in np.argsort(-points[1:, 2]):  # the nearest axis last, over the others
        start, end = tuple(fixed[0].tolist()), tuple(fixed[axis + 1].tolist())
        for colour, extra in ((_DARK, 2), (_AXES[axis], 0)):
            cv2.line(canvas, start, end, colour, width + extra, cv2.LINE_AA, _SHIFT)


def _label(canvas: Image, estimate: PoseEstimate, taken: list[_Panel]) -> tuple[_Panel, str]:
    """Places one label above its box, inside the image and clear of those placed before."""
    number = f" #{estimate.instance_id}" if estimate.instance_id else ""
    distance = float(np.linalg.norm(estimate.T_camera_object[:3, 3]))
    text = f"{estimate.object_name}{number}  {estimate.score:.2f}  {distance:.2f} m"
    scale, thickness = _text_style(canvas)
    (text_width, text_height), _ = cv2.getTextSize(text, _FONT, scale, thickness)
    width, height = text_width + 2 * text_height, 2 * text_height
    left = int(np.clip(estimate.box[0], 0, max(0, canvas.shape[1] - width)))
    top = int(np.clip(estimate.box[1] - 1.3 * height, 0, max(0, canvas.shape[0] - height)))
    panel = _Panel(left, top, width, height)
    for other in sorted(taken, key=lambda item: -item.top):
        if panel.overlaps(other) and other.top >= height:
            panel = panel._replace(top=other.top - height - 1)
    return panel, text


def _draw_label(canvas: Image, panel: _Panel, text: str, colour: Colour) -> None:
    left, top, width, height = panel
    ground = canvas[top : top + height, left : left + width]
    ground[:] = (0.3 * ground + 0.7 * np.array(_DARK)).astype(np.uint8)
    bar = (left + height // 5, top + height - 1)
    cv2.rectangle(canvas, (left, top), bar, colour, cv2.FILLED)
    scale, thickness = _text_style(canvas)
    place = (left + height // 2, top + height - height // 4)
    cv2.putText(canvas, text, place, _FONT, scale, _LIGHT, thickness, cv2.LINE_AA)


def _text_style(canvas: Image) -> tuple[float, int]:
    scale = max(0.4, canvas.shape[1] / 640 * 0.42)
    return scale, max(1, round(scale * 1.6))


def _line_width(canvas: Image) -> int:
    return max(1, round(canvas.shape[1] / 500))


def _fixed_point(pixels: Array) -> NDArray[np.int32]:
    return np.asarray(np.round(pixels * 2**_SHIFT), dtype=np.int32)
