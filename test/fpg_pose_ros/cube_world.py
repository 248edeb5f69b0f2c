# SPDX-License-Identifier: Apache-2.0
"""A cube with a ball of its own colour on each corner, and a real bundle that finds it.

The networks are built by hand: a keypoint's map is the log of how much of its colour a cell holds,
so the decoder's windowed mean is the centre of the ball to a fraction of a pixel.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import safetensors.numpy
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from fpg_pose_ros.bundle import MESHES, WEIGHTS, pack_meshes
from fpg_pose_ros.geometry import Camera, Symmetries, transform
from fpg_pose_ros.objects import Mesh, ObjectModel

BACKGROUND = (96, 96, 96)
COLOURS = np.array(
    [
        [255, 0, 0],
        [0, 255, 0],
        [0, 0, 255],
        [255, 255, 0],
        [255, 0, 255],
        [0, 255, 255],
        [255, 255, 255],
        [0, 0, 0],
    ]
)
SIDE = 0.16
STRIDE, LOCATOR_STRIDE = 4, 8
CROP, FRAME = (128, 128), (168, 224)
# Half the side of the locator's one box: what the cube takes up at 0.8 m before 600 px, and more.
HALF_BOX = 5.5


def cube_model() -> ObjectModel:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    vertices = corners * (SIDE / 2)
    quads = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]
    faces = [face for a, b, c, d in quads for face in ((a, b, c), (a, c, d))]
    mesh = Mesh(vertices, np.array(faces), COLOURS.astype(np.uint8))
    parts = {"left": (0, 1, 2, 3), "right": (4, 5, 6, 7)}
    return ObjectModel("cube", SIDE * np.sqrt(3), vertices, parts, Symmetries(), mesh)


def photograph(camera: Camera, *T_camera_object: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) of the balls of cubes, each where the lens puts it, far ones first."""
    image = np.full((camera.height, camera.width, 3), BACKGROUND, np.uint8)
    corners = cube_model().keypoints
    points = np.concatenate([transform(T, corners) for T in T_camera_object] or [corners[:0]])
    pixels = camera.project(points)
    for k in np.argsort(-points[:, 2]):
        radius = 0.009 * camera.fx / points[k, 2]
        centre = np.round(pixels[k] * 16).astype(int)
        colour = tuple(int(c) for c in COLOURS[k % len(COLOURS)])
        cv2.circle(image, centre.tolist(), round(radius * 16), colour, -1, cv2.LINE_AA, 4)
    return image


def _likeness_nodes(size: tuple[int, int], stride: int) -> tuple[list[Any], list[Any]]:
    """Nodes that turn `image` into `cover` (1, 8, h, w): the share of each colour in each cell."""
    colours = COLOURS.reshape(1, 8, 3, 1, 1).astype(np.float32)
    constants = [
        numpy_helper.from_array(np.array([1], np.int64), "axis1"),
        numpy_helper.from_array(np.array([2], np.int64), "axis2"),
        numpy_helper.from_array(colours, "colours"),
        numpy_helper.from_array(np.array(-1 / 60.0**2, np.float32), "sharpness"),
    ]
    nodes = [
        helper.make_node("Unsqueeze", ["image", "axis1"], ["wide"]),
        helper.make_node("Sub", ["wide", "colours"], ["difference"]),
        helper.make_node("Mul", ["difference", "difference"], ["squared"]),
        helper.make_node("ReduceSum", ["squared", "axis2"], ["distance"], keepdims=0),
        helper.make_node("Mul", ["distance", "sharpness"], ["closeness"]),
        helper.make_node("Exp", ["closeness"], ["likeness"]),
        helper.make_node(
            "AveragePool", ["likeness"], ["cover"], kernel_shape=[stride] * 2, strides=[stride] * 2
        ),
    ]
    return nodes, constants


def _model(
    nodes: list[Any],
    constants: list[Any],
    size: tuple[int, int],
    outputs: dict[str, tuple[int, ...]],
) -> bytes:
    def info(name: str, shape: tuple[int, ...]) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "by_hand",
        [info("image", (1, 3, *size))],
        [info(name, shape) for name, shape in outputs.items()],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9).SerializeToString()


def pose_network() -> bytes:
    nodes, constants = _likeness_nodes(CROP, STRIDE)
    constants.append(numpy_helper.from_array(np.array(1e-4, np.float32), "floor"))
    nodes.append(helper.make_node("Add", ["cover", "floor"], ["positive"]))
    nodes.append(helper.make_node("Log", ["positive"], ["heat"]))
    return _model(nodes, constants, CROP, {"heat": (1, 8, CROP[0] // STRIDE, CROP[1] // STRIDE)})


def locator_network() -> bytes:
    """The class map is high where many different balls are near; the box is always the same."""
    cells = (FRAME[0] // LOCATOR_STRIDE, FRAME[1] // LOCATOR_STRIDE)
    nodes, constants = _likeness_nodes(FRAME, LOCATOR_STRIDE)
    offset = np.arange(-4, 5)
    weight = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * 2.2**2)).astype(np.float32)
    constants += [
        numpy_helper.from_array(np.full((1, 8, 9, 9), weight * 18, np.float32), "spread"),
        numpy_helper.from_array(np.array([-6], np.float32), "bias"),
        numpy_helper.from_array(np.full((1, 4, *cells), HALF_BOX, np.float32), "box_constant"),
    ]
    nodes += [
        helper.make_node("Conv", ["cover", "spread", "bias"], ["heat"], pads=[4, 4, 4, 4]),
        helper.make_node("Identity", ["box_constant"], ["box"]),
    ]
    return _model(nodes, constants, FRAME, {"heat": (1, 1, *cells), "box": (1, 4, *cells)})


def cube_manifest() -> dict[str, Any]:
    common = {"macs": 1_000_000, "params": 40, "mean": [0, 0, 0], "std": [1, 1, 1]}
    return {
        "name": "cube by hand",
        "created": "2025-01-01T00:00:00+00:00",
        "objects": [
            {
                "model": cube_model().to_json(),
                "network": {
                    "file": "pose.onnx",
                    "kind": "heatmap",
                    "input_size": list(CROP),
                    # A ball's own spread is no doubt about its centre.
                    "extra": {"stride": STRIDE, "crop_margin": 1.2, "sigma_px": 1.6},
                    **common,
                },
            }
        ],
        "locator": {
            "file": "locator.onnx",
            "kind": "locator",
            "input_size": list(FRAME),
            "extra": {"stride": LOCATOR_STRIDE},
            **common,
        },
        "costs": {"pose_macs": 1_000_000, "locator_macs": 1_000_000, "budget_macs": None},
        "training": {"command": "none: built by hand", "seed": 0, "images": 0, "minutes": 0.0},
        "metrics": {"add01": 1.0, "data": "pictures of balls"},
    }


def cube_files() -> dict[str, bytes]:
    return {
        "pose.onnx": pose_network(),
        "locator.onnx": locator_network(),
        WEIGHTS: safetensors.numpy.save({"colours": COLOURS.astype(np.float32)}),
        MESHES: pack_meshes([cube_model()]),
    }
