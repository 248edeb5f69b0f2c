# SPDX-License-Identifier: Apache-2.0
"""What is remembered of one thing for a network that is told of earlier images."""

from __future__ import annotations

from fpg_pose_ros.memory import Glimpse, MemorySpec, Remembered


class Recollection:
    """The glimpses of one thing in the last images.

    Lags count images at the rate of the training, and a camera may have another: each lag gets the
    glimpse nearest to its time, if that is within half the time between two images of the training.
    So an image that was missed, or never came, leaves a gap.

    Args:
        memory: what the network is told of.
    """

    def __init__(self, memory: MemorySpec) -> None:
        """Begins with nothing."""
        self._lags = memory.lags
        self._period_ns = round(1e9 / memory.fps)
        self._kept: list[tuple[int, Glimpse]] = []

    def keep(self, glimpse: Glimpse, stamp_ns: int) -> None:
        """Remembers what was seen in an image, and forgets what no lag reaches any more."""
        # A fast camera gives more than can be asked for, and a stopped clock no end of it: so of
        # three in a row the outer two are half a period apart, see `MemorySpec.most_glimpses`.
        if len(self._kept) > 1 and 2 * (stamp_ns - self._kept[-2][0]) < self._period_ns:
            self._kept.pop()
        self._kept.append((stamp_ns, glimpse))
        reach = stamp_ns - (self._lags[-1] + 1) * self._period_ns
        self._kept = [item for item in self._kept if item[0] >= reach]

    def recall(self, stamp_ns: int) -> Remembered:
        """Returns for each lag what was seen so many images before this time, or None."""
        return [self._nearest(stamp_ns - lag * self._period_ns) for lag in self._lags]

    def clear(self) -> None:
        """Forgets everything."""
        self._kept = []

    def _nearest(self, stamp_ns: int) -> Glimpse | None:
        at, glimpse = min(
            self._kept, key=lambda item: abs(item[0] - stamp_ns), default=(stamp_ns, None)
        )
        return glimpse if 2 * abs(at - stamp_ns) <= self._period_ns else None
