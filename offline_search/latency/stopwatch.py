# SPDX-License-Identifier: Apache-2.0
"""How long ONNX files take on this machine, in the runtime of the robot."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fpg_pose_ros.backends import stopwatch
from fpg_pose_ros.backends.onnx_runtime import OnnxRuntimeBackend
from offline_search.latency.graphs import Shape


def milliseconds(files: Sequence[tuple[bytes, Shape]], threads: int) -> list[float]:
    """The time of each, see `fpg_pose_ros.backends.stopwatch.milliseconds`.

    Args:
        files: ONNX files and the shapes of their inputs.
        threads: Of the runtime.
    """
    rng = np.random.default_rng(0)
    return stopwatch.milliseconds(
        [
            (OnnxRuntimeBackend(content, threads), [rng.uniform(0, 1, shape).astype(np.float32)])
            for content, shape in files
        ]
    )
