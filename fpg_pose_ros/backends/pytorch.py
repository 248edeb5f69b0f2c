# SPDX-License-Identifier: Apache-2.0
"""Networks in torch, on the CPU or a CUDA device, rebuilt from a bundle's architecture and weights.

The half that trains knows how networks are built. It is looked up by name when a network is opened:
a robot without it has every other backend.
"""

from __future__ import annotations

from typing import Any, Final

from fpg_pose_ros.backends.backend import BackendError, Tensor, require
from fpg_pose_ros.bundle import Bundle, NetworkSpec

#: Its `rebuild(bundle, file)` returns the torch module of a network, in evaluation mode.
_BUILDER: Final = "offline_search.rebuild"


class TorchBackend:
    """Torch, eager.

    The number of threads is torch's for the whole process.

    Args:
        bundle: a checked bundle.
        spec: the network.
        threads: how many the network's operators may use on the CPU.
        device: cpu or cuda.

    Raises:
        BackendError: torch, the half that trains, or the device is not there; or the bundle's ONNX
            file is not what its weights make.
        BundleError: the bundle's weights do not fit its architecture.
    """

    runtime = "torch"

    def __init__(self, bundle: Bundle, spec: NetworkSpec, threads: int, device: str) -> None:
        """Builds the network."""
        if spec.precision != "float32":
            raise BackendError(
                f"backend torch runs float32 networks, {spec.file} is {spec.precision}: use "
                "onnxruntime or openvino, or the bundle that it was quantised from"
            )
        self._torch: Any = require("torch", backend=self.runtime, extra="train")
        builder = require(_BUILDER, backend=self.runtime, extra="train")
        if device == "cuda":
            self._prepare_cuda()
        self._torch.set_num_threads(threads)
        network = builder.rebuild(bundle, spec.file)
        self._device = device
        # Several times as fast as the default for convolutions of few channels on a CPU.
        self._layout = self._torch.channels_last
        self._network = network.to(device=device, memory_format=self._layout)

    def _prepare_cuda(self) -> None:
        if not self._torch.cuda.is_available():
            raise BackendError(
                "device cuda: torch finds no CUDA device; use device cpu, or see to the NVIDIA "
                "driver and a CUDA build of torch"
            )
        # 10 bits of mantissa are no float32.
        self._torch.backends.cudnn.allow_tf32 = False

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Maps inputs (`NetworkSpec.input_shapes`) to the network's outputs, in its order."""
        image, *others = map(self._torch.from_numpy, inputs)
        with self._torch.inference_mode():
            image = image.to(self._device, memory_format=self._layout)
            if others:
                (past,) = others
                features = self._network.features(image)
                outputs = self._network.conclude(features, past.to(self._device))
            else:
                outputs, features = self._network(image), None
        found = outputs if isinstance(outputs, tuple) else (outputs,)
        found = found if features is None else (*found, features)
        return tuple(output.contiguous().cpu().numpy() for output in found)
