# SPDX-License-Identifier: Apache-2.0
"""A world simple enough for networks written by hand: an object that is a set of coloured marks.

Its bundle is a real one, with real ONNX networks; their weights are not learnt but follow from the
colours. So poses are known exactly, and no training stands between a test and what it tests.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper

from fpg_pose_ros.bundle import MESHES, WEIGHTS, NetworkSpec, pack_meshes, write_bundle
from fpg_pose_ros.geometry import Camera, Symmetries, exp_so3, make_transform
from fpg_pose_ros.objects import Mesh, ObjectModel

NAME = "marks"
#: The first mark, white, is the object's origin: the locator looks for it.
POINTS = 0.01 * np.array(
    [(0, 0, 0), (6, 0, 0), (-5, 3, 2), (0, 6, -2), (2, -6, 3), (3, 3, 6), (-3, -4, -5), (5, -3, -4)]
)
COLORS = np.array(
    [
        (255, 255, 255),
        (255, 0, 0),
        (0, 255, 0),
        (0, 0, 255),
        (255, 255, 0),
        (255, 0, 255),
        (0, 255, 255),
        (255, 128, 0),
    ]
)
CAMERA = Camera(640, 480, np.array([[600.0, 0, 319.5], [0, 600.0, 239.5], [0, 0, 1]]))
_MARK_RADIUS = 0.008
_LOCATOR_INPUT, _LOCATOR_STRIDE = (120, 160), 8
_POSE_INPUT, _POSE_STRIDE = (128, 128), 2


def pose(t: float = 0.0) -> np.ndarray:
    """T_camera_object at time t (s) of a smooth motion, always in view."""
    R = exp_so3([0.5 * np.sin(0.7 * t), 0.6 * np.cos(0.5 * t), 0.8 * t])
    return make_transform(
        R, [0.08 * np.sin(t), 0.05 * np.cos(1.3 * t), 0.6 + 0.1 * np.sin(0.9 * t)]
    )


def image(T_camera_object: np.ndarray | None, camera: Camera = CAMERA) -> np.ndarray:
    """RGB picture of the object, or of nothing."""
    picture = np.full((camera.height, camera.width, 3), 20, np.uint8)
    if T_camera_object is None:
        return picture
    points = POINTS @ T_camera_object[:3, :3].T + T_camera_object[:3, 3]
    for i in np.argsort(-points[:, 2]):
        centre = np.round(camera.project(points[i])[0] * 16).astype(int)
        radius = round(16 * camera.fx * _MARK_RADIUS / points[i, 2])
        color = [int(c) for c in COLORS[i]]
        cv2.circle(picture, centre.tolist(), radius, color, -1, cv2.LINE_AA, 4)
    return picture


def model(name: str = NAME) -> ObjectModel:
    """The object: its marks are its keypoints, its mesh is an octahedron around them."""
    r = 0.08
    vertices = r * np.array([(1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)])
    faces = [(x, y, z) for x in (0, 1) for y in (2, 3) for z in (4, 5)]
    colors = np.full((6, 3), 200)
    return ObjectModel(
        name=name,
        diameter=2 * r,
        keypoints=POINTS,
        parts={"all": tuple(range(len(POINTS)))},
        symmetries=Symmetries(),
        mesh=Mesh(vertices, np.array(faces), colors),
    )


def write(path: Path, object_name: str = NAME) -> Path:
    """Writes the bundle."""
    pose_net, locator_net = _pose_network(), _locator_network()
    network = NetworkSpec(
        file="pose.onnx",
        kind="heatmap",
        input_size=_POSE_INPUT,
        macs=128 * 128 * 6 * 8,
        params=56,
        extra={"stride": _POSE_STRIDE, "crop_margin": 1.0},
    )
    locator = NetworkSpec(
        file="locator.onnx",
        kind="locator",
        input_size=_LOCATOR_INPUT,
        macs=120 * 160 * 3,
        params=4,
        extra={"stride": _LOCATOR_STRIDE},
    )
    manifest = {
        "name": "marks",
        "created": "2026-01-01T00:00:00Z",
        "objects": [{"model": model(object_name).to_json(), "network": network.to_json()}],
        "locator": locator.to_json(),
        "architecture": {"pose": {}, "locator": {}},
        "costs": {
            "pose_macs": network.macs,
            "locator_macs": locator.macs,
            "pose_params": network.params,
            "locator_params": locator.params,
            "budget_macs": None,
        },
        "training": {
            "command": "written by hand",
            "seed": 0,
            "images": 0,
            "minutes": 0.0,
            "data": "none",
        },
        "metrics": {"add01": 1.0, "data": "drawn marks"},
    }
    files = {
        "pose.onnx": pose_net,
        "locator.onnx": locator_net,
        WEIGHTS: safetensors.numpy.save({"colors": COLORS.astype(np.float32)}),
        MESHES: pack_meshes([model(object_name)]),
    }
    write_bundle(path, manifest, files)
    return path


def _pose_network() -> bytes:
    """Map k is high where pixels have colour k: exp(-|x - c|^2 / s^2), averaged over a cell."""
    count, (height, width) = len(COLORS), _POSE_INPUT
    scale = 60.0**2
    weights = np.zeros((count, 6, 1, 1), np.float32)
    weights[:, :3, 0, 0] = 2.0 * COLORS / scale
    weights[:, 3:, 0, 0] = -1.0 / scale
    bias = (-np.sum(COLORS.astype(np.float64) ** 2, axis=1) / scale).astype(np.float32)
    nodes = [
        helper.make_node("Mul", ["image", "image"], ["squared"]),
        helper.make_node("Concat", ["image", "squared"], ["both"], axis=1),
        helper.make_node("Conv", ["both", "weights", "bias"], ["exponent"]),
        helper.make_node("Exp", ["exponent"], ["like"]),
        helper.make_node("AveragePool", ["like"], ["mean"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Mul", ["mean", "gain"], ["heat"]),
    ]
    constants = {"weights": weights, "bias": bias, "gain": np.float32(8.0)}
    cells = [1, count, height // _POSE_STRIDE, width // _POSE_STRIDE]
    return _model(nodes, constants, [1, 3, height, width], {"heat": cells})


def _locator_network() -> bytes:
    """The map is high where pixels are white; the box is always of one size."""
    height, width = _LOCATOR_INPUT
    rows, columns = height // _LOCATOR_STRIDE, width // _LOCATOR_STRIDE
    kernel = {"kernel_shape": [_LOCATOR_STRIDE] * 2, "strides": [_LOCATOR_STRIDE] * 2}
    nodes = [
        helper.make_node("ReduceMin", ["image", "channels"], ["whiteness"], keepdims=1),
        helper.make_node("AveragePool", ["whiteness"], ["mean"], **kernel),
        helper.make_node("Mul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["heat"]),
        helper.make_node("Mul", ["heat", "zero"], ["nothing"]),
        helper.make_node("Concat", ["nothing"] * 4, ["nothings"], axis=1),
        helper.make_node("Add", ["nothings", "side"], ["box"]),
    ]
    constants = {
        "channels": np.array([1], np.int64),
        "gain": np.float32(0.5),
        "offset": np.float32(-18.0),
        "zero": np.float32(0.0),
        "side": np.float32(4.0),
    }
    shapes = {"heat": [1, 1, rows, columns], "box": [1, 4, rows, columns]}
    return _model(nodes, constants, [1, 3, height, width], shapes)


def _model(nodes: list, constants: dict, shape: list[int], outputs: dict[str, list[int]]) -> bytes:
    def value(name: str, dims: list[int]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, dims)

    graph = helper.make_graph(
        nodes,
        "marks",
        [value("image", shape)],
        [value(name, dims) for name, dims in outputs.items()],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 18)]
    made = helper.make_model(graph, opset_imports=opset, ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()
