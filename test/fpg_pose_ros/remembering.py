# SPDX-License-Identifier: Apache-2.0
"""A memory for the pose networks that are made by hand, with an effect that is easy to compute.

The features are means of the picture over cells of 16 px, and the maps are multiplied by `effect`
of what is remembered: the more, the flatter.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fpg_pose_ros.backends import Backend
from fpg_pose_ros.memory import MemorySpec

STRIDE, CHANNELS = 16, 3
_RATE = -0.002


def memory(lags: tuple[int, ...] = (1, 2, 4), side: int = 128) -> MemorySpec:
    return MemorySpec(lags, CHANNELS, (side // STRIDE, side // STRIDE), STRIDE, 30.0)


def effect(past: NDArray[np.float32]) -> float:
    """What the maps are multiplied by."""
    return float(np.exp(_RATE * past.mean()))


def with_memory(
    manifest: Mapping[str, Any], files: Mapping[str, bytes], spec: MemorySpec | None = None
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of a bundle by hand whose pose network remembers."""
    spec = spec or memory()
    changed = copy.deepcopy(dict(manifest))
    changed["objects"][0]["network"]["memory"] = spec.to_json()
    model = onnx.load_from_string(files["pose.onnx"])
    graph = model.graph
    maps = next(node for node in graph.node if node.output[0] == "heat")
    maps.output[0] = "alone"
    graph.input.append(_value("past", spec.taken))
    graph.output.append(_value("features", spec.given))
    graph.initializer.append(numpy_helper.from_array(np.float32(_RATE), "rate"))
    cells = {"kernel_shape": [STRIDE] * 2, "strides": [STRIDE] * 2}
    graph.node.extend(
        [
            helper.make_node("AveragePool", ["image"], ["features"], **cells),
            helper.make_node("ReduceMean", ["past"], ["mean_past"], keepdims=0),
            helper.make_node("Mul", ["mean_past", "rate"], ["faded"]),
            helper.make_node("Exp", ["faded"], ["effect"]),
            helper.make_node("Mul", ["alone", "effect"], ["heat"]),
        ]
    )
    onnx.checker.check_model(model)
    return changed, {**files, "pose.onnx": model.SerializeToString()}


def _value(name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


class Watched:
    """A backend that notes what it is given."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.runtime = backend.runtime
        self.inputs: list[tuple[NDArray[np.float32], ...]] = []
        self.outputs: list[tuple[NDArray[np.float32], ...]] = []

    def run(self, *inputs: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        self.inputs.append(tuple(item.copy() for item in inputs))
        self.outputs.append(self._backend.run(*inputs))
        return self.outputs[-1]
