# SPDX-License-Identifier: Apache-2.0
"""How long networks take on this machine, which may be doing other things besides."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from fpg_pose_ros.infer import OnnxRuntimeBackend
from offline_search.latency.graphs import Shape

# All graphs take turns, so that a busy moment spoils a few runs of each and not all of one.
_ROUNDS: Final = 16
_RUNS: Final = 5
_WARM_UP: Final = 2
# Other processes only ever add time; the least of all runs would be luck.
_QUARTILE: Final = 0.25


def milliseconds(files: Sequence[tuple[bytes, Shape]], threads: int) -> list[float]:
    """The lower quartile of many runs of each ONNX file, input in and outputs out, ms.

    Args:
        files: ONNX files and the shapes of their inputs.
        threads: Of the runtime.
    """
    rng = np.random.default_rng(0)
    ready = [
        (OnnxRuntimeBackend(content, threads), rng.uniform(0, 1, shape).astype(np.float32))
        for content, shape in files
    ]
    spent = np.empty((len(ready), _ROUNDS, _RUNS))
    for turn in range(_ROUNDS):
        for index, (backend, x) in enumerate(ready):
            for _ in range(_WARM_UP):
                backend.run(x)
            for run in range(_RUNS):
                start = time.perf_counter()
                backend.run(x)
                spent[index, turn, run] = time.perf_counter() - start
    quartiles: list[float] = (1e3 * np.quantile(spent, _QUARTILE, axis=(1, 2))).tolist()
    return quartiles
