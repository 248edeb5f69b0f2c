# SPDX-License-Identifier: Apache-2.0
"""A network with a temporal cell, exported and run by the robot's half, against torch."""

from __future__ import annotations

import dataclasses
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from fpg_pose_ros.backends import open_backends
from fpg_pose_ros.bundle import WEIGHTS, Bundle, read_bundle, write_bundle
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.estimator import Estimator, Limits, PoseEstimate
from fpg_pose_ros.memory import MemorySpec, Remembered, aligned
from fpg_pose_ros.sources import Frame
from fpg_pose_ros.steps import crop_affine
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.evaluate import evaluate
from offline_search.evaluation import EvaluationError
from offline_search.export import network_entry, to_onnx
from offline_search.inspect_bundle import format_text
from offline_search.int8 import QuantisationError
from offline_search.judged_renders import judge_renders
from offline_search.quantise import quantise
from offline_search.space import Architecture, cost
from offline_search.space.alignment import align, between_crops
from offline_search.space.network import Network, build
from offline_search.space.presets import PRESETS, preset
from offline_search.space.search_space import load_space
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.space.temporal_space import TemporalSpace
from offline_search.training.checkpoint import with_prefix, without_prefix
from offline_search.training.loop import TrainResult

sys.path.insert(0, str(Path(__file__).parents[1] / "fpg_pose_ros"))
from remembering import Watched

SPOT = Path(__file__).parents[2] / "models" / "spot"
CELL = TemporalCell((Edge(1, ("t_scale", "t_mix")), Edge(3, ("t_dw3",))))
EVERYTHING = Limits(min_score=0.0, max_reprojection_error=10.0)


@pytest.fixture(scope="module")
def network() -> Network:
    """The shipped bundle's, with a cell of random weights."""
    spot = read_bundle(SPOT)
    plain = Architecture.from_json(spot.manifest["architecture"]["pose"]["spot"])
    network = build(dataclasses.replace(plain, cell=CELL), seed=0)
    weights = without_prefix("pose.spot", safetensors.torch.load(spot.files[WEIGHTS]))
    missing = network.load_state_dict(weights, strict=False)
    assert not missing.unexpected_keys
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.cell.parameters():  # type: ignore[union-attr]
            weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
    return network.eval()


@pytest.fixture(scope="module")
def bundle(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    spot = read_bundle(SPOT)
    (item,) = spot.objects
    entry = network_entry(TrainResult(network, {}, item.network.extra, 0.0, 0), "pose.onnx")
    weights = safetensors.torch.load(spot.files[WEIGHTS])
    weights |= with_prefix("pose.spot", network.state_dict())
    manifest = {
        **spot.manifest,
        "objects": [{**spot.manifest["objects"][0], "network": entry}],
        "architecture": {
            **spot.manifest["architecture"],
            "pose": {"spot": network.architecture.to_json()},
        },
    }
    files = {
        **spot.files,
        "pose.onnx": to_onnx(network),
        WEIGHTS: safetensors.torch.save(weights),
    }
    return write_bundle(tmp_path_factory.mktemp("bundle") / "told", manifest, files)


@pytest.fixture(scope="module")
def film() -> list[Frame]:
    scene = LiveScene(load_object("spot"), seed=4, fps=30.0, duration=0.2)
    return list(islice(scene, 6))


def test_the_manifest_says_what_the_network_is_told(network: Network, bundle: Bundle) -> None:
    spec = bundle.objects[0].network
    assert spec.macs == cost(network.architecture).macs
    assert spec.memory is not None
    assert (spec.memory.lags, spec.memory.fps) == ((1, 3), 30.0)
    assert spec.memory.size == network.architecture.feature_size
    assert "float32, remembers 1, 3 images back at 30 Hz" in format_text(bundle)


@pytest.mark.openvino
@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_every_backend_gives_what_onnx_runtime_gives(bundle: Bundle, name: str) -> None:
    pytest.importorskip(name, reason=f"{name} is not installed")
    rng = np.random.default_rng(0)
    image, past = bundle.objects[0].network.input_shapes
    inputs = (
        rng.uniform(0, 255, image).astype(np.float32),
        rng.normal(size=past).astype(np.float32),
    )
    other = tuple(1.1 * item for item in inputs)
    expected = open_backends(bundle)["pose.onnx"].run(*inputs)
    backend = open_backends(bundle, name)["pose.onnx"]
    outputs = backend.run(*inputs)
    backend.run(*other)  # must leave the first outputs alone
    for mine, theirs in zip(outputs, expected, strict=True):
        assert mine.shape == theirs.shape
        assert np.abs(mine - theirs).max() < 1e-4 * max(1.0, np.abs(theirs).max())


def test_the_two_alignments_agree() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(7, 8, 8)).astype(np.float32)
    for _ in range(20):
        then, now = (
            np.array([[s, 0.0, x], [0.0, s, y]])
            for s, x, y in zip(
                rng.uniform(0.5, 2.0, 2), *(rng.uniform(-60, 60, 2) for _ in "xy"), strict=True
            )
        )
        maps = torch.from_numpy(between_crops(now, then))[None]
        torchs = align(torch.from_numpy(features)[None], maps, 16)[0].numpy()
        assert np.abs(aligned(features, then, now, 16) - torchs).max() < 1e-4


