# SPDX-License-Identifier: Apache-2.0
"""From finished trainings to a model bundle: ONNX files, weights and the manifest."""

from __future__ import annotations

import contextlib
import copy
import datetime
import io
import logging
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from fpg_pose_ros.backends.onnx_runtime import OnnxRuntimeBackend
from fpg_pose_ros.bundle import MESHES, WEIGHTS, Bundle, pack_meshes, write_bundle
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.objects import ObjectModel
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.network import Network
from offline_search.space.oriented import to_plain
from offline_search.training.checkpoint import with_prefix
from offline_search.training.loop import TrainResult, load_result

OPSET: Final = 18
TOLERANCE: Final = 1e-4
"""Largest difference of ONNX Runtime and torch, relative to the outputs where they exceed 1."""
INPUT_NAME: Final = "image"
PAST_NAME: Final = "past"
FEATURES_NAME: Final = "features"
_OUTPUTS: Final = {"heatmap": ["heat"], "simcc": ["x", "y"], "locator": ["heat", "box"]}


class ExportError(FpgPoseError):
    """A network that does not survive the way to ONNX."""


@dataclass(frozen=True, eq=False)
class TrainedObject:
    """An object and the folder of its pose network's training.

    The bundle's object has the keypoints that the network finds, which are the first.
    """

    model: ObjectModel
    training: Path


def to_onnx(network: Network) -> bytes:
    """An ONNX file of the network: input (1, 3, H, W) float32 RGB in 0..255, norms folded away.

    With a temporal cell it has one more input, `past` (1, L, C, h, w), and one more output,
    `features` (1, C, h, w), see `Network.conclude`: what this image leaves for later ones.

    Raises:
        ExportError: ONNX Runtime's outputs differ from torch's by more than `TOLERANCE`.
    """
    architecture = network.architecture
    plain: nn.Module = to_plain(copy.deepcopy(network).cpu())
    inputs = {INPUT_NAME: torch.zeros(1, 3, *architecture.input_size)}
    outputs = list(_OUTPUTS[architecture.head.kind])
    if architecture.cell is not None:
        assert isinstance(plain, Network)
        plain = _Remembering(plain).eval()
        inputs[PAST_NAME] = torch.zeros(past_shape(architecture))
        outputs.append(FEATURES_NAME)
    # The exporter talks to loggers, warnings and stdout alike.
    with (
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
        _quiet("torch.onnx", "onnxscript"),
    ):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            plain,
            tuple(inputs.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(inputs),
            output_names=outputs,
            verbose=False,
        )
    assert program is not None
    program.optimize()
    model = program.model_proto
    # Python stack traces of every node: two thirds of the file, and paths of this machine.
    for node in [model.graph, *model.graph.node, *model.graph.input, *model.graph.output]:
        _forget(node)
    for value in [*model.graph.value_info, *model.graph.initializer]:
        _forget(value)
    _forget(model)
    content = bytes(model.SerializeToString())
    _check(network, content)
    return content


class _Remembering(nn.Module):
    """A network with a temporal cell whose features come out beside its head's outputs."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, past: Tensor) -> tuple[Tensor, ...]:
        features = self.network.features(image)
        found = self.network.conclude(features, past)
        return (*found, features) if isinstance(found, tuple) else (found, features)


def past_shape(architecture: Architecture) -> tuple[int, int, int, int, int]:
    """(1, L, C, h, w) of the features of earlier images that a temporal cell takes."""
    assert architecture.cell is not None
    width = architecture.stages[-1].width
    return (1, len(architecture.cell.edges), width, *architecture.feature_size)


def _forget(message: Any) -> None:
    message.ClearField("doc_string")
    with contextlib.suppress(ValueError):
        message.ClearField("metadata_props")


@contextlib.contextmanager
def _quiet(*names: str) -> Any:
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def difference(
    network: Network,
    onnx: bytes,
    image: NDArray[np.float32],
    past: NDArray[np.float32] | None = None,
) -> float:
    """Largest difference of the outputs, relative where they exceed 1.

    Args:
        network: In evaluation mode.
        onnx: Made of it.
        image: (1, 3, H, W).
        past: See `past_shape`; for a network with a temporal cell.
    """
    inputs = [image] if past is None else [image, past]
    module = network if past is None else _Remembering(network)
    with torch.no_grad():
        outputs = module(*(torch.from_numpy(value) for value in inputs))
    expected = [t.numpy() for t in (outputs if isinstance(outputs, tuple) else (outputs,))]
    got = OnnxRuntimeBackend(onnx).run(*inputs)
    return max(
        float(np.abs(e - g).max() / max(1.0, float(np.abs(e).max())))
        for e, g in zip(expected, got, strict=True)
    )


def _check(network: Network, onnx: bytes) -> None:
    architecture = network.architecture
    rng = np.random.default_rng(0)
    image = rng.uniform(0, 255, (1, 3, *architecture.input_size)).astype(np.float32)
    past = None
    if architecture.cell is not None:
        past = rng.normal(size=past_shape(architecture)).astype(np.float32)
    worst = difference(network, onnx, image, past)
    if not worst <= TOLERANCE:
        raise ExportError(
            f"the exported network differs from the trained one by {worst:.2g}, more than "
            f"{TOLERANCE}; was the training finished?"
        )


def network_entry(result: TrainResult, file: str) -> dict[str, Any]:
    """The manifest's description of one network."""
    architecture = result.network.architecture
    price = cost(architecture)
    bins = {"bins_per_pixel": float(architecture.head.bins_per_pixel)}
    place = bins if architecture.head.kind == "simcc" else {"stride": architecture.output_stride}
    memory = {} if architecture.cell is None else {"memory": _memory(architecture)}
    return {
        "file": file,
        "kind": architecture.head.kind,
        "input_size": list(architecture.input_size),
        "mean": [0.0, 0.0, 0.0],
        "std": [1.0, 1.0, 1.0],
        "macs": price.macs,
        "params": price.params,
        "extra": {**place, **result.extra},
        **memory,
    }


