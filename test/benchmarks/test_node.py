# SPDX-License-Identifier: Apache-2.0
"""The node's figures in the page, and what they are measured with."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from benchmarks.node_bundles import _add, film
from benchmarks.report import render

PROVENANCE = {
    "machine": "a machine",
    "command": "python benchmarks/node.py --minutes 10 --seconds 40",
    "date": "2026-01-02",
    "node": "bound to one core",
    "load_before": 0.5,
}


def test_figures_stand_beside_their_goals_and_missing_ones_show(tmp_path: Path) -> None:
    figures = {
        "measured": {"cost": PROVENANCE},
        "overhead_ratio": 1.234,
        "lost_reliable": 0,
        "pose_macs_300": 303_000_000,
        "stages": {"infer": {"p50": 0.8, "p99": 1.25}},
    }
    (tmp_path / "node.json").write_text(json.dumps(figures))
    page = render("# Results\n", tmp_path)
    assert "| node / bare inference, 40 MMACs | 1.23 | <= 2.2 |" in page
    assert "| frames lost, reliable | 0 | 0 |" in page
    assert "| start to first pose, s | - | <= 3 |" in page
    assert "| shipped, with ballast | 303.0 |" in page
    assert "| shipped | 0.80 / 1.25 |" in page
    assert "`python benchmarks/node.py --minutes 10 --seconds 40 --only cost`" in page


def network(weight: float, bias: float) -> bytes:
    """A 1x1 convolution from three channels to two."""
    values = {"w": np.full((2, 3, 1, 1), weight, np.float32), "b": np.full(2, bias, np.float32)}
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "w", "b"], ["heat"])],
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("heat", TensorProto.FLOAT, [1, 2, 4, 4])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def test_ballast_runs_and_changes_nothing() -> None:
    x = np.random.default_rng(0).normal(size=(1, 3, 4, 4)).astype(np.float32)

    def run(model: bytes) -> np.ndarray:
        session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        return session.run(None, {"image": x})[0]

    loaded = _add(network(1.0, 2.0), network(3.0, 4.0))
    assert sum(node.op_type == "Conv" for node in onnx.load_from_string(loaded).graph.node) == 2
    np.testing.assert_allclose(run(loaded), run(network(1.0, 2.0)), atol=1e-5)
    heavy = _add(network(1.0, 2.0), network(3.0, 1e9))
    assert np.abs(run(heavy) - run(network(1.0, 2.0))).min() > 0.5, "the ballast was left out"


def test_a_film_goes_to_and_fro_and_has_the_wanted_length(tmp_path: Path) -> None:
    scene = tmp_path / "scene"
    scene.mkdir()
    for name in ("camera.json", "0.png", "1.png", "2.png"):
        (scene / name).write_text(name)
    made = film(tmp_path / "film", scene, 7)
    shown = [path.read_text() for path in sorted(made.glob("*.png"))]
    assert shown == [f"{number}.png" for number in (0, 1, 2, 1, 0, 1, 2)]
    assert (made / "camera.json").read_text() == "camera.json"
