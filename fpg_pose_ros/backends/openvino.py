# SPDX-License-Identifier: Apache-2.0
"""Networks in OpenVINO, on the CPU."""

from __future__ import annotations

from typing import Any

from fpg_pose_ros.backends.backend import Tensor, require
from fpg_pose_ros.errors import BundleError


class OpenVinoBackend:
    """OpenVINO on the CPU.

    Args:
        model: contents of an ONNX file, already checked (`bundle.read_bundle`).
        threads: how many the network's operators may use.

    Raises:
        BackendError: OpenVINO is not installed.
        BundleError: OpenVINO cannot load the model.
    """

    runtime = "openvino"

    def __init__(self, model: bytes, threads: int = 1) -> None:
        """Loads and compiles the model."""
        openvino: Any = require("openvino", backend=self.runtime, extra="openvino")
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            # Where processors have bfloat16 units it would use them unasked.
            "INFERENCE_PRECISION_HINT": "f32",
            # Which core is free is the operating system's business.
            "ENABLE_CPU_PINNING": False,
        }
        core = openvino.Core()
        try:
            compiled = core.compile_model(core.read_model(model, b""), "CPU", settings)
        except Exception as error:  # plain RuntimeErrors of several kinds
            reason = str(error).strip().splitlines()[-1].strip()
            raise BundleError(f"OpenVINO cannot load a network: {reason}") from None
        self._request: Any = compiled.create_infer_request()

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps inputs (`NetworkSpec.input_shapes`) to the network's outputs, in its order."""
        return tuple(self._request.infer(list(inputs), share_inputs=True).values())
