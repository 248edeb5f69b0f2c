# SPDX-License-Identifier: Apache-2.0
"""How much of the moving object of a rendered run is to be seen in a frame."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, CropBox, apply_affine, invert_affine, transform
from offline_search.data.live import LiveScene
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Scene

_RESOLUTION: Final = 72
_OBJECT: Final = 1  # number of the object's instance in the scene
_AIR: Final = 1.05


class Visibility:
    """Tells, for a true pose of a run, which frame it is of, and what share of the object is seen.

    Seen is what lies inside the image and behind nothing. The scene is a function of its seed, so
    it is rendered again, coarsely and only around the object.
    """

    def __init__(self, scene: LiveScene) -> None:
        """Looks up where the object is in each frame of the scene."""
        self._scene = scene
        self._renderer = EmbreeRenderer()
        self._times = [number / scene.fps for number in range(len(scene))]
        self._poses = np.array(
            [scene.scene(time)[0].instances[0].T_camera_mesh for time in self._times]
        )

    def __call__(self, truth: Array) -> float:
        """The share, 0..1, for a frame with that true T_camera_object (4, 4).

        Raises:
            DatasetError: the scene has no such frame.
        """
        difference = np.abs(self._poses - truth).max(axis=(1, 2))
        number = int(np.argmin(difference))
        if difference[number] > 1e-4:
            raise DatasetError(
                "a recorded pose is not of this scene: object, seed or program differ; record anew"
            )
        scene, _ = self._scene.scene(self._times[number])
        return self._share(scene)

    def _share(self, scene: Scene) -> float:
        camera, alone = self._scene.camera, scene.instances[0]
        points = transform(alone.T_camera_mesh, self._scene.thing.hull) @ camera.K.T
        pixels = points[:, :2] / points[:, 2:]
        low, high = pixels.min(axis=0), pixels.max(axis=0)
        cx, cy = (low + high) / 2
        A = CropBox(float(cx), float(cy), float((high - low).max()) * _AIR).affine(_RESOLUTION)
        whole = self._mask(Scene((alone,), ()), A)
        seen = self._mask(Scene(scene.instances, ()), A) & self._inside(A)
        return float(np.count_nonzero(seen) / max(np.count_nonzero(whole), 1))

    def _mask(self, scene: Scene, A: Array) -> NDArray[np.bool_]:
        size = (_RESOLUTION, _RESOLUTION)
        picture = self._renderer.render(scene, self._scene.camera.K, A, size, 1)
        return np.asarray(picture.instance == _OBJECT)

    def _inside(self, A: Array) -> NDArray[np.bool_]:
        rows, columns = np.indices((_RESOLUTION, _RESOLUTION))
        window = np.stack([columns.ravel(), rows.ravel()], axis=1).astype(np.float64)
        x, y = apply_affine(invert_affine(A), window).T
        camera = self._scene.camera
        inside = (x > -0.5) & (x < camera.width - 0.5) & (y > -0.5) & (y < camera.height - 0.5)
        return np.asarray(inside.reshape(rows.shape))
