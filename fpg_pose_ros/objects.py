# SPDX-License-Identifier: Apache-2.0
"""What the robot knows of an object: size, keypoints, parts, symmetries, a light mesh to draw."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.geometry import Array, Symmetries

MAX_FACES: Final = 3000
MAX_VERTICES: Final = 3 * MAX_FACES
MAX_KEYPOINTS: Final = 512
# Fewer determine no pose.
MIN_KEYPOINTS: Final = 4
# An icosahedron has 59 besides the identity.
MAX_DISCRETE_SYMMETRIES: Final = 64
MAX_CONTINUOUS_SYMMETRIES: Final = 3
# Nothing a camera-guided robot looks at is larger; millimetres read as metres are.
MAX_DIAMETER_M: Final = 50.0


@dataclass(frozen=True, eq=False)
class Mesh:
    """A light mesh for overlays and markers (the textured one for rendering stays offline).

    Attributes:
        vertices: (V, 3) float64, object frame, m, V <= 9000, within 50 m of its origin.
        faces: (F, 3) int32 vertex indices, F <= 3000.
        colors: (V, 3) uint8 RGB.

    Raises:
        MeshError: empty, not finite, too many faces, or indices and colours that do not fit.
    """

    vertices: Array
    faces: NDArray[np.int32]
    colors: NDArray[np.uint8]

    def __post_init__(self) -> None:
        """Converts to the declared types and checks."""
        vertices = np.array(self.vertices, dtype=np.float64)
        faces = np.array(self.faces, dtype=np.int64)
        colors = np.array(self.colors, dtype=np.uint8)
        if vertices.ndim != 2 or vertices.shape[1] != 3 or not 0 < len(vertices) <= MAX_VERTICES:
            raise MeshError(
                f"mesh vertices have shape {vertices.shape}; (V, 3) with 0 < V <= {MAX_VERTICES} "
                "is needed"
            )
        if faces.ndim != 2 or faces.shape[1] != 3 or not 0 < len(faces) <= MAX_FACES:
            raise MeshError(
                f"mesh faces have shape {faces.shape}; (F, 3) with 0 < F <= {MAX_FACES} is needed"
            )
        _check_extent(vertices, "mesh vertices")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise MeshError(
                f"mesh faces refer to vertices outside 0..{len(vertices) - 1}; repair the mesh"
            )
        if colors.shape != vertices.shape:
            raise MeshError(f"mesh colors have shape {colors.shape}; one RGB per vertex is needed")
        for name, array in (
            ("vertices", vertices),
            ("faces", faces.astype(np.int32)),
            ("colors", colors),
        ):
            array.flags.writeable = False
            object.__setattr__(self, name, array)


@dataclass(frozen=True, eq=False)
class ObjectModel:
    """An object as the estimator sees it.

    Attributes:
        name: what poses, topics and TF frames are called after.
        diameter: largest distance between two surface points, m.
        keypoints: (K, 3) points the network finds, object frame, m.
        parts: indices of keypoints by part name; parts may overlap.
        symmetries: what turns the object into itself.
        mesh: light mesh, object frame, m.

    Raises:
        MeshError: a field is not usable; the message names it.
    """

    name: str
    diameter: float
    keypoints: Array
    parts: Mapping[str, tuple[int, ...]]
    symmetries: Symmetries
    mesh: Mesh

    def __post_init__(self) -> None:
        """Converts to the declared types and checks."""
        if (
            not isinstance(self.name, str)
            or not self.name
            or not self.name.isprintable()
            or set(self.name) & {"/", "\\"}  # names come to be parts of paths
            or len(self.name) > 64
        ):
            raise MeshError(
                f"object name {self.name!r} is not usable; 1 to 64 printable characters other than "
                "slashes are needed"
            )
        if not math.isfinite(self.diameter) or not 0 < self.diameter <= MAX_DIAMETER_M:
            raise MeshError(
                f"object {self.name}: diameter is {self.diameter} m; it must be in "
                f"0..{MAX_DIAMETER_M} m (was a mesh in mm read as metres?)"
            )
        keypoints = np.array(self.keypoints, dtype=np.float64)
        if (
            keypoints.ndim != 2
            or keypoints.shape[1] != 3
            or not MIN_KEYPOINTS <= len(keypoints) <= MAX_KEYPOINTS
        ):
            raise MeshError(
                f"object {self.name}: keypoints have shape {keypoints.shape}; "
                f"(K, 3) with {MIN_KEYPOINTS} <= K <= {MAX_KEYPOINTS} is needed"
            )
        _check_extent(keypoints, f"object {self.name}: keypoints")
        discrete, continuous = self.symmetries.discrete, self.symmetries.continuous
        if len(discrete) > MAX_DISCRETE_SYMMETRIES or len(continuous) > MAX_CONTINUOUS_SYMMETRIES:
            raise MeshError(
                f"object {self.name}: {len(discrete)} discrete and {len(continuous)} continuous "
                f"symmetries; at most {MAX_DISCRETE_SYMMETRIES} and {MAX_CONTINUOUS_SYMMETRIES} "
                "can be used"
            )
        parts = {str(part): tuple(int(i) for i in indices) for part, indices in self.parts.items()}
        for part, indices in parts.items():
            if not indices or not all(0 <= i < len(keypoints) for i in indices):
                raise MeshError(
                    f"object {self.name}: part {part} needs keypoint indices "
                    f"in 0..{len(keypoints) - 1}"
                )
        keypoints.flags.writeable = False
        object.__setattr__(self, "keypoints", keypoints)
        object.__setattr__(self, "diameter", float(self.diameter))
        object.__setattr__(self, "parts", parts)

    @cached_property
    def bounds_min(self) -> Array:
        """Lowest corner (3,) of the mesh's axis-aligned box, object frame, m."""
        return np.asarray(self.mesh.vertices.min(axis=0), dtype=np.float64)

    @cached_property
    def bounds_max(self) -> Array:
        """Highest corner (3,) of the mesh's axis-aligned box, object frame, m."""
        return np.asarray(self.mesh.vertices.max(axis=0), dtype=np.float64)

    def first_keypoints(self, count: int) -> ObjectModel:
        """The same object with the first `count` of its keypoints.

        Parts keep the indices that are left; parts left without any go.

        Raises:
            MeshError: it has fewer, or so few determine no pose.
        """
        if count == len(self.keypoints):
            return self
        if not MIN_KEYPOINTS <= count < len(self.keypoints):
            raise MeshError(
                f"object {self.name}: {count} keypoints are asked for; {MIN_KEYPOINTS} to "
                f"{len(self.keypoints)} can be had"
            )
        left = {name: tuple(i for i in held if i < count) for name, held in self.parts.items()}
        parts = {name: indices for name, indices in left.items() if indices}
        return replace(self, keypoints=self.keypoints[:count], parts=parts)

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the mesh as plain values; `from_json` takes them back."""
        return {
            "name": self.name,
            "diameter": self.diameter,
            "keypoints": self.keypoints.tolist(),
            "parts": {part: list(indices) for part, indices in self.parts.items()},
            "symmetries": self.symmetries.to_json(),
        }

    @staticmethod
    def from_json(data: Mapping[str, Any], mesh: Mesh) -> ObjectModel:
        """Reads the form of `to_json`.

        Raises:
            MeshError: a field is missing or not usable; the message names it.
        """
        try:
            return ObjectModel(
                name=data["name"],
                diameter=float(data["diameter"]),
                keypoints=np.asarray(data["keypoints"], dtype=np.float64),
                parts=data.get("parts", {}),
                symmetries=Symmetries.from_json(data.get("symmetries", {})),
                mesh=mesh,
            )
        except KeyError as error:
            raise MeshError(f"object {data.get('name', '?')}: field {error} is missing") from None
        except (TypeError, ValueError, AttributeError, OverflowError) as error:
            raise MeshError(f"object {data.get('name', '?')}: {error}") from None


def _check_extent(points: Array, what: str) -> None:
    if not np.isfinite(points).all():
        raise MeshError(f"{what} hold values that are not finite; repair the mesh")
    if np.abs(points).max() > MAX_DIAMETER_M:
        raise MeshError(
            f"{what} lie farther than {MAX_DIAMETER_M} m from the origin (was a mesh in mm "
            "read as metres?)"
        )
