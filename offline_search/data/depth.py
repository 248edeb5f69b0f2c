# SPDX-License-Identifier: Apache-2.0
"""Depth images of one object, as BOP compares them with measured ones."""

from __future__ import annotations

from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array, Camera
from offline_search.data.meshes import TexturedMesh
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Scene

_WHOLE: Final = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def depth_of(
    renderer: EmbreeRenderer, mesh: TexturedMesh, T_camera_object: Array, camera: Camera
) -> Array:
    """Depth (H, W) along z at the pixels' centres, m, 0 where the object is not.

    Args:
        renderer: keeps the mesh ready from one call to the next.
        mesh: of the object.
        T_camera_object: (4, 4), m.
        camera: a pinhole; its lens distortion plays no part.
    """
    scene = Scene((Instance(mesh, T_camera_object),))
    shape = (camera.height, camera.width)
    return np.asarray(renderer.render(scene, camera.K, _WHOLE, shape, 1).depth, dtype=np.float64)
