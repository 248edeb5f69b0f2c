# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from fpg_pose_ros.onnx_header import OnnxHeaderError, TensorHeader, read_onnx_header


def model(nodes=None, initializers=(), inputs=None, **options) -> bytes:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 5))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3, 4, 5))
    nodes = nodes or [helper.make_node("Relu", ["x"], ["y"])]
    graph = helper.make_graph(nodes, "g", inputs or [x], [y], list(initializers))
    return helper.make_model(graph, **options).SerializeToString()


def test_names_shapes_and_types_are_read():
    header = read_onnx_header(model())
    assert header.inputs == (TensorHeader("x", (1, 3, 4, 5), True),)
    assert header.outputs == (TensorHeader("y", (1, 3, 4, 5), True),)


def test_weights_listed_as_inputs_are_no_inputs():
    weight = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 5)),
        helper.make_tensor_value_info("w", TensorProto.FLOAT, (2,)),
    ]
    assert [i.name for i in read_onnx_header(model(None, [weight], inputs)).inputs] == ["x"]


def test_open_dimensions_and_other_types_are_told():
    inputs = [helper.make_tensor_value_info("x", TensorProto.UINT8, ("batch", 3, None, 5))]
    assert read_onnx_header(model(inputs=inputs)).inputs == (
        TensorHeader("x", (0, 3, 0, 5), False),
    )


def external_tensor():
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[2])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return tensor


def test_weights_in_other_files_are_refused_wherever_they_hide():
    hidden = helper.make_node("Constant", [], ["c"], value=external_tensor())
    graph = helper.make_graph([hidden], "inner", [], [])
    nested = helper.make_node("If", ["x"], ["y"], then_branch=graph, else_branch=graph)
    for data in (model(initializers=[external_tensor()]), model([hidden]), model([nested])):
        with pytest.raises(OnnxHeaderError, match="another file"):
            read_onnx_header(data)


def test_operators_outside_the_standard_are_refused():
    node = helper.make_node("Run", ["x"], ["y"], domain="com.example")
    with pytest.raises(OnnxHeaderError, match=r"com\.example"):
        read_onnx_header(model([node]))
    function = helper.make_function(
        "local", "F", ["a"], ["b"], [helper.make_node("Run", ["a"], ["b"], domain="evil")], []
    )
    with pytest.raises(OnnxHeaderError, match="evil"):
        read_onnx_header(model(functions=[function]))


def test_graphs_nested_without_end_are_refused():
    graph = helper.make_graph([], "leaf", [], [])
    for _ in range(12):
        graph = helper.make_graph(
            [helper.make_node("If", ["x"], ["y"], then_branch=graph)], "g", [], []
        )
    node = helper.make_node("If", ["x"], ["y"], then_branch=graph)
    with pytest.raises(OnnxHeaderError, match="deeply"):
        read_onnx_header(model([node]))


def test_whatever_the_bytes_are_nothing_but_its_own_error_comes_out():
    good = model(initializers=[numpy_helper.from_array(np.arange(8.0), "w")])
    for keep in range(len(good)):
        with contextlib.suppress(OnnxHeaderError):
            read_onnx_header(good[:keep])
    rng = np.random.default_rng(0)
    for _ in range(2000):
        changed = bytearray(good)
        for at in rng.integers(0, len(good), 3):
            changed[at] = int(rng.integers(256))
        try:
            header = read_onnx_header(bytes(changed))
        except OnnxHeaderError:
            continue
        assert header.outputs
    with pytest.raises(OnnxHeaderError):
        read_onnx_header(b"")


def test_it_agrees_with_onnx_on_a_network_of_many_operators(cube_parts):
    for name in ("pose.onnx", "locator.onnx"):
        content = cube_parts[1][name]
        onnx.checker.check_model(onnx.load_from_string(content))
        graph = onnx.load_from_string(content).graph
        header = read_onnx_header(content)
        for seen, true in ((header.inputs, graph.input), (header.outputs, graph.output)):
            assert [(t.name, t.shape) for t in seen] == [
                (t.name, tuple(d.dim_value for d in t.type.tensor_type.shape.dim)) for t in true
            ]
