# SPDX-License-Identifier: Apache-2.0
"""Object symmetries, declared as in BOP's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike

from fpg_pose_ros.geometry.rigid import exp_so3, make_transform, skew
from fpg_pose_ros.geometry.types import Array

# Rotations whose traces differ less are equally near; their translations decide.
_TIE: Final = 1e-9


@dataclass(frozen=True, eq=False)
class Symmetries:
    """What turns an object into itself, declared as in BOP's models_info.json (here in metres).

    Attributes:
        discrete: 4x4 object-to-object transforms, without the identity.
        continuous: (axis (3,), offset (3,)): any rotation about the axis through the offset (m).
    """

    discrete: tuple[Array, ...] = ()
    continuous: tuple[tuple[Array, Array], ...] = ()

    def __bool__(self) -> bool:
        """Whether there is any symmetry besides the identity."""
        return bool(self.discrete or self.continuous)

    def transforms(self, steps: int = 64) -> Array:
        """Returns all symmetry transforms (S, 4, 4), the identity first.

        Each continuous symmetry becomes `steps` equal rotations, each combined with each discrete
        one, as get_symmetry_transformations of the BOP toolkit does (315 steps there).
        """
        discrete = [np.eye(4), *self.discrete]
        rotations = [np.eye(4)]
        for axis, offset in self.continuous:
            unit = np.asarray(axis, np.float64) / np.linalg.norm(axis)
            for step in range(1, steps):
                rotation = exp_so3(unit * (2.0 * np.pi * step / steps))
                rotations.append(make_transform(rotation, offset - rotation @ offset))
        return np.stack([turn @ flip for flip in discrete for turn in rotations])

    def nearest(self, T_camera_object: ArrayLike, reference: ArrayLike) -> Array:
        """Returns the pose, of all that look like a given one, whose rotation is nearest.

        Args:
            T_camera_object: (4, 4) pose, m.
            reference: (4, 4) pose that it shall be near to, by the angle between the rotations,
                and among equal angles by the distance.

        Returns:
            (4, 4) `T_camera_object @ S`, S one of the symmetry transforms. Rotations about
            a continuous axis are solved for; an object with two such axes is a ball and gets the
            reference's rotation.
        """
        T, target = np.asarray(T_camera_object, np.float64), np.asarray(reference, np.float64)
        if not self:
            return T
        centre = _centre(self.continuous)
        if centre is not None:
            rotation = T[:3, :3].T @ target[:3, :3]
            return np.asarray(T @ make_transform(rotation, centre - rotation @ centre))
        best, nearest = (-np.inf, np.inf), T
        for flip in (np.eye(4), *self.discrete):
            for turn in self._turns(flip[:3, :3] @ target[:3, :3].T @ T[:3, :3]):
                candidate = T @ turn @ flip
                trace = float(np.sum(candidate[:3, :3] * target[:3, :3]))
                distance = float(np.linalg.norm(candidate[:3, 3] - target[:3, 3]))
                if trace > best[0] + _TIE or (trace > best[0] - _TIE and distance < best[1]):
                    best, nearest = (trace, distance), candidate
        return nearest

    def unseen_turns(self, T_camera_object: ArrayLike) -> Array:
        """Returns how a pose moves as the object turns about its continuous axes.

        Args:
            T_camera_object: (4, 4) pose, m.

        Returns:
            (A, 6) one row an axis: velocity of the object's origin, m, and rotation vector, for
            each radian, about the camera's axes as in `PoseEstimate.covariance`.
        """
        R = np.asarray(T_camera_object, np.float64)[:3, :3]
        rows = np.zeros((len(self.continuous), 6))
        for row, (axis, offset) in zip(rows, self.continuous, strict=True):
            unit = axis / np.linalg.norm(axis)
            row[:3], row[3:] = R @ np.cross(offset, unit), R @ unit
        return rows

    def _turns(self, M: Array) -> list[Array]:
        """For no axis, or else each, the rotation (4, 4) that makes trace(M R) greatest.

        By Rodrigues' formula the trace is cos(a) (tr M - u'Mu) + sin(a) tr(M [u]x) + u'Mu.
        """
        if not self.continuous:
            return [np.eye(4)]
        turns = []
        for axis, offset in self.continuous:
            unit = axis / np.linalg.norm(axis)
            cosine = np.trace(M) - unit @ M @ unit
            angle = float(np.arctan2(np.trace(M @ skew(unit)), cosine))
            rotation = exp_so3(unit * angle)
            turns.append(make_transform(rotation, offset - rotation @ offset))
        return turns

    def to_json(self) -> dict[str, Any]:
        """Returns plain lists for JSON or YAML; `from_json` takes them back without loss."""
        return {
            "discrete": [np.asarray(matrix).tolist() for matrix in self.discrete],
            "continuous": [
                {"axis": np.asarray(axis).tolist(), "offset": np.asarray(offset).tolist()}
                for axis, offset in self.continuous
            ],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> Symmetries:
        """Reads the form of `to_json`; discrete transforms may be flat lists of 16 as in BOP's.

        Raises:
            ValueError: a part has the wrong form; the message says which.
        """
        discrete = tuple(_rigid(item, i) for i, item in enumerate(data.get("discrete", ())))
        continuous = tuple(_axis(item, i) for i, item in enumerate(data.get("continuous", ())))
        return Symmetries(discrete, continuous)


def _centre(continuous: Sequence[tuple[Array, Array]]) -> Array | None:
    """Returns where axes that are not parallel meet (3,), m; None where there are no two such."""
    if len(continuous) < 2:
        return None
    units = np.array([axis / np.linalg.norm(axis) for axis, _ in continuous])
    across = np.eye(3) - units[:, :, None] * units[:, None]
    normal = across.sum(axis=0)
    if np.linalg.eigvalsh(normal)[0] < 1e-6:
        return None
    offsets = np.array([offset for _, offset in continuous])
    return np.asarray(np.linalg.solve(normal, np.einsum("nij,nj->i", across, offsets)))


def _rigid(item: Sequence[Any], index: int) -> Array:
    matrix = np.asarray(item, dtype=np.float64)
    if matrix.size != 16 or not np.isfinite(matrix).all():
        raise ValueError(f"symmetries.discrete[{index}] must be 16 finite numbers")
    matrix = matrix.reshape(4, 4)
    rotation = matrix[:3, :3]
    orthonormal = (
        np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-3) and np.linalg.det(rotation) > 0
    )
    if not orthonormal or not np.allclose(matrix[3], [0, 0, 0, 1]):
        raise ValueError(
            f"symmetries.discrete[{index}] must be a rigid transform (rotation and translation)"
        )
    return matrix


def _axis(item: dict[str, Any], index: int) -> tuple[Array, Array]:
    axis = np.asarray(item["axis"], dtype=np.float64)
    offset = np.asarray(item.get("offset", (0.0, 0.0, 0.0)), dtype=np.float64)
    if axis.shape != (3,) or offset.shape != (3,) or not np.isfinite([axis, offset]).all():
        raise ValueError(
            f"symmetries.continuous[{index}] needs an axis and an offset of 3 finite numbers"
        )
    if np.linalg.norm(axis) < 1e-9:
        raise ValueError(f"symmetries.continuous[{index}].axis has no length")
    return axis, offset
