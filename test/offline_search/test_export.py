# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import load

from fpg_pose_ros.backends import open_backends
from fpg_pose_ros.backends.onnx_runtime import OnnxRuntimeBackend
from fpg_pose_ros.bundle import WEIGHTS, read_bundle
from fpg_pose_ros.errors import MeshError
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.geometry import Symmetries, apply_affine, rotation_angle, transform
from fpg_pose_ros.localise import Detection
from fpg_pose_ros.objects import Mesh, ObjectModel
from fpg_pose_ros.steps import crop_affine
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.export import (
    TOLERANCE,
    ExportError,
    TrainedObject,
    difference,
    export,
    to_onnx,
)
from offline_search.retrain import retrain
from offline_search.space import Architecture, Head, Stage, cost
from offline_search.space.network import Network, build
from offline_search.space.oriented import OrientedBatchNorm2d
from offline_search.training.checkpoint import save_checkpoint
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.loop import RESULT_FILE, WEIGHTS_FILE

KEYPOINTS = 6


def architecture(kind: str, turns: int = 4, outputs: int = KEYPOINTS) -> Architecture:
    layers = (("mb_k3_e3", "sep_k5"), ("coord_attn", "ghost_k3"), ("dw_k11",), ("skip", "conv_k3"))
    stages = (Stage(16, 2, (("sep_k3_d2",),)), Stage(24, 2, layers[:1] + layers))
    return Architecture(
        (64, 64),
        8,
        16,
        stages,
        Head(kind, (16,), outputs),
        turns,  # type: ignore[arg-type]
    )


def lived_in(arch: Architecture) -> Network:
    """A network whose norms have seen data, as a trained one's have."""
    network = build(arch, seed=0)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, OrientedBatchNorm2d)):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
    with torch.no_grad():
        for _ in range(10):
            network.train()(torch.rand(4, 3, *arch.input_size, generator=generator) * 255)
    return network.eval()


def finished_training(out: Path, arch: Architecture, extra: dict[str, float]) -> Path:
    """A training's folder as the loop leaves it, without the hours."""
    out.mkdir()
    network = lived_in(arch)
    save_checkpoint(
        out / WEIGHTS_FILE, network.state_dict(), {"architecture": arch.to_json(), "images": 10}
    )
    (out / RESULT_FILE).write_text(
        json.dumps({"metrics": {"add01": 0.5}, "extra": extra, "minutes": 1.5, "images": 10})
    )
    return out


def cube() -> ObjectModel:
    corners = np.array([[x, y, z] for x in (0, 0.1) for y in (0, 0.1) for z in (0, 0.1)])
    faces = np.array([[0, 1, 2], [3, 1, 2], [4, 5, 6], [7, 5, 6]], np.int32)
    mesh = Mesh(corners, faces, np.full((8, 3), 200, np.uint8))
    return ObjectModel("cube", 0.1732, corners[:KEYPOINTS], {}, Symmetries(), mesh)


@pytest.mark.parametrize(("kind", "turns"), [("heatmap", 4), ("simcc", 1), ("locator", 1)])
def test_onnx_agrees_with_torch(kind: str, turns: int) -> None:
    network = lived_in(architecture(kind, turns))
    content = to_onnx(network)
    rng = np.random.default_rng(1)
    for scale in (255.0, 20.0):
        image = rng.uniform(0, scale, (1, 3, 64, 64)).astype(np.float32)
        assert difference(network, content, image) < TOLERANCE


def test_the_file_is_small_plain_and_free_of_paths() -> None:
    arch = architecture("heatmap")
    content = to_onnx(lived_in(arch))
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model)
    assert model.opset_import[0].version >= 17
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 3, 64, 64]
    # only the ghost's, which follows a concatenation, has no convolution to go into
    assert sum(node.op_type == "BatchNormalization" for node in model.graph.node) <= 1
    assert b"/home" not in content
    assert b".py" not in content
    expanded = sum(p.numel() for p in lived_in(architecture("heatmap", 1)).parameters())
    assert len(content) < 4 * expanded + 40_000


def test_exporting_leaves_the_network_as_it_was() -> None:
    network = lived_in(architecture("heatmap"))
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    to_onnx(network)
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_network_that_is_not_finite_is_refused() -> None:
    network = lived_in(architecture("heatmap"))
    with torch.no_grad():
        network.head.maps.bias[0] = float("nan")  # type: ignore[union-attr, index, operator]
    with pytest.raises(ExportError, match="differs"):
        to_onnx(network)


