# SPDX-License-Identifier: Apache-2.0
"""What an ONNX file says of itself, read without any ONNX library.

A bundle is checked before its networks are handed to a runtime. This walks the protobuf wire format
(protobuf.dev/programming-guides/encoding) just far enough to tell the shapes of inputs and outputs,
and that the file stands alone: no weights in other files, no operators outside the standard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

Shape = tuple[int, ...]

# Field numbers of onnx.proto.
_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_FUNCTION_NODE = 7
_NODE_ATTRIBUTE, _NODE_DOMAIN = 5, 7
_ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = (5, 10), (6, 11)
_TENSOR_EXTERNAL_DATA, _TENSOR_DATA_LOCATION = 13, 14
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE = 1, 1, 2, 1, 1
_FLOAT: Final = 1
_STANDARD_DOMAINS: Final = (b"", b"ai.onnx")
_MAX_DEPTH: Final = 8


class OnnxHeaderError(ValueError):
    """The bytes are no ONNX model that may be run; the message says why."""


@dataclass(frozen=True)
class TensorHeader:
    """Name, shape (0 where it is not fixed) and whether the elements are float32."""

    name: str
    shape: Shape
    is_float: bool


@dataclass(frozen=True)
class OnnxHeader:
    """The inputs (weights not counted) and outputs of a model."""

    inputs: tuple[TensorHeader, ...]
    outputs: tuple[TensorHeader, ...]


def read_onnx_header(data: bytes) -> OnnxHeader:
    """Reads inputs and outputs, and refuses what does not stand alone.

    Raises:
        OnnxHeaderError: truncated, not ONNX, weights in other files, or non-standard operators.
    """
    inputs: list[TensorHeader] = []
    outputs: list[TensorHeader] = []
    weights: set[str] = set()
    graphs = 0
    for number, value in _fields(memoryview(data)):
        if number == _MODEL_GRAPH:
            graphs += 1
            for field, part in _fields(_message(value)):
                if field == _GRAPH_INPUT:
                    inputs.append(_value_info(_message(part)))
                elif field == _GRAPH_OUTPUT:
                    outputs.append(_value_info(_message(part)))
                elif field == _GRAPH_INITIALIZER:
                    weights.add(_text(_message(part), 8))
            _check_graph(_message(value), 0)
        elif number == _MODEL_FUNCTIONS:
            for field, part in _fields(_message(value)):
                if field == _FUNCTION_NODE:
                    _check_node(_message(part), 0)
    if graphs != 1 or not outputs:
        raise OnnxHeaderError("it holds no ONNX graph")
    return OnnxHeader(tuple(i for i in inputs if i.name not in weights), tuple(outputs))


def _check_graph(graph: memoryview, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise OnnxHeaderError("its graphs are nested too deeply")
    for number, value in _fields(graph):
        if number == _GRAPH_NODE:
            _check_node(_message(value), depth)
        elif number == _GRAPH_INITIALIZER:
            _check_tensor(_message(value))


def _check_node(node: memoryview, depth: int) -> None:
    for number, value in _fields(node):
        if number == _NODE_DOMAIN and bytes(_message(value)) not in _STANDARD_DOMAINS:
            domain = bytes(_message(value)).decode("utf-8", "replace")
            raise OnnxHeaderError(
                f"it uses operators of the domain {domain!r}; only ONNX's own may"
            )
        if number == _NODE_ATTRIBUTE:
            for field, part in _fields(_message(value)):
                if field in _ATTRIBUTE_TENSORS:
                    _check_tensor(_message(part))
                elif field in _ATTRIBUTE_GRAPHS:
                    _check_graph(_message(part), depth + 1)


def _check_tensor(tensor: memoryview) -> None:
    for number, value in _fields(tensor):
        if number == _TENSOR_EXTERNAL_DATA or (number == _TENSOR_DATA_LOCATION and value != 0):
            raise OnnxHeaderError("its weights are in another file; save them inside the model")


def _value_info(data: memoryview) -> TensorHeader:
    name, element = "", 0
    shape: Shape = ()
    for number, value in _fields(data):
        if number == _VALUE_NAME:
            name = bytes(_message(value)).decode("utf-8", "replace")
        elif number == _VALUE_TYPE:
            for field, part in _fields(_message(value)):
                if field == _TYPE_TENSOR:
                    element, shape = _tensor_type(_message(part))
    return TensorHeader(name, shape, element == _FLOAT)


def _tensor_type(data: memoryview) -> tuple[int, Shape]:
    element, shape = 0, []
    for number, value in _fields(data):
        if number == _TENSOR_ELEMENT and isinstance(value, int):
            element = value
        elif number == _TENSOR_SHAPE:
            for field, part in _fields(_message(value)):
                if field == _SHAPE_DIM:
                    sizes = [v for n, v in _fields(_message(part)) if n == _DIM_VALUE]
                    shape.append(sizes[0] if sizes and isinstance(sizes[0], int) else 0)
    return element, tuple(shape)


def _text(data: memoryview, wanted: int) -> str:
    for number, value in _fields(data):
        if number == wanted:
            return bytes(_message(value)).decode("utf-8", "replace")
    return ""


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise OnnxHeaderError("a field has the wrong type")
    return value


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yields (field number, value) of one message: integers as int, the rest as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in (1, 5):
            length = 8 if wire == 1 else 4
        else:
            raise OnnxHeaderError("it is not in the protobuf format")
        if length > len(data) - at:
            raise OnnxHeaderError("it is truncated")
        yield number, data[at : at + length]
        at += length


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    result = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise OnnxHeaderError("it is truncated")
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
    raise OnnxHeaderError("it is not in the protobuf format")