def _memory(architecture: Architecture) -> dict[str, Any]:
    """What the manifest says of the features that the robot keeps between images."""
    assert architecture.cell is not None
    return {
        "lags": list(architecture.cell.lags),
        "channels": architecture.stages[-1].width,
        "size": list(architecture.feature_size),
        "stride": architecture.stride,
        "fps": architecture.cell.fps,
    }


def export(
    out: Path,
    *,
    name: str,
    objects: list[TrainedObject],
    locator: Path,
    training: Mapping[str, Any],
    metrics: Mapping[str, Any] | None = None,
    budget_macs: int | None = None,
) -> Bundle:
    """Packs finished trainings into a bundle at `out` (a folder, or a zip when it ends in .zip).

    Args:
        out: Where to; a bundle there is replaced.
        name: The bundle's.
        objects: In the order of the locator's classes.
        locator: Folder of the locator's training.
        training: Command, seed, data and whatever else reproduces the bundle.
        metrics: Figures, each with the data they were measured on; by default the trainings' own.
        budget_macs: What the search was told to stay below.

    Raises:
        TrainingError: A training is not finished. ExportError: See `to_onnx`.
        MeshError: A network has more outputs than its object has keypoints.
        BundleError: The bundle could not be read back.
    """
    files: dict[str, bytes] = {}
    weights: dict[str, torch.Tensor] = {}
    entries, poses = [], {}
    for trained in objects:
        result = load_result(trained.training)
        model = trained.model.first_keypoints(result.network.architecture.head.outputs)
        file = "pose.onnx" if len(objects) == 1 else f"pose_{trained.model.name}.onnx"
        files[file] = to_onnx(result.network)
        weights.update(with_prefix(f"pose.{trained.model.name}", result.network.state_dict()))
        entries.append({"model": model.to_json(), "network": network_entry(result, file)})
        poses[trained.model.name] = result
    found = load_result(locator)
    files["locator.onnx"] = to_onnx(found.network)
    weights.update(with_prefix("locator", found.network.state_dict()))
    files[WEIGHTS] = save(weights)
    files[MESHES] = pack_meshes([trained.model for trained in objects])
    first = next(iter(poses.values())).network.architecture
    price, locator_price = cost(first), cost(found.network.architecture)
    manifest = {
        "name": name,
        "created": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "objects": entries,
        "locator": network_entry(found, "locator.onnx"),
        "architecture": {
            "pose": {key: result.network.architecture.to_json() for key, result in poses.items()},
            "locator": found.network.architecture.to_json(),
        },
        "costs": {
            "pose_macs": price.macs,
            "pose_params": price.params,
            "locator_macs": locator_price.macs,
            "locator_params": locator_price.params,
            "budget_macs": budget_macs,
        },
        "training": {
            "images": sum(result.images for result in poses.values()),
            "minutes": round(sum(r.minutes for r in [*poses.values(), found]), 2),
            **training,
        },
        "metrics": dict(metrics or _own_metrics(poses, found)),
    }
    return write_bundle(out, manifest, files)


def _own_metrics(poses: Mapping[str, TrainResult], locator: TrainResult) -> dict[str, Any]:
    data = "held-out synthetic samples of the training's own generator, true boxes with jitter"
    return {
        "pose": {key: {**result.metrics, "data": data} for key, result in poses.items()},
        "locator": {**locator.metrics, "data": "held-out synthetic frames of the same generator"},
    }