def test_a_bundle_holds_what_was_trained(tmp_path: Path) -> None:
    pose, locator = architecture("heatmap"), architecture("locator", 1, outputs=1)
    decoding = {"window_px": 9.0, "sigma_px": 6.0, "crop_margin": 1.28, "covariance_scale": 2.0}
    bundle = export(
        tmp_path / "cube.zip",
        name="cube",
        objects=[TrainedObject(cube(), finished_training(tmp_path / "pose", pose, decoding))],
        locator=finished_training(tmp_path / "locator", locator, {"min_score": 0.3}),
        training={"command": "fpg-pose pipeline", "seed": 0},
        budget_macs=10**7,
    )
    assert read_bundle(tmp_path / "cube.zip").hash == bundle.hash
    assert bundle.objects[0].model.name == "cube"
    spec = bundle.objects[0].network
    assert (spec.kind, spec.input_size, spec.file) == ("heatmap", (64, 64), "pose.onnx")
    assert spec.extra == {"stride": 4.0, **decoding}
    assert spec.macs == cost(pose).macs
    assert bundle.locator.extra == {"stride": 8.0, "min_score": 0.3}
    manifest = bundle.manifest
    assert Architecture.from_json(manifest["architecture"]["pose"]["cube"]) == pose
    assert manifest["costs"]["budget_macs"] == 10**7
    assert manifest["training"]["command"] == "fpg-pose pipeline"
    assert manifest["training"]["minutes"] == 3.0
    assert "data" in manifest["metrics"]["pose"]["cube"]
    # the weights are those of the networks, for further training
    weights = load(bundle.files[WEIGHTS])
    network = build(pose)
    network.load_state_dict(
        {k.removeprefix("pose.cube."): v for k, v in weights.items() if k.startswith("pose.")}
    )
    image = np.random.default_rng(0).uniform(0, 255, (1, 3, 64, 64)).astype(np.float32)
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(image)).numpy()
    (got,) = OnnxRuntimeBackend(bundle.files["pose.onnx"]).run(image)
    assert np.abs(expected - got).max() < TOLERANCE * max(1.0, np.abs(expected).max())


def test_a_network_of_fewer_keypoints_goes_into_the_bundle_with_those_that_it_finds(
    tmp_path: Path, layer_cache: Path
) -> None:
    spot = load_object("spot")
    stages = (Stage(8, 2, (("sep_k3",),)), Stage(16, 2, (("sep_k5",),)))
    few = Architecture((64, 64), 8, 8, stages, Head("heatmap", (16,), 8))
    locator = replace(few, head=Head("locator", (16,), 1))
    config = TrainConfig(
        images=16, batch=8, layers=8, workers=0, validation=4, validations=0, device="cpu"
    )
    result = retrain(
        [spot],
        kind="pose",
        architecture=few,
        config=config,
        out=tmp_path / "pose",
        cache=layer_cache,
    )
    assert 0 < result.metrics["keypoint_px"] < 64
    # Decoding was chosen for a network that has learnt nothing yet.
    told = tmp_path / "pose" / RESULT_FILE
    document = json.loads(told.read_text())
    document["extra"] |= {"temperature": 1.0, "covariance_scale": 1.0}
    told.write_text(json.dumps(document))
    bundle = export(
        tmp_path / "bundle",
        name="spot",
        objects=[TrainedObject(spot.model, tmp_path / "pose")],
        locator=finished_training(tmp_path / "locator", locator, {"min_score": 0.3}),
        training={},
        metrics={"data": "none"},
    )
    (item,) = bundle.objects
    assert np.array_equal(item.model.keypoints, spot.model.keypoints[:8])
    assert all(index < 8 for part in item.model.parts.values() for index in part)
    frame = next(iter(LiveScene(spot, seed=1, fps=1.0, duration=1.0)))
    assert Estimator(bundle).estimate(frame.image, frame.camera).detections == ()
    backends = open_backends(bundle)
    (maps,) = backends["pose.onnx"].run(np.zeros((1, 3, 64, 64), np.float32))
    assert maps.shape == (1, 8, 16, 16)
    T = frame.ground_truth["spot"]
    pixels = frame.camera.project(transform(T, item.model.keypoints))
    box = (*(pixels.min(axis=0) - 20), *(pixels.max(axis=0) + 20))
    seen = apply_affine(crop_affine(box, item.network), pixels)
    # As if it had learnt: maps of the same shape that are sure of the true keypoints.
    cells = (np.arange(16) + 0.5) * 4 - 0.5
    far = (cells - seen[:, :1, None]) ** 2 + (cells[:, None] - seen[:, 1:, None]) ** 2

    class Learnt:
        runtime = "onnxruntime"

        def run(self, *_: np.ndarray) -> tuple[np.ndarray, ...]:
            return ((-far / 50.0).astype(np.float32)[None],)

    estimator = Estimator(bundle, backend={**backends, "pose.onnx": Learnt()})
    found = estimator.follow_up(frame.image, frame.camera, Detection(0, 0.9, box))
    assert rotation_angle(found.T_camera_object[:3, :3], T[:3, :3]) < np.radians(5)
    with pytest.raises(MeshError, match="8 keypoints are asked for; 4 to 7"):
        export(
            tmp_path / "other",
            name="spot",
            objects=[TrainedObject(spot.model.first_keypoints(7), tmp_path / "pose")],
            locator=tmp_path / "locator",
            training={},
        )


def test_an_unfinished_training_is_refused_by_its_folder(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="no finished training"):
        export(
            tmp_path / "b",
            name="b",
            objects=[TrainedObject(cube(), tmp_path / "nothing")],
            locator=tmp_path / "nothing",
            training={},
        )
    assert not (tmp_path / "b").exists()
