# SPDX-License-Identifier: Apache-2.0
"""How far an estimated pose is from the true one.

Poses are 4x4 matrices `T_camera_object` in metres and may carry leading axes, `(..., 4, 4)`, which
broadcast against each other; the errors keep those axes. Points are `(V, 3)` in the object's frame,
in metres. Distances come back in metres, angles in radians, image distances in pixels.

ADD and ADI: Hinterstoisser et al., ACCV 2012. MSSD and MSPD: Hodan et al., "BOP Challenge 2020 on
6D Object Localization", arXiv 2009.07378, with the definitions of the BOP toolkit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.spatial import cKDTree

from fpg_pose_ros.geometry import Array, Symmetries, transform


def bop_symmetry_transforms(symmetries: Symmetries, max_step: float = 0.01) -> Array:
    """The symmetry transforms that BOP scores with.

    Args:
        symmetries: the object's discrete and continuous symmetries.
        max_step: the farthest that a point may travel between two successive rotations about a
            continuous axis, as a fraction of the object's diameter. 0.01 is what BOP uses.

    Returns:
        (S, 4, 4) transforms, the identity among them; S is 1 for an object without symmetries.
    """
    return symmetries.transforms(steps=int(np.ceil(np.pi / max_step)))


def add(estimate: Array, truth: Array, points: Array) -> Array:
    """Average distance between corresponding points, in metres, shape (...)."""
    return _over_poses(lambda e, g: _distances(e, g, points).mean(), estimate, truth)


def adi(estimate: Array, truth: Array, points: Array) -> Array:
    """Average distance from each true point to the nearest estimated one, in metres, shape (...).

    The measure for objects whose symmetric views cannot be told apart (the S of ADD-S).
    """

    def one(e: Array, g: Array) -> float:
        tree = cKDTree(transform(e, points))
        return float(tree.query(transform(g, points), k=1)[0].mean())

    return _over_poses(one, estimate, truth)


def re(estimate: Array, truth: Array, symmetries: Array | None = None) -> Array:
    """Angle of the rotation between two poses, in radians, shape (...).

    With `symmetries` (S, 4, 4), the smallest angle over them. Exact for small angles as well,
    where the usual arc cosine of the trace loses half of the digits.
    """
    transforms = np.eye(4)[None] if symmetries is None else symmetries
    R_truth = truth[..., None, :3, :3] @ transforms[:, :3, :3]
    chord = np.linalg.norm(estimate[..., None, :3, :3] - R_truth, axis=(-2, -1)) / np.sqrt(8.0)
    return np.asarray(2.0 * np.arcsin(np.clip(chord, 0.0, 1.0)).min(axis=-1))


def te(estimate: Array, truth: Array) -> Array:
    """Distance between two poses' origins, in metres, shape (...)."""
    return np.asarray(np.linalg.norm(estimate[..., :3, 3] - truth[..., :3, 3], axis=-1))


def mssd(estimate: Array, truth: Array, points: Array, symmetries: Array) -> Array:
    """Maximum symmetry-aware surface distance, in metres, shape (...).

    The largest distance between corresponding points, under the symmetry (S, 4, 4) that makes it
    smallest.
    """

    def one(e: Array, g: Array) -> float:
        return min(float(_distances(e, g @ s, points).max()) for s in symmetries)

    return _over_poses(one, estimate, truth)


def mspd(estimate: Array, truth: Array, points: Array, symmetries: Array, K: Array) -> Array:
    """Maximum symmetry-aware projection distance, in pixels, shape (...).

    The largest distance between the images of corresponding points in a pinhole camera `K` (3, 3),
    under the symmetry (S, 4, 4) that makes it smallest. Lens distortion plays no part in it.
    """

    def one(e: Array, g: Array) -> float:
        pixels = _projected(e, points, K)
        return min(
            float(np.linalg.norm(pixels - _projected(g @ s, points, K), axis=1).max())
            for s in symmetries
        )

    return _over_poses(one, estimate, truth)


def _distances(estimate: Array, truth: Array, points: Array) -> Array:
    # The difference of two rigid motions is itself linear in the point: one product instead of two.
    D = estimate - truth
    return np.asarray(np.linalg.norm(points @ D[:3, :3].T + D[:3, 3], axis=1))


def _projected(T: Array, points: Array, K: Array) -> Array:
    rays = transform(T, points) @ K.T
    return np.asarray(rays[:, :2] / rays[:, 2:])


def _over_poses(error: Callable[[Array, Array], float], estimate: Array, truth: Array) -> Array:
    """`error` of each pair of poses, so that memory holds the points of one pair at a time."""
    pairs = np.broadcast_arrays(estimate, truth)
    flat = [np.reshape(poses, (-1, 4, 4)) for poses in pairs]
    errors = np.array([error(e, g) for e, g in zip(*flat, strict=True)], dtype=np.float64)
    return errors.reshape(pairs[0].shape[:-2])
