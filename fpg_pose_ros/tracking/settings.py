# SPDX-License-Identifier: Apache-2.0
"""How things are tracked."""

from __future__ import annotations

from dataclasses import dataclass

from fpg_pose_ros.tracking.filter import MotionNoise


@dataclass(frozen=True)
class TrackingSettings:
    """How things are tracked.

    Attributes:
        enabled: whether they are; else the result is the estimator's own.
        locate_period: the locator looks for new things, and for those it knows, at least so often,
            s; 0 for every image.
        timeout: a track ends when nothing was measured for so long, s, and in at least one image.
        hits: a track is reported from this many measurements on.
        gate: probability that an honest measurement lies within the gate, above 0 and below 1.
        acceleration: how much a thing's speed may change within a second, standard deviation,
            m/s^2; it changes as the root of time.
        angular_acceleration: the same of its angular speed, rad/s^2.

    Raises:
        ValueError: a setting is out of range.
    """

    enabled: bool = True
    locate_period: float = 0.5
    timeout: float = 0.5
    hits: int = 2
    gate: float = 0.999
    acceleration: float = 1.0
    angular_acceleration: float = 4.0

    def __post_init__(self) -> None:
        """Checks the ranges."""
        if not self.locate_period >= 0.0 or not self.timeout >= 0.0:
            raise ValueError("locate_period and timeout cannot be negative")
        if self.hits < 1:
            raise ValueError(f"hits is {self.hits}; at least 1 is needed")
        if not 0.0 < self.gate < 1.0:
            raise ValueError(f"gate is {self.gate}; it must be above 0 and below 1")
        if not self.acceleration > 0.0 or not self.angular_acceleration > 0.0:
            raise ValueError("accelerations must be positive")

    @property
    def noise(self) -> MotionNoise:
        """The accelerations as the filter takes them."""
        return MotionNoise(self.acceleration, self.angular_acceleration)
