# SPDX-License-Identifier: Apache-2.0
"""A mesh in Embree's hands: which of its triangles do rays hit, wherever the mesh may stand.

The mesh is handed over once, in its own frame; rays are brought into that frame.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np
from embreex.mesh_construction import TriangleMesh
from embreex.rtcore_scene import EmbreeScene
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, invert, transform
from offline_search.data.meshes import TexturedMesh, hull_points
from offline_search.data.shading import Floats, Surface

_OPENNESS_RAYS: Final = 48
_OPENNESS_LIFT: Final = 2e-3  # of the mesh's size: rays start this far off the surface


class MeshHits(NamedTuple):
    """What rays hit of a mesh, flat over rays: face (-1 = nothing), u, v, distance along."""

    face: NDArray[np.int32]
    u: Floats
    v: Floats
    distance: Floats


class Sphere(NamedTuple):
    """A sphere around some points."""

    centre: Array
    radius: float

    @staticmethod
    def of(points: Floats) -> Sphere:
        """Returns that around the box of points (n, 3)."""
        columns = np.ascontiguousarray(points.T)  # NumPy reduces long rows many times faster
        low, high = columns.min(axis=1), columns.max(axis=1)
        return Sphere(
            np.asarray((low + high) / 2, dtype=np.float64), float(np.linalg.norm(high - low)) / 2
        )


class EmbreeMesh:
    """A mesh made ready for tracing in this process.

    Attributes:
        surface: its look.
        hull: (H, 3) vertices of its convex hull.
        size: diagonal of its box, m.
    """

    def __init__(self, mesh: TexturedMesh) -> None:
        """Builds Embree's tree."""
        self._scene = EmbreeScene()
        faces = mesh.faces.astype(np.int32)
        TriangleMesh(self._scene, mesh.vertices.astype(np.float32), faces)
        self.surface = Surface(mesh)
        self.hull = hull_points(mesh.vertices[np.unique(mesh.faces)])
        self.size = float(np.linalg.norm(np.ptp(self.hull, axis=0)))
        self._centre = (self.hull.min(axis=0) + self.hull.max(axis=0)) / 2
        self._radius = float(np.linalg.norm(self.hull - self._centre, axis=1).max())

    def first_hits(self, T_camera_mesh: Array, rays: Floats) -> MeshHits:
        """Returns what rays (n, 3) from the camera's origin hit first."""
        T_mesh_camera = invert(T_camera_mesh).astype(np.float32)
        directions = rays @ T_mesh_camera[:3, :3].T
        origins = np.broadcast_to(T_mesh_camera[:3, 3], directions.shape)
        found = self._scene.run(
            np.ascontiguousarray(origins), np.ascontiguousarray(directions), output=1
        )
        return MeshHits(found["primID"], found["u"], found["v"], found["tfar"])

    def blocks(
        self, T_camera_mesh: Array, points: Floats, direction: Array, around: Sphere
    ) -> NDArray[np.bool_]:
        """Returns whether the mesh lies on the rays from points (n, 3) along one direction.

        Rays that miss the sphere around the mesh are not traced; none are where the sphere
        `around` the points misses it.
        """
        blocked = np.zeros(len(points), dtype=np.bool_)
        centre = transform(T_camera_mesh, self._centre[None])[0]
        if not len(points) or not self._may_block(centre, around, direction):
            return blocked
        offset = centre.astype(np.float32) - points
        along = offset @ direction.astype(np.float32)
        aside = np.einsum("ij,ij->i", offset, offset) - along * along
        near = np.flatnonzero((aside < self._radius**2) & (along > -self._radius))
        if len(near) == 0:
            return blocked
        T_mesh_camera = invert(T_camera_mesh)
        origins = transform(T_mesh_camera, points[near]).astype(np.float32)
        towards = (T_mesh_camera[:3, :3] @ direction).astype(np.float32)
        found = self._scene.run(
            np.ascontiguousarray(origins),
            np.ascontiguousarray(np.broadcast_to(towards, origins.shape)),
            query="OCCLUDED",
        )
        blocked[near] = found >= 0
        return blocked

    def _may_block(self, centre: Array, around: Sphere, direction: Array) -> bool:
        """Returns whether the sphere around the mesh meets that around the points, swept along."""
        offset = centre - around.centre
        reach = self._radius + around.radius
        along = float(offset @ direction)
        aside = float(offset @ offset) - along * along
        return aside < reach * reach and along > -reach


def with_openness(mesh: TexturedMesh) -> TexturedMesh:
    """Returns a mesh that knows how open each of its vertices is, by rays from all of them.

    What lies in hollows and folds is darker under light from all around. Costs about 0.1 s for
    10,000 vertices, once.
    """
    scene = EmbreeScene()
    vertices = mesh.vertices.astype(np.float32)
    faces = mesh.faces.astype(np.int32)
    TriangleMesh(scene, vertices, faces)
    normals = np.zeros_like(vertices)
    np.add.at(normals, faces, mesh.normals.astype(np.float32))
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-6)
    size = float(np.linalg.norm(np.ptp(vertices, axis=0)))
    origins = vertices + normals * np.float32(_OPENNESS_LIFT * size)
    # Directions evenly spread over the ball, pushed out by the normal: cosine-weighted above it.
    turn = np.arange(_OPENNESS_RAYS) + 0.5
    z = 1.0 - 2.0 * turn / _OPENNESS_RAYS
    angle = turn * np.pi * (3.0 - np.sqrt(5.0))
    level = np.sqrt(1.0 - z * z)
    ball = np.stack([level * np.cos(angle), level * np.sin(angle), z], axis=1).astype(np.float32)
    hidden = np.zeros(len(vertices), dtype=np.float32)
    for direction in ball:
        rays = np.ascontiguousarray(normals + np.float32(0.999) * direction)
        hidden += scene.run(origins, rays, query="OCCLUDED") >= 0
    return replace(mesh, openness=1.0 - hidden / np.float32(_OPENNESS_RAYS))
