# SPDX-License-Identifier: Apache-2.0
"""Networks in 8-bit integers: what they are quantised on, and how.

Static quantisation: scales are fixed beforehand, from what the networks see while the estimator
works on rendered frames; weights have a scale for each channel. Every layer is quantised, the last
ones too: on held-out frames of Spot, leaving out the first, the last, the depthwise or the
transposed convolutions changed no accuracy beyond noise, and OpenVINO is fastest with all.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from tqdm import tqdm

from fpg_pose_ros.backends import Backend, Tensor, open_backends
from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import Estimator
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject

# Frames that are farther apart differ more.
_CALIBRATION_FPS: Final = 3.0
#: How it is done, in words.
METHOD: Final = (
    "static, QDQ, 8-bit activations, 7-bit weights with a scale a channel, "
    f"onnxruntime {onnxruntime.__version__}"
)


class QuantisationError(FpgPoseError):
    """The bundle cannot be quantised on these frames; the message says what to do."""


def record_inputs(
    bundle: Bundle, things: Sequence[RenderableObject], frames: int, seed: int
) -> dict[str, list[Tensor]]:
    """What the networks see while the estimator works on rendered frames, by their file.

    Args:
        bundle: the bundle.
        things: its objects.
        frames: of each object.
        seed: of the scenes.

    Raises:
        QuantisationError: a network is never run, for its object is not found.
    """
    recorders = {file: _Recorder(backend) for file, backend in open_backends(bundle).items()}
    estimator = Estimator(bundle, backend=recorders)
    for recorder in recorders.values():
        recorder.seen.clear()  # the estimator runs each once when it starts
    for thing in things:
        scene = LiveScene(
            thing, seed=seed, fps=_CALIBRATION_FPS, duration=frames / _CALIBRATION_FPS
        )
        bar = tqdm(islice(scene, frames), "calibrate", frames, unit="frame", dynamic_ncols=True)
        for frame in bar:
            estimator.estimate(frame.image, frame.camera)
    for file, recorder in recorders.items():
        if not recorder.seen:
            raise QuantisationError(
                f"{file} is never run on {frames} rendered frames: its object is not found; give "
                "more --calibration-frames, or train the bundle longer"
            )
    return {file: recorder.seen for file, recorder in recorders.items()}


def to_int8(model: bytes, inputs: Sequence[Tensor]) -> bytes:
    """An ONNX file that does the same in 8-bit integers, as far as they reach.

    Args:
        model: contents of an ONNX file with one input.
        inputs: (1, 3, H, W) each; the ranges of all values are those that these lead to.
    """
    network = onnx.load_from_string(model)
    name = network.graph.input[0].name
    with _quiet(), tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "int8.onnx"
        quantize_static(
            network,
            place,
            _Inputs(name, inputs),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Sums of products of 8 bits overflow on x86 processors without VNNI.
            reduce_range=True,
        )
        return place.read_bytes()


class _Recorder:
    """A backend that keeps what it is given."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.runtime = backend.runtime
        self.seen: list[Tensor] = []

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        self.seen.append(inputs[0].copy())
        return self._backend.run(*inputs)


class _Inputs(CalibrationDataReader):  # type: ignore[misc]
    """Hands out inputs one by one, as the quantiser asks for them."""

    def __init__(self, name: str, inputs: Sequence[Tensor]) -> None:
        self._name, self._inputs = name, iter(inputs)

    def get_next(self) -> dict[str, Any] | None:
        x = next(self._inputs, None)
        return None if x is None else {self._name: x}


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser advises on the root logger to fold norms, which has been done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
