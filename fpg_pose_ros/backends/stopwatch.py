# SPDX-License-Identifier: Apache-2.0
"""How long networks take on this machine, which may be doing other things besides."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from fpg_pose_ros.backends.backend import Backend, Tensor

_RUNS: Final = 5
_WARM_UP: Final = 2
# Other processes only ever add time; the least of all runs would be luck.
_QUARTILE: Final = 0.25


def milliseconds(
    networks: Sequence[tuple[Backend, Sequence[Tensor]]],
    *,
    rounds: int = 16,
    seconds: float = math.inf,
    clock: Callable[[], float] = time.perf_counter,
) -> list[float]:
    """The lower quartile of many runs of each network, input in and outputs out, ms.

    All take turns, so that a busy moment spoils a few runs of each and not all of one.

    Args:
        networks: and the inputs of each.
        rounds: turns of each, of five runs.
        seconds: no further round begins after so long.
        clock: what tells the time, s; `time.process_time` leaves out what other processes take.
    """
    spent: list[list[float]] = [[] for _ in networks]
    end = time.perf_counter() + seconds
    for turn in range(rounds):
        if turn and time.perf_counter() > end:
            break
        for index, (backend, inputs) in enumerate(networks):
            for _ in range(_WARM_UP):
                backend.run(*inputs)
            for _ in range(_RUNS):
                start = clock()
                backend.run(*inputs)
                spent[index].append(clock() - start)
    return [1e3 * float(np.quantile(times, _QUARTILE)) for times in spent]
