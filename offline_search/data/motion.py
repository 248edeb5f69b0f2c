# SPDX-License-Identifier: Apache-2.0
"""Smooth, never repeating motion: pure functions of time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fpg_pose_ros.geometry import Array, exp_so3, make_transform
from offline_search.data.objects import Views
from offline_search.data.views import random_direction, random_rotation, view_rotation


@dataclass(frozen=True, eq=False)
class Wander:
    """A smooth function of time with values within -1 to 1: two sines out of step."""

    frequencies: Array
    phases: Array

    @staticmethod
    def random(rng: np.random.Generator, period: float) -> Wander:
        """Returns one whose larger swing takes about `period` seconds."""
        slow = 2.0 * np.pi / (period * rng.uniform(0.8, 1.25))
        return Wander(
            np.array([slow, slow * rng.uniform(1.55, 1.75)]), rng.uniform(0, 2 * np.pi, 2)
        )

    def at(self, time: float) -> float:
        """Returns the value at a time, s."""
        return float(np.sin(self.frequencies * time + self.phases) @ [0.65, 0.35])


def _between(limits: tuple[float, float], value: float) -> float:
    return 0.5 * (limits[0] + limits[1]) + 0.5 * (limits[1] - limits[0]) * value


class ObjectPath:
    """An object that wanders through a camera's view and turns as it goes.

    Where its `views` are limited it turns within their limits; else it tumbles any way.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        views: Views,
        K: Array,
        size: tuple[int, int],
        diameter: float,
    ) -> None:
        """Draws a path before a camera `K` with images of `size` (width, height) px."""
        self._views, self._K, self._size, self._diameter = views, K, np.array(size), diameter
        self._wanders = [Wander.random(rng, period) for period in (9.0, 7.0, 11.0, 13.0, 8.0, 10.0)]
        self._start = random_rotation(rng)
        self._axes = np.stack([random_direction(rng) for _ in range(2)])
        self._rates = np.radians(rng.uniform([25.0, 10.0], [45.0, 25.0]))
        self._azimuth = rng.uniform(-np.pi, np.pi)

    def at(self, time: float) -> Array:
        """Returns T_camera_object (4, 4) at a time, s."""
        x, y, z, elevation, roll, sway = (wander.at(time) for wander in self._wanders)
        low, high = self._views.distance_m
        distance = _between((low + 0.03 * (high - low), high - 0.03 * (high - low)), z)
        # the whole object stays in the image but for the ends of the swing
        radius = 0.5 * self._diameter * self._K[0, 0] / distance
        reach = np.maximum(0.5 * (self._size - 1) - 0.85 * radius, 0.0)
        pixel = 0.5 * (self._size - 1) + reach * [x, y]
        ray = np.linalg.inv(self._K) @ np.append(pixel, 1.0)
        ray /= np.linalg.norm(ray)
        views = self._views
        if views.elevation_deg is None and views.roll_deg is None:
            spin = exp_so3(self._axes[0] * self._rates[0] * time)
            tilt = exp_so3(self._axes[1] * (self._rates[1] * time + 0.8 * sway))
            rotation = spin @ tilt @ self._start
        else:
            rotation = view_rotation(
                views,
                ray,
                azimuth=self._azimuth + float(self._rates[0]) * time,
                elevation=np.radians(_between(views.elevation_deg or (-90.0, 90.0), elevation)),
                roll=np.radians(_between(views.roll_deg or (-180.0, 180.0), roll)),
            )
        return make_transform(rotation, ray * distance)


class CameraSway:
    """A camera that is never quite still: it moves by millimetres and tenths of degrees."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Draws the motion."""
        self._wanders = [Wander.random(rng, period) for period in (3.1, 3.7, 4.3, 2.9, 3.3, 5.1)]

    def at(self, time: float) -> Array:
        """Returns T_camera_rest (4, 4) at a time, s."""
        values = np.array([wander.at(time) for wander in self._wanders])
        return make_transform(exp_so3(np.radians(1.0) * values[:3]), 0.008 * values[3:])
