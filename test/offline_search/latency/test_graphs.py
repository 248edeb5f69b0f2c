# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
import onnxruntime

from offline_search.export import to_onnx
from offline_search.latency.graphs import network_graph
from offline_search.space import Architecture, Head, Stage
from offline_search.space.network import build

# Operators of every make, most of them in layers of several.
ARCHITECTURE = Architecture(
    (32, 32),
    8,
    16,
    (
        Stage(24, 2, (("mb_k3_e3", "ghost_k3"),)),
        Stage(32, 2, (("conv_k3", "sep_k3"), ("ghost_k3", "coord_attn", "skip"), ("coord_attn",))),
    ),
    Head("heatmap", (16,), 5, mask=True),
)


def kernels(file: bytes, folder: Path) -> Counter[str]:
    """What the runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    nodes = onnx.load(folder / "optimised.onnx").graph.node
    return Counter(f"{node.domain}.{node.op_type}" for node in nodes)


def test_the_runtime_runs_what_it_would_run_of_a_bundle(tmp_path: Path) -> None:
    measured = kernels(network_graph(ARCHITECTURE), tmp_path)
    assert measured == kernels(to_onnx(build(ARCHITECTURE, seed=0).eval()), tmp_path)
    assert sum(measured.values()) > 20
