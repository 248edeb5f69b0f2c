# SPDX-License-Identifier: Apache-2.0
"""Light meshes: few faces, a colour a vertex, for overlays and markers on the robot."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from fpg_pose_ros.objects import MAX_FACES, Mesh
from offline_search.data.meshes import Array, TexturedMesh

Indices = NDArray[np.int64]


def vertex_colors(mesh: TexturedMesh) -> NDArray[np.uint8]:
    """Returns one RGB a vertex, (V, 3) uint8: its colour, or what the texture shows there."""
    if mesh.texture is not None and mesh.uv is not None:
        height, width = mesh.texture.shape[:2]
        x = np.clip(np.round((mesh.uv[:, 0] % 1.0) * width - 0.5), 0, width - 1).astype(int)
        y = np.clip(np.round((1.0 - mesh.uv[:, 1] % 1.0) * height - 0.5), 0, height - 1).astype(int)
        return np.asarray(mesh.texture[y, x], dtype=np.uint8)
    if mesh.vertex_colors is not None:
        return mesh.vertex_colors
    return np.full((len(mesh.vertices), 3), 160, dtype=np.uint8)


def light_mesh(mesh: TexturedMesh, max_faces: int = MAX_FACES) -> Mesh:
    """Returns a vertex-coloured copy of few faces, by clustering vertices on a grid.

    The grid is the finest that leaves at most `max_faces`. A cluster becomes its vertex nearest to
    the cluster's mean, so that the result stays on the surface.
    """
    used, inverse = np.unique(mesh.faces, return_inverse=True)
    faces: Indices = inverse.reshape(-1, 3).astype(np.int64)
    vertices, colors = mesh.vertices[used], vertex_colors(mesh)[used]
    kept: Indices = np.arange(len(vertices), dtype=np.int64)
    if len(faces) > max_faces:
        kept, faces = _reduce(vertices, faces, max_faces)
    return Mesh(vertices=vertices[kept], faces=faces.astype(np.int32), colors=colors[kept])


def _reduce(vertices: Array, faces: Indices, max_faces: int) -> tuple[Indices, Indices]:
    """Returns (vertices kept, faces among them), bisecting the number of cells along the mesh."""
    extent = float(np.ptp(vertices, axis=0).max())
    low = vertices.min(axis=0)
    # what is left where even the coarsest grid keeps too much, or every grid too little
    best: tuple[Indices, Indices] = (np.arange(len(vertices)), faces[:max_faces])
    coarse, fine = 1, 1024
    while fine - coarse > 1:
        cells = (coarse + fine) // 2
        candidate = _cluster(vertices, faces, low, extent / cells)
        if len(candidate[1]) > max_faces:
            fine = cells
        else:
            coarse = cells
            if len(candidate[1]) > 0:
                best = candidate
    return best


def _cluster(vertices: Array, faces: Indices, low: Array, cell: float) -> tuple[Indices, Indices]:
    """Returns (indices of the vertices kept, faces among those) for one grid size."""
    keys = np.floor((vertices - low) / cell).astype(np.int64)
    _, cluster = np.unique(keys, axis=0, return_inverse=True)
    cluster = cluster.reshape(-1)
    count = int(cluster.max()) + 1
    means = np.zeros((count, 3))
    np.add.at(means, cluster, vertices)
    means /= np.bincount(cluster, minlength=count)[:, None]
    kept = cKDTree(vertices).query(means)[1]
    reduced = cluster[faces]
    whole = (
        (reduced[:, 0] != reduced[:, 1])
        & (reduced[:, 1] != reduced[:, 2])
        & (reduced[:, 0] != reduced[:, 2])
    )
    _, first = np.unique(np.sort(reduced[whole], axis=1), axis=0, return_index=True)
    return np.asarray(kept, dtype=np.int64), reduced[whole][np.sort(first)]
