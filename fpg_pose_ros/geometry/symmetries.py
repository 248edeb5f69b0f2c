# SPDX-License-Identifier: Apache-2.0
"""Object symmetries, declared as in BOP's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fpg_pose_ros.geometry.rigid import exp_so3, make_transform
from fpg_pose_ros.geometry.types import Array


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
