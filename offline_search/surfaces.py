# SPDX-License-Identifier: Apache-2.0
"""VSD of estimates in a measured depth image, by rendering the object's depth in each pose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fpg_pose_ros.geometry import Array, Camera
from offline_search.data.depth import depth_of
from offline_search.data.meshes import TexturedMesh
from offline_search.data.renderer import EmbreeRenderer
from offline_search.metrics.vsd import VSD_TAUS, vsd


class Surfaces:
    """Compares poses of some objects."""

    def __init__(self, meshes: Mapping[str, TexturedMesh], diameters: Mapping[str, float]) -> None:
        """Prepares nothing yet.

        Args:
            meshes: by object name.
            diameters: m, of the same objects.
        """
        self._meshes, self._diameters = meshes, diameters
        self._renderer = EmbreeRenderer()

    def errors(
        self, name: str, estimates: Array, truth: Array, measured: Array, camera: Camera
    ) -> Array:
        """VSD (N, G, T) of the best N = min(E, G) estimates (E, 4, 4) against truth (G, 4, 4).

        Args:
            name: of the object.
            estimates: best score first.
            truth: of the instances to be found.
            measured: (H, W) depth of the scene, m; 0 where nothing was measured.
            camera: a pinhole.
        """
        mesh, diameter = self._meshes[name], self._diameters[name]
        kept = estimates[: len(truth)]
        errors = np.zeros((len(kept), len(truth), len(VSD_TAUS)))
        if not len(kept):
            return errors
        true_depths = [depth_of(self._renderer, mesh, T, camera) for T in truth]
        for row, T in enumerate(kept):
            depth = depth_of(self._renderer, mesh, T, camera)
            for column, true_depth in enumerate(true_depths):
                errors[row, column] = vsd(depth, true_depth, measured, camera.K, diameter)
        return errors
