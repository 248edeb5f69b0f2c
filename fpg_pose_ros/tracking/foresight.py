# SPDX-License-Identifier: Apache-2.0
"""Where in the image an object will be seen, from where it is expected to be."""

from __future__ import annotations

from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array, Camera
from fpg_pose_ros.localise import Box
from fpg_pose_ros.objects import Mesh

_DIRECTIONS: Final = 300


def outermost(mesh: Mesh) -> Array:
    """Returns the vertices (N, 3) that reach furthest in evenly spread directions, m.

    Their box in any view is the mesh's to about a hundredth of its size, at a fraction of the cost.
    """
    # Fibonacci's spiral on the sphere.
    index = np.arange(_DIRECTIONS)
    z = 1.0 - (2.0 * index + 1.0) / _DIRECTIONS
    angle = index * np.pi * (3.0 - np.sqrt(5.0))
    flat = np.sqrt(1.0 - z * z)
    directions = np.stack([flat * np.cos(angle), flat * np.sin(angle), z], axis=1)
    furthest = np.unique((mesh.vertices @ directions.T).argmax(axis=0))
    return np.asarray(mesh.vertices[furthest])


def box_in_view(points: Array, T_camera_object: Array, camera: Camera) -> Box | None:
    """Returns the box x0, y0, x1, y1 (image px) around an object.

    Args:
        points: (N, 3) of `outermost`, object frame, m.
        T_camera_object: (4, 4) expected pose, m.
        camera: of the image.

    Returns:
        The box, which may reach beyond the image; None when the object is not in view: behind the
        camera, or wholly beyond the image's edge.
    """
    in_camera = points @ T_camera_object[:3, :3].T + T_camera_object[:3, 3]
    if not in_camera[:, 2].min() > 0.0:
        return None
    pixels = camera.project(in_camera)
    (x0, y0), (x1, y1) = pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()
    seen = x1 >= 0.0 and y1 >= 0.0 and x0 <= camera.width - 1 and y0 <= camera.height - 1
    return (x0, y0, x1, y1) if seen else None
