# SPDX-License-Identifier: Apache-2.0
"""What some networks are given besides an image: their own features of earlier images of a thing.

Such a network has a causal cell over the features of the last images (after NAS-TC, arXiv
2104.01110): its backbone runs once an image, and gives the features that later images are told of.
Each image has a crop of its own, so features are moved into the newest one's before they are given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.geometry import Array, Camera

_MAX_LAG: Final = 64
_MAX_FPS: Final = 1000.0
# What one track can make a robot keep at most: 64 MB.
_MAX_VALUES: Final = 16_000_000

Features = NDArray[np.float32]


@dataclass(frozen=True)
class MemorySpec:
    """What a network takes of earlier images, and gives of this one.

    Attributes:
        lags: how many images earlier each of the features that it takes is; rising, 1 or more.
        channels: of the features.
        size: (height, width) of the features, cells.
        stride: crop px a cell; cell i is centred at (i + 0.5) * stride - 0.5.
        fps: images a second that lags count, as in training.
    """

    lags: tuple[int, ...]
    channels: int
    size: tuple[int, int]
    stride: int
    fps: float

    @property
    def most_glimpses(self) -> int:
        """Of how many images a track keeps features at most, see `tracking.recollection`.

        Four in the time between two images of the training, up to the longest lag.
        """
        return 4 * (self.lags[-1] + 2)

    @property
    def values(self) -> int:
        """How many numbers a track keeps at most."""
        return self.channels * self.size[0] * self.size[1] * self.most_glimpses

    @property
    def given(self) -> tuple[int, ...]:
        """Shape (1, C, h, w) of the features of one image."""
        return (1, self.channels, *self.size)

    @property
    def taken(self) -> tuple[int, ...]:
        """Shape (1, L, C, h, w) of the features of all lags."""
        return (1, len(self.lags), self.channels, *self.size)

    def to_json(self) -> dict[str, Any]:
        """Returns plain values for the manifest."""
        return {**asdict(self), "lags": list(self.lags), "size": list(self.size)}

    @classmethod
    def from_json(cls, values: Any, input_size: tuple[int, int]) -> MemorySpec:
        """Reads and checks the values of a manifest.

        Args:
            values: as `to_json` returns them.
            input_size: (height, width) of the network's crop, px.

        Raises:
            ValueError: a value is missing, unknown or out of range; the message begins with it.
        """
        names = [item.name for item in fields(cls)]
        if not isinstance(values, Mapping) or set(values) != set(names):
            raise ValueError(f"memory must be an object of {', '.join(names)}")
        lags, channels, size, stride, fps = (values[name] for name in names)
        if not _are_whole(lags) or not lags or lags != sorted(set(lags)):
            raise ValueError("memory.lags must be whole numbers, each larger than the one before")
        if not 1 <= lags[0] <= lags[-1] <= _MAX_LAG:
            raise ValueError(f"memory.lags must be in 1..{_MAX_LAG}")
        if not _are_whole([channels, stride]) or channels < 1 or stride < 1:
            raise ValueError("memory.channels and memory.stride must be whole and positive")
        if not _are_whole(size) or [side * stride for side in size] != list(input_size):
            raise ValueError(
                f"memory.size must be [height, width] of input_size in cells of {stride} px"
            )
        number = isinstance(fps, int | float) and not isinstance(fps, bool)
        if not number or not 0.1 <= fps <= _MAX_FPS:
            raise ValueError(f"memory.fps must be a number in 0.1..{_MAX_FPS:g}")
        memory = cls(tuple(lags), channels, (size[0], size[1]), stride, float(fps))
        if memory.values > _MAX_VALUES:
            raise ValueError(
                f"memory.channels times cells times {memory.most_glimpses}, the most images that a "
                f"track keeps for lags up to {lags[-1]}, must be at most {_MAX_VALUES}"
            )
        return memory


@dataclass(frozen=True, eq=False)
class Glimpse:
    """What a network saw of a thing in one image.

    Attributes:
        features: (1, C, h, w), as the network gave them.
        A: (2, 3), crop_px = A @ [image_px, 1], of the crop that it was given.
        camera: of the image.
    """

    features: Features
    A: Array
    camera: Camera


#: For each lag what was seen then, or None.
Remembered = Sequence[Glimpse | None]


def past_features(memory: MemorySpec, remembered: Remembered, A: Array, camera: Camera) -> Features:
    """What a network takes of earlier images: (1, L, C, h, w), zeros where there is nothing.

    Args:
        memory: what it takes.
        remembered: for each lag, or empty; what another camera saw counts as nothing.
        A: as in `Glimpse`, of this image's crop.
        camera: of this image.
    """
    past = np.zeros(memory.taken, np.float32)
    for place, glimpse in zip(past[0], remembered, strict=bool(remembered)):
        if glimpse is not None and glimpse.camera.is_like(camera):
            place[:] = aligned(glimpse.features[0], glimpse.A, A, memory.stride)
    return past


def aligned(features: Features, A_then: Array, A_now: Array, stride: int) -> Features:
    """Features of one crop, resampled into another: bilinear, zeros beyond the edge.

    Crops are scaled and moved, never turned, so rows and columns are resampled one after the other:
    two products of matrices. (OpenCV's `warpAffine` rounds places to a 32nd of a cell.)

    Args:
        features: (C, h, w).
        A_then: (2, 3), crop_px = A @ [image_px, 1], of the crop that they are of.
        A_now: the same of the other crop.
        stride: crop px a cell.

    Returns:
        (C, h, w).
    """
    channels, rows, columns = features.shape
    (x_scale, _, x), (_, y_scale, y) = A_then.tolist()
    (x_scale_now, _, x_now), (_, y_scale_now, y_now) = A_now.tolist()
    across = _weights(columns, (x_scale, x), (x_scale_now, x_now), stride)
    down = _weights(rows, (y_scale, y), (y_scale_now, y_now), stride)
    wide = (features.reshape(-1, columns) @ across.T).reshape(channels, rows, columns)
    return np.asarray(np.matmul(down, wide), dtype=np.float32)


def _weights(
    cells: int, then: tuple[float, float], now: tuple[float, float], stride: int
) -> Features:
    """(cells, cells): how much of each cell then is in each cell now, along one axis.

    Args:
        cells: along it.
        then: scale and shift from image px to crop px.
        now: the same, of the new crop.
        stride: crop px a cell.
    """
    index = np.arange(cells)
    image_px = ((index + 0.5) * stride - 0.5 - now[1]) / now[0]
    places = (then[0] * image_px + then[1] + 0.5) / stride - 0.5
    weights = np.maximum(0.0, 1.0 - np.abs(places[:, None] - index))
    return np.asarray(weights, dtype=np.float32)


def _are_whole(values: Any) -> bool:
    whole = isinstance(values, list)
    return whole and all(isinstance(item, int) and not isinstance(item, bool) for item in values)
