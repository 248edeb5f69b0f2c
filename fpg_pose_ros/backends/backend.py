# SPDX-License-Identifier: Apache-2.0
"""What every runtime offers, and the error of one that cannot be had."""

from __future__ import annotations

import importlib
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import FpgPoseError

Tensor = NDArray[np.float32]


class BackendError(FpgPoseError):
    """A runtime that cannot be had here, or not for this bundle; the message says what helps."""


class Backend(Protocol):
    """A network ready to run.

    Attributes:
        runtime: the name by which it is asked for: onnxruntime, openvino or torch.
    """

    runtime: str

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps inputs (`NetworkSpec.input_shapes`) to the network's outputs, in its order."""
        ...


def require(module: str, *, backend: str, extra: str) -> Any:
    """Imports a module that an extra of this package brings.

    Raises:
        BackendError: it is not installed, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise BackendError(
            f"backend {backend} needs {error.name or module}, which cannot be imported ({error}): "
            f"in a clone of fpg_pose_ros, pip install '.[{extra}]'"
        ) from None
