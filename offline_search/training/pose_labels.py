# SPDX-License-Identifier: Apache-2.0
"""The labels of a crop: one set of keypoints for each pose that looks the same."""

from __future__ import annotations

from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, apply_affine, transform
from fpg_pose_ros.objects import ObjectModel

CONTINUOUS_STEPS: Final = 16
"""Labels that stand for each continuous symmetry in the loss."""


class PoseSampleLike(Protocol):
    """What is used of `offline_search.data`'s PoseSample."""

    @property
    def image(self) -> NDArray[np.uint8]:
        """(R, R, 3) RGB crop."""
        ...

    @property
    def keypoints(self) -> Array:
        """(K, 2) crop px."""
        ...

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(R, R) cover by the whole object, 0..255; read only for networks that predict it."""
        ...

    @property
    def visible_fraction(self) -> float:
        """How much of the object nothing stands before, 0 to 1; read only where samples compare."""
        ...

    @property
    def T_camera_object(self) -> Array:
        """(4, 4), m."""
        ...

    @property
    def K(self) -> Array:
        """(3, 3) intrinsics of the full image."""
        ...

    @property
    def A(self) -> Array:
        """(2, 3), crop_px = A @ [image_px, 1]."""
        ...


def symmetric_labels(sample: PoseSampleLike, model: ObjectModel, symmetries: Array) -> Array:
    """Keypoints (S, K, 2) in crop px of all poses that look like the sample's."""
    labels = np.empty((len(symmetries), len(model.keypoints), 2))
    # A sample has all keypoints of the object, a model perhaps only the first of them.
    labels[0] = sample.keypoints[: len(model.keypoints)]
    for index in range(1, len(symmetries)):
        T_camera_object = sample.T_camera_object @ symmetries[index]
        labels[index] = in_crop(model, T_camera_object, sample.K, sample.A)
    return labels


def in_crop(model: ObjectModel, T_camera_object: Array, K: Array, A: Array) -> Array:
    """Keypoints (K, 2) in crop px of the object in a pose; the rest as `PoseSampleLike` has it."""
    pixels = transform(T_camera_object, model.keypoints) @ K.T
    return apply_affine(A, pixels[:, :2] / pixels[:, 2:])
