# SPDX-License-Identifier: Apache-2.0
"""Counts and latencies of a node, for diagnostics; knows no ROS."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

# How many frames the latency figures look back: 20 s at 30 Hz.
WINDOW: Final = 600


@dataclass(frozen=True)
class Counts:
    """What became of the frames up to a moment.

    Attributes:
        at: monotonic time of the moment (s).
        received, processed, poses: images that came, images that were processed, poses found in
            them.
        located: images in which the locator searched.
        dropped: images given up, by cause.
    """

    at: float = field(default_factory=time.monotonic)
    received: int = 0
    processed: int = 0
    poses: int = 0
    located: int = 0
    dropped: Counter[str] = field(default_factory=Counter)


class FrameStatistics:
    """What became of the frames, and how long each stage took.

    Attributes:
        received, processed, poses, located, dropped: as in `Counts`.
        last_poses: poses found in the last frame that was processed.
        last_error: why the last frame was given up that was.
    """

    def __init__(self) -> None:
        """Begins with nothing counted."""
        self.received = 0
        self.processed = 0
        self.poses = 0
        self.last_poses = 0
        self.located = 0
        self.dropped: Counter[str] = Counter()
        self.last_error = ""
        self._stages: dict[str, deque[float]] = {}

    def drop(self, cause: str, error: str = "") -> None:
        """Counts a frame that was given up, under its cause."""
        self.dropped[cause] += 1
        if error:
            self.last_error = error

    def process(self, poses: int, stages_ms: Mapping[str, float]) -> None:
        """Counts a frame that was processed: poses found, and the time of each stage (ms).

        A stage of exactly 0 ms was not needed, and does not count among that stage's times.
        """
        self.processed += 1
        self.poses += poses
        self.last_poses = poses
        self.located += stages_ms.get("locate", 0.0) > 0.0
        for stage, value in stages_ms.items():
            if value == 0.0:
                continue
            self._stages.setdefault(stage, deque(maxlen=WINDOW)).append(value)

    def counts(self) -> Counts:
        """Returns the counts as they are now."""
        return Counts(
            received=self.received,
            processed=self.processed,
            poses=self.poses,
            located=self.located,
            dropped=self.dropped.copy(),
        )

    def percentiles(self, *percents: float) -> dict[str, tuple[float, ...]]:
        """Returns percentiles (ms) of each stage over the last frames."""
        return {
            stage: tuple(float(value) for value in np.percentile(values, percents))
            for stage, values in self._stages.items()
        }
