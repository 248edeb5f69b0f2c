# SPDX-License-Identifier: Apache-2.0
"""Networks in ONNX Runtime, on the CPU."""

from __future__ import annotations

from typing import Any

from fpg_pose_ros.backends.backend import Tensor
from fpg_pose_ros.errors import BundleError


class OnnxRuntimeBackend:
    """ONNX Runtime on the CPU.

    Args:
        model: contents of an ONNX file, already checked (`bundle.read_bundle`).
        threads: how many the network's operators may use.

    Raises:
        BundleError: ONNX Runtime cannot load the model.
    """

    runtime = "onnxruntime"

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """Loads and optimises the model."""
        # Imported here: whoever only reads bundles needs no runtime.
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Waiting threads that spin would take the cores of the camera driver.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session: Any = ort.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # ONNX Runtime's errors share no public base
            reason = str(error).splitlines()[0]
            raise BundleError(f"ONNX Runtime cannot load a network: {reason}") from None
        self._names = [item.name for item in self._session.get_inputs()]

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps inputs (`NetworkSpec.input_shapes`) to the network's outputs, in its order."""
        return tuple(self._session.run(None, dict(zip(self._names, inputs, strict=True))))
