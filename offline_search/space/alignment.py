# SPDX-License-Identifier: Apache-2.0
"""Features of an earlier image's crop, resampled into the crop of the present one.

Cell i of features of stride s has its centre at crop pixel s (i + 1/2) - 1/2. It is interpolated
linearly between the four cells around it; beyond the earlier crop there are zeros. The robot does
the same by NumPy.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fpg_pose_ros.geometry import Array, invert_affine


def between_crops(A_now: Array, A_then: Array) -> Array:
    """Returns M (2, 3) with then_px = M @ [now_px, 1].

    Args:
        A_now: (2, 3) of the present crop, crop_px = A @ [image_px, 1].
        A_then: (2, 3) of the earlier one.
    """
    back = np.vstack([invert_affine(A_now), [0.0, 0.0, 1.0]])
    return np.asarray(A_then @ back, dtype=np.float64)


def align(features: Tensor, maps: Tensor, stride: int) -> Tensor:
    """Earlier features as the present crop sees them.

    Args:
        features: (N, C, h, w), of crops of stride * (h, w) px.
        maps: (N, 2, 3), see `between_crops`.
        stride: Crop pixels for each cell.

    Returns:
        (N, C, h, w).
    """
    count, _, height, width = features.shape
    linear, offset = maps[:, :, :2], maps[:, :, 2]
    # Where pixel p maps to q = L p + t, the coordinates of `grid_sample`, g = 2 (q + 1/2) / S - 1
    # of a side of S px, map linearly too.
    size = maps.new_tensor([stride * width, stride * height])
    scale = size[None, None, :] / size[None, :, None]  # of the input's axis over the output's
    middle = (linear * (size / 2 - 0.5)).sum(2) + offset
    shift = 2 * (middle + 0.5) / size - 1
    theta = torch.cat((linear * scale, shift[:, :, None]), dim=2)
    grid = F.affine_grid(theta, [count, 1, height, width], align_corners=False)
    return F.grid_sample(features, grid.to(features.dtype), align_corners=False)
