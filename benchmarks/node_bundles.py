# SPDX-License-Identifier: Apache-2.0
"""What the node is measured with: networks of a wanted size that give poses, and films to look at.

A network of a wanted size is the shipped one with ballast: the shipped architecture, made wider,
with random weights, runs on the same crop, and what it gives is added to the maps with a factor so
small that they stay what they were. So the poses are those of the shipped network, and the cost is
that of an architecture of the family.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
import torch
from onnx import TensorProto, compose, helper

from fpg_pose_ros.bundle import Bundle, read_bundle, write_bundle
from fpg_pose_ros.geometry import Array, exp_so3, make_transform
from fpg_pose_ros.sources import Frame, camera_to_mapping
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.data.scene import Scene
from offline_search.export import INPUT_NAME, to_onnx
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.network import Network, build
from offline_search.training.checkpoint import write_json

FPS = 30.0
_GAIN = 1e-9
_PREFIX = "ballast_"


def with_ballast(shipped: Path, out: Path, macs: int) -> Bundle:
    """Returns a bundle like the shipped one whose pose network costs about `macs`.

    Args:
        shipped: a bundle of one object with its architecture.
        out: where the new one is written, unless it is there.
        macs: of the pose network, more than the shipped one's.
    """
    if out.exists():
        return read_bundle(out)
    bundle = read_bundle(shipped)
    network = bundle.objects[0].network
    document = next(iter(bundle.manifest["architecture"]["pose"].values()))
    ballast = _wider(document, macs - network.macs)
    content = _add(bundle.files[network.file], to_onnx(_settled(ballast)))
    manifest = dict(bundle.manifest)
    total = network.macs + cost(ballast).macs
    manifest["name"] = f"{bundle.name} with ballast"
    manifest["objects"] = [{**manifest["objects"][0]}]
    manifest["objects"][0]["network"] = replace(network, macs=total).to_json()
    manifest["costs"] = {**manifest["costs"], "pose_macs": total}
    return write_bundle(out, manifest, {**bundle.files, network.file: content})


def _wider(document: dict[str, Any], macs: int) -> Architecture:
    """The architecture with all widths multiplied, so that it costs as near to `macs` as it can."""

    def scaled(factor: float) -> Architecture:
        def width(value: int) -> int:
            return max(8, 8 * round(factor * value / 8))

        head = {**document["head"], "width": [width(w) for w in document["head"]["width"]]}
        stages = [{**stage, "width": width(stage["width"])} for stage in document["stages"]]
        stem = {name: width(document[name]) for name in ("stem_width", "stem_out")}
        return Architecture.from_json({**document, **stem, "head": head, "stages": stages})

    made = [scaled(factor) for factor in np.arange(1.0, 6.0, 0.05)]
    return min(made, key=lambda architecture: abs(cost(architecture).macs - macs))


def _settled(architecture: Architecture) -> Network:
    """A network with random weights whose norms have seen some noise.

    Without that its values fade from layer to layer until they are denormal, and slow.
    """
    network = build(architecture, seed=0).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(30):
            network(255 * torch.rand((4, 3, *architecture.input_size), generator=generator))
    return network.eval()


def _add(pose: bytes, ballast: bytes) -> bytes:
    """One network of two, its output that of the first."""
    one = onnx.load_from_string(pose)
    other = compose.add_prefix(onnx.load_from_string(ballast), _PREFIX)
    graph, weight = one.graph, other.graph
    shared = {f"{_PREFIX}{INPUT_NAME}": INPUT_NAME}
    for node in weight.node:
        node.input[:] = [shared.get(name, name) for name in node.input]
    (output,) = [value.name for value in graph.output]
    for node in graph.node:
        node.output[:] = [f"{name}_alone" if name == output else name for name in node.output]
        node.input[:] = [f"{name}_alone" if name == output else name for name in node.input]
    graph.node.extend(weight.node)
    graph.initializer.extend(weight.initializer)
    gain = helper.make_tensor(f"{_PREFIX}gain", TensorProto.FLOAT, [], [_GAIN])
    graph.initializer.append(gain)
    graph.node.extend(
        [
            helper.make_node("ReduceMean", [weight.output[0].name], [f"{_PREFIX}mean"]),
            helper.make_node("Mul", [f"{_PREFIX}mean", gain.name], [f"{_PREFIX}little"]),
            helper.make_node("Add", [f"{output}_alone", f"{_PREFIX}little"], [output]),
        ]
    )
    onnx.checker.check_model(one)
    return bytes(one.SerializeToString())


class FourOfThem(LiveScene):
    """A scene with four of the object, one in each quarter of the picture."""

    def scene(self, time: float) -> tuple[Scene, Array]:
        """Returns what there is at a time (s) and T_camera_rest; the objects come first."""
        scene, T_camera_rest = super().scene(time)
        first = scene.instances[0]
        camera = self.camera
        # About 130 px each, so that they do not meet.
        depth = camera.fx * self.thing.model.diameter / 130.0
        objects = []
        for number in range(4):
            u = camera.width * (0.25 + 0.5 * (number % 2)) + 15.0 * np.sin(time + number)
            v = camera.height * (0.25 + 0.5 * (number // 2)) + 10.0 * np.cos(1.3 * time + number)
            centre = depth * np.linalg.inv(camera.K) @ [u, v, 1.0]
            turn = exp_so3([0.0, 0.4 * time + 1.5 * number, 0.0]) @ first.T_camera_mesh[:3, :3]
            T = make_transform(turn, centre)
            objects.append(replace(first, T_camera_mesh=T, number=number + 1))
        others = [replace(item, number=item.number + 3) for item in scene.instances[1:]]
        return replace(scene, instances=(*objects, *others)), T_camera_rest


def pictures(folder: Path, count: int, *, four: bool = False) -> Path:
    """Renders a scene of Spot into a folder, unless it is there; returns the folder."""
    done = folder / "camera.json"
    if not done.exists():
        folder.mkdir(parents=True, exist_ok=True)
        kind = FourOfThem if four else LiveScene
        options = {"distractors": 0} if four else {}
        scene = kind(load_object("spot"), seed=0, fps=FPS, duration=count / FPS, **options)
        for number, frame in enumerate(scene):
            _write(folder / f"{number:06d}.png", frame)
        write_json(done, camera_to_mapping(scene.camera))
    return folder


def _write(path: Path, frame: Frame) -> None:
    # Hardly compressed: reading it back must not keep a camera from its rate.
    cv2.imwrite(str(path), frame.image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])


def film(folder: Path, scene: Path, count: int) -> Path:
    """A folder that shows a scene to and fro without a jump, with exactly `count` pictures.

    It appears when it is complete.
    """
    if folder.exists():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as place:
        part = Path(place) / folder.name
        part.mkdir()
        (part / "camera.json").symlink_to((scene / "camera.json").resolve())
        there = sorted(scene.glob("*.png"))
        round_trip: Sequence[Path] = [*there, *there[-2:0:-1]]
        for number in range(count):
            source = round_trip[number % len(round_trip)]
            (part / f"{number:06d}.png").symlink_to(source.resolve())
        part.rename(folder)
    return folder
