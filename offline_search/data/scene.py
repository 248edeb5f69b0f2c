# SPDX-License-Identifier: Apache-2.0
"""What a renderer is given: meshes with poses and materials, and the light on them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array
from offline_search.data.environment import Environment
from offline_search.data.meshes import TexturedMesh

# Points of a disc that stand for all of a light: shadow rays are what rendering waits for.
_SPOTS: Final = 0.7 * np.array([[1.0, 0.3], [-0.3, 1.0], [-1.0, -0.3], [0.3, -1.0]])


@dataclass(frozen=True)
class Material:
    """How a surface answers light, on top of its mesh's colours.

    Attributes:
        tint: RGB factors on the mesh's colour.
        contrast: exponent on the mesh's colour in linear light, before the tint.
        specular: share of the light that is mirrored at a straight look; 0.04 is plastic.
        sharpness: the highlight's exponent is 2**sharpness, 2 (rough) to 8 (polished).
        metallic: 0 = the surface has its colour from beneath, 1 = from its mirror, as metals do.
    """

    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    contrast: float = 1.0
    specular: float = 0.04
    sharpness: int = 5
    metallic: float = 0.0


@dataclass(frozen=True, eq=False)
class Instance:
    """A mesh in a scene: its pose, material, and the number (> 0) it has in `Render.instance`."""

    mesh: TexturedMesh
    T_camera_mesh: Array
    material: Material = Material()
    number: int = 1


@dataclass(frozen=True, eq=False)
class Light:
    """A distant light.

    Attributes:
        direction: (3,) unit vector towards the light, camera frame.
        color: (3,) linear RGB of a white surface that faces it.
        shadow: whether it casts shadows.
        radius: half the angle that it fills, rad; shadows of larger lights have softer edges.
    """

    direction: Array
    color: Array
    shadow: bool = True
    radius: float = 0.0

    def rays(self) -> Array:
        """Returns unit directions (n, 3) to points spread over it; one for a mere point."""
        if self.radius <= 0:
            return self.direction[None]
        side = np.cross(self.direction, np.eye(3)[np.argmin(np.abs(self.direction))])
        side /= np.linalg.norm(side)
        across = np.stack([side, np.cross(self.direction, side)])
        spread = self.direction + np.tan(self.radius) * (_SPOTS @ across)
        return np.asarray(spread / np.linalg.norm(spread, axis=1, keepdims=True), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Scene:
    """All that is seen.

    Attributes:
        instances: the meshes.
        lights: the distant lights.
        ambient: (2, 3) linear RGB of the light from above and from below.
        up: (3,) unit vector upwards, camera frame, for `ambient`.
        environment: light from all around, in the place of `ambient`.
    """

    instances: tuple[Instance, ...]
    lights: tuple[Light, ...] = ()
    ambient: Array = field(default_factory=lambda: np.full((2, 3), 0.3))
    up: Array = field(default_factory=lambda: np.array([0.0, -1.0, 0.0]))
    environment: Environment | None = None


@dataclass(frozen=True, eq=False)
class Render:
    """A picture of a scene.

    Attributes:
        rgb: (h, w, 3) uint8; premultiplied by alpha, hence black where nothing is.
        alpha: (h, w) uint8 coverage.
        instance: (h, w) uint8 number of the instance at the pixel's centre, 0 = none.
        depth: (h, w) float32 z in the camera frame at the pixel's centre, m; 0 = nothing.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    instance: NDArray[np.uint8]
    depth: NDArray[np.float32]
