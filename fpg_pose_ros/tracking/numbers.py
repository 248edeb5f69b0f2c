# SPDX-License-Identifier: Apache-2.0
"""The numbers by which the instances of an object are known."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from fpg_pose_ros.geometry import Array

# A number rests so long before it may name another thing.
_REST_NS: Final = 5_000_000_000


class _Resting(NamedTuple):
    since_ns: int
    place: Array


class Numbers:
    """Gives numbers to the instances of one object, and takes them back.

    The smallest free number goes first. One that was given back rests for some seconds; meanwhile
    only a thing that appears where its bearer was lost gets it, for it is likely the same. Numbers
    stay below the number of instances that are looked for: where all those rest, the one that has
    rested longest is given.
    """

    def __init__(self) -> None:
        """Begins with all numbers free."""
        self._resting: dict[int, _Resting] = {}

    def give_back(self, number: int, place: Array, stamp_ns: int) -> None:
        """Lets a number rest; its bearer was last expected at `place` (3,), m."""
        self._resting[number] = _Resting(stamp_ns, place)

    def take(
        self, living: Collection[int], place: Array, reach: float, count: int, stamp_ns: int
    ) -> int:
        """Returns the number of a thing that has appeared.

        Args:
            living: numbers that have a bearer.
            place: (3,) where it is, m.
            reach: how far from where it was lost a thing may reappear, m.
            count: how many instances are looked for.
            stamp_ns: now.
        """
        self._resting = {
            number: rest
            for number, rest in self._resting.items()
            if stamp_ns - rest.since_ns < _REST_NS and number not in living
        }
        distances = {
            number: float(np.linalg.norm(rest.place - place))
            for number, rest in self._resting.items()
        }
        number = min(distances, key=distances.__getitem__, default=0)
        if distances.get(number, np.inf) >= reach:
            number = self._other(living, count)
        self._resting.pop(number, None)
        return number

    def _other(self, living: Collection[int], count: int) -> int:
        """The smallest free number below `count`, or the one there that has rested longest."""
        free = [number for number in range(count + len(living)) if number not in living]
        rested = [number for number in free if number not in self._resting]
        below = [number for number in free if number < count]
        if rested[:1] and (rested[0] < count or not below):
            return rested[0]
        return min(below, key=lambda number: self._resting[number].since_ns)
