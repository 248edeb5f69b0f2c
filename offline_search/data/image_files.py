# SPDX-License-Identifier: Apache-2.0
"""Pictures of datasets from their files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError


def read_image(path: Path, *, grey: bool = False) -> NDArray[np.uint8]:
    """The pixels, (H, W, 3) uint8 RGB, or (H, W) where only grey is asked for.

    Raises:
        DatasetError: the file is missing or no picture.
    """
    if not path.is_file():
        raise DatasetError(f"{path} does not exist; unpack the dataset completely")
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    if pixels is None:
        raise DatasetError(f"{path}: cannot be decoded; unpack the dataset again")
    if not grey:
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)
    return np.asarray(pixels, dtype=np.uint8)
