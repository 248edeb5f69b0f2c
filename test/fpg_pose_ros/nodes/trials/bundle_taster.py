# SPDX-License-Identifier: Apache-2.0
"""Loads and runs each bundle named on a line of stdin; what comes of it is a line on stdout.

The line begins with `answer:`, since runtimes have things to say as well.
"""

from __future__ import annotations

import sys

import numpy as np

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Camera

CAMERA = Camera(160, 120, np.array([[150.0, 0, 79.5], [0, 150.0, 59.5], [0, 0, 1]]))

if __name__ == "__main__":
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    for line in sys.stdin:
        try:
            Estimator(read_bundle(line.strip())).estimate(image, CAMERA)
        except BundleError:
            print("answer: refused", flush=True)
        except Exception:
            # The node says this of a bundle that a runtime cannot digest, and goes on.
            print("answer: fails", flush=True)
        else:
            print("answer: runs", flush=True)
