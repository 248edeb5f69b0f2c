# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import time

import numpy as np

from fpg_pose_ros.backends.stopwatch import milliseconds

X = np.zeros((1, 3, 8, 8), np.float32)


class Sleeper:
    """Takes so many ms, and writes down its turns."""

    runtime = "sleeper"

    def __init__(self, ms: float, turns: list[float]) -> None:
        self.ms, self.turns = ms, turns

    def run(self, x: np.ndarray) -> tuple[np.ndarray, ...]:
        self.turns.append(self.ms)
        time.sleep(self.ms * 1e-3)
        return (x,)


def test_networks_take_turns_and_get_their_own_times():
    turns: list[float] = []
    slow, fast = milliseconds([(Sleeper(4, turns), [X]), (Sleeper(1, turns), [X])], rounds=3)
    assert slow > fast >= 1
    assert turns == ([4] * 7 + [1] * 7) * 3


def test_no_round_begins_after_the_time_is_up():
    turns: list[float] = []
    (ms,) = milliseconds([(Sleeper(1, turns), [X])], seconds=0)
    assert ms >= 1
    assert len(turns) == 7
