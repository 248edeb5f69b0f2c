# SPDX-License-Identifier: Apache-2.0
"""Which runtime runs which network of a bundle."""

from __future__ import annotations

import importlib.util
import logging
from typing import Final

import numpy as np

from fpg_pose_ros.backends.backend import Backend, BackendError
from fpg_pose_ros.backends.onnx_runtime import OnnxRuntimeBackend
from fpg_pose_ros.backends.openvino import OpenVinoBackend
from fpg_pose_ros.backends.pytorch import TorchBackend
from fpg_pose_ros.backends.stopwatch import milliseconds
from fpg_pose_ros.bundle import Bundle, NetworkSpec
from fpg_pose_ros.errors import FpgPoseError

BACKENDS: Final = ("auto", "onnxruntime", "openvino", "torch")
DEVICES: Final = ("cpu", "cuda")
# On a CPU torch takes several times as long as the others, and seconds to import.
_MEASURED: Final = {"cpu": ("onnxruntime", "openvino"), "cuda": ("torch",)}
# Of measuring, all networks together, s.
_AUTO_SECONDS: Final = 1.0


def open_backends(
    bundle: Bundle, name: str = "onnxruntime", *, threads: int = 1, device: str = "cpu"
) -> dict[str, Backend]:
    """Makes a bundle's networks ready to run.

    Args:
        bundle: a checked bundle.
        name: one of `BACKENDS`; `auto` times those that are installed, about a second in all, and
            takes the fastest for each network. On a CPU torch has to be named to be taken.
        threads: how many a network's operators may use.
        device: cpu, or cuda, which only torch uses.

    Returns:
        A backend for each ONNX file of the bundle.

    Raises:
        BackendError: name or device is unknown, a package is not installed, a device not there.
        BundleError: the runtime cannot load a network.
    """
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; it is one of {', '.join(BACKENDS)}")
    if device not in DEVICES:
        raise BackendError(f"there is no device {device!r}; it is one of {', '.join(DEVICES)}")
    if device == "cuda" and name not in ("auto", "torch"):
        raise BackendError(f"backend {name} runs on the cpu; device cuda needs backend torch")
    specs = {spec.file: spec for spec in (bundle.locator, *(o.network for o in bundle.objects))}
    if name != "auto":
        return {file: _open(name, bundle, spec, threads, device) for file, spec in specs.items()}
    seconds = _AUTO_SECONDS / len(specs)
    return {file: _fastest(bundle, spec, threads, device, seconds) for file, spec in specs.items()}


def _open(name: str, bundle: Bundle, spec: NetworkSpec, threads: int, device: str) -> Backend:
    if name == "torch":
        return TorchBackend(bundle, spec, threads, device)
    make = OpenVinoBackend if name == "openvino" else OnnxRuntimeBackend
    return make(bundle.files[spec.file], threads)


def _fastest(
    bundle: Bundle, spec: NetworkSpec, threads: int, device: str, seconds: float
) -> Backend:
    """Measures a network in each runtime of the device that is installed and can load it."""
    log = logging.getLogger(__name__)
    default, *others = _MEASURED[device]
    found = [_open(default, bundle, spec, threads, device)]
    for name in others:
        if importlib.util.find_spec(name) is None:
            continue
        try:
            found.append(_open(name, bundle, spec, threads, device))
        except FpgPoseError as error:
            log.warning("backend %s is left out: %s", name, error)
    if len(found) == 1:
        log.info("%s runs in %s, the only one for %s here", spec.file, default, device)
        return found[0]
    rng = np.random.default_rng(0)
    inputs = [rng.uniform(0, 255, shape).astype(np.float32) for shape in spec.input_shapes]
    times = milliseconds([(backend, inputs) for backend in found], seconds=seconds)
    best = int(np.argmin(times))
    measured = ", ".join(f"{b.runtime} {ms:.2f} ms" for b, ms in zip(found, times, strict=True))
    log.info("%s runs in %s (%s)", spec.file, found[best].runtime, measured)
    return found[best]
