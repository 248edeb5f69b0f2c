# SPDX-License-Identifier: Apache-2.0
"""One image on its way to the estimator, with all that is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, Camera


@dataclass(frozen=True, eq=False)
class Frame:
    """An image and what is known of it.

    Attributes:
        image: (H, W, 3) uint8 RGB, as the lens distorts it.
        camera: of this image, or None where it is not known.
        stamp_ns: time of the image, ns.
        ground_truth: true T_camera_object (4, 4), m, by object name; empty where not known.
        name: what to call it in messages and file names.
        frame_id: the camera's frame, of images from a bag.
        received_ns: when it was recorded, of images from a bag, ns.
    """

    image: NDArray[np.uint8]
    camera: Camera | None
    stamp_ns: int = 0
    ground_truth: Mapping[str, Array] = field(default_factory=dict)
    name: str = ""
    frame_id: str = ""
    received_ns: int = 0
