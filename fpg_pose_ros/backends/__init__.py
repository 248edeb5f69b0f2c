# SPDX-License-Identifier: Apache-2.0
"""Running a bundle's networks on one image at a time: several runtimes behind a small interface.

ONNX Runtime is always there. OpenVINO and torch are extras, imported only when they are asked for.
"""

from __future__ import annotations

from fpg_pose_ros.backends.backend import Backend, BackendError, Tensor
from fpg_pose_ros.backends.choice import BACKENDS, DEVICES, open_backends

__all__ = ["BACKENDS", "DEVICES", "Backend", "BackendError", "Tensor", "open_backends"]
