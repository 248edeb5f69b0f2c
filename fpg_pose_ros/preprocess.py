# SPDX-License-Identifier: Apache-2.0
"""From an image to what a network takes: letterbox, crop, tensor."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.bundle_schema import NetworkSpec
from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Array, Camera

Image = NDArray[np.uint8]


def check_image(image: Image, camera: Camera) -> None:
    """Checks that an image is one, and its camera's.

    Raises:
        CameraError: image and camera differ in size.
        ValueError: the image is not (H, W, 3) uint8.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image must be (H, W, 3) uint8, it is {image.shape} {image.dtype}")
    if image.shape[:2] != (camera.height, camera.width):
        raise CameraError(
            f"the image is {image.shape[1]} x {image.shape[0]} px, the camera's width x height "
            f"{camera.width} x {camera.height}; give the calibration of this image size"
        )


def letterbox_affine(image_size: tuple[int, int], input_size: tuple[int, int]) -> Array:
    """Returns A (2, 3), input_px = A @ [image_px, 1]: the whole image, centred, aspect kept.

    Args:
        image_size: (height, width) of the image, px.
        input_size: (height, width) of the network's input, px.
    """
    (height, width), (rows, columns) = image_size, input_size
    scale = min(rows / height, columns / width)
    x = 0.5 * (columns - 1) - scale * 0.5 * (width - 1)
    y = 0.5 * (rows - 1) - scale * 0.5 * (height - 1)
    return np.array([[scale, 0.0, x], [0.0, scale, y]])


def resample(image: Image, A: Array, size: tuple[int, int]) -> Image:
    """Cuts and scales a window out of an image without aliasing; beyond its edges it is black.

    Args:
        image: (H, W, 3) uint8.
        A: (2, 3), window_px = A @ [image_px, 1], one positive scale and a translation.
        size: (height, width) of the window, px.

    Returns:
        (height, width, 3) uint8.
    """
    rows, columns = size
    # Halved until bilinear interpolation sees every pixel; cheap, since only the window is touched.
    levels = max(0, math.floor(math.log2(1.0 / A[0, 0]) + 0.3))
    if levels:
        step = 2**levels
        # Plain numbers: NumPy takes longer for each call than for all the arithmetic.
        (scale, _, x), (_, _, y) = A.tolist()
        left = max(0, math.floor(-x / scale) - step)
        top = max(0, math.floor(-y / scale) - step)
        right = min(image.shape[1], math.ceil((columns - 1 - x) / scale) + 1 + step)
        bottom = min(image.shape[0], math.ceil((rows - 1 - y) / scale) + 1 + step)
        wide, tall = max(0, right - left) // step * step, max(0, bottom - top) // step * step
        if wide and tall:
            image = image[top : top + tall, left : left + wide]
            for level in range(1, levels + 1):
                half = (wide >> level, tall >> level)
                image = np.asarray(cv2.resize(image, half, interpolation=cv2.INTER_AREA), np.uint8)
            # Pixel i of the small image covers i * step .. i * step + step - 1.
            middle = 0.5 * (step - 1)
            x, y, scale = x + scale * (left + middle), y + scale * (top + middle), scale * step
            A = np.array([[scale, 0.0, x], [0.0, scale, y]])
    window = cv2.warpAffine(image, A, (columns, rows), flags=cv2.INTER_LINEAR)
    return np.asarray(window, dtype=np.uint8)


def to_tensor(image: Image, spec: NetworkSpec) -> NDArray[np.float32]:
    """Turns an image (H, W, 3) uint8 into the network's input (1, 3, H, W) float32."""
    tensor = np.empty((1, 3, *image.shape[:2]), dtype=np.float32)
    for channel, plane in enumerate(cv2.split(image)):
        tensor[0, channel] = plane
    if any(spec.mean) or spec.std != (1.0, 1.0, 1.0):
        tensor -= np.array(spec.mean, dtype=np.float32)[:, None, None]
        tensor /= np.array(spec.std, dtype=np.float32)[:, None, None]
    return tensor