def test_through_a_film_the_tracker_gives_what_torch_gives(
    network: Network, bundle: Bundle, film: list[Frame]
) -> None:
    spec = bundle.objects[0].network
    opened = open_backends(bundle)
    watched = Watched(opened["pose.onnx"])
    estimator = Estimator(bundle, backend={**opened, "pose.onnx": watched}, limits=EVERYTHING)
    tracker = PoseTracker([estimator], TrackingSettings(hits=1, gate=1 - 1e-12))
    watched.inputs.clear()
    watched.outputs.clear()
    seen: list[tuple[torch.Tensor, np.ndarray]] = []
    for number, frame in enumerate(film):
        assert frame.camera is not None
        (found,) = tracker.estimate(frame.image, frame.camera, frame.stamp_ns).estimates
        A = crop_affine(found.box, spec)
        image, _ = watched.inputs[-1]
        assert len(watched.inputs) == number + 1
        with torch.no_grad():
            features = network.features(torch.from_numpy(image))
            past = torch.zeros(spec.input_shapes[1])
            for index, lag in enumerate(CELL.lags):
                if lag <= number:
                    then, A_then = seen[number - lag]
                    maps = torch.from_numpy(between_crops(A, A_then))[None]
                    past[:, index] = align(then, maps, 16)
            heat = network.conclude(features, past).numpy()
            alone = network.conclude(features).numpy()
        seen.append((features, A))
        got = watched.outputs[-1][0]
        scale = max(1.0, float(np.abs(heat).max()))
        assert np.abs(got - heat).max() < 1e-4 * scale
        # And the cell does something, but for the first image.
        assert (np.abs(got - alone).max() > 0.01 * scale) == (number > 0)


def test_what_is_kept_for_cells_of_the_default_space_is_far_from_what_is_allowed() -> None:
    space = load_space("temporal")
    assert isinstance(space, TemporalSpace)
    backbones = [preset(name, 16) for name in PRESETS if not name.startswith("locator")]
    assert len(backbones) > 4
    for backbone in backbones:
        cell, width = space.over(backbone).whole().cell, backbone.stages[-1].width
        assert cell is not None
        size, stride = backbone.feature_size, backbone.stride
        spec = MemorySpec(cell.lags, 5 * width, size, stride, cell.fps)
        assert MemorySpec.from_json(spec.to_json(), backbone.input_size) == spec


def test_a_film_is_judged_as_the_node_sees_it(bundle: Bundle, tmp_path: Path) -> None:
    place = tmp_path / "told"
    write_bundle(place, bundle.manifest, bundle.files)
    alone = evaluate(place, rendered="spot", frames=4)
    tracked = evaluate(place, rendered="spot", frames=4, track=True)
    assert tracked.data == f"{alone.data}, tracked"
    assert tracked.macs_locator < alone.macs_locator == bundle.locator.macs
    # A crop an image at the least, though a track is told of from its second measurement on.
    crops = 4 * (tracked.macs_image - tracked.macs_locator) / tracked.macs_pose["spot"]
    assert crops == pytest.approx(round(crops))
    assert crops >= 4
    with pytest.raises(EvaluationError, match="give --object"):
        evaluate(place, data="bop:somewhere", track=True)


def test_a_calibration_is_of_what_the_network_says_when_it_is_told(bundle: Bundle) -> None:
    item, seed = load_object("spot"), 7
    (said,) = judge_renders(bundle, item, images=1, seed=seed)
    scene = LiveScene(item, seed=seed, fps=30.0, duration=7.0)
    estimator = Estimator(bundle, limits=Limits(min_score=0.0))

    def look(number: int, remembered: Remembered) -> PoseEstimate:
        frame = scene.frame(number)
        assert frame.camera is not None
        (found,) = estimator.locate(frame.image, frame.camera)
        return estimator.follow_up(frame.image, frame.camera, found, remembered=remembered)

    past = [look(2, ()).glimpse, look(0, ()).glimpse]
    assert said.claim.score == look(3, past).score
    assert abs(said.claim.score - look(3, ()).score) > 1e-3


def test_an_architecture_with_another_cell_than_the_manifests_memory_is_refused(
    bundle: Bundle,
) -> None:
    (item,) = bundle.objects
    assert item.network.memory is not None
    other = dataclasses.replace(item.network.memory, lags=(1, 2))
    changed = dataclasses.replace(item, network=dataclasses.replace(item.network, memory=other))
    with pytest.raises(BundleError, match="memory and weights"):
        open_backends(dataclasses.replace(bundle, objects=(changed,)), "torch")


def test_it_is_not_quantised_and_the_remedy_is_named(bundle: Bundle, tmp_path: Path) -> None:
    write_bundle(tmp_path / "told", bundle.manifest, bundle.files)
    with pytest.raises(QuantisationError, match=r"pose\.onnx.*float32.*without a temporal cell"):
        quantise(
            tmp_path / "told",
            ["spot"],
            out=tmp_path / "int8",
            calibration_frames=1,
            images=0,
            frames=1,
            seed=1,
        )
    assert not (tmp_path / "int8").exists()
