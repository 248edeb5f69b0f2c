# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.backends import BackendError, open_backends
from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.estimator import Estimator

pytestmark = pytest.mark.openvino

FILES = ("locator.onnx", "pose.onnx")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def spot() -> Bundle:
    return read_bundle(Path(__file__).parents[3] / "models" / "spot")


def pictures(bundle: Bundle, file: str, count: int = 2) -> list[np.ndarray]:
    spec = bundle.locator if file == FILES[0] else bundle.objects[0].network
    rng = np.random.default_rng(0)
    shape = (1, 3, *spec.input_size)
    return [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("name", ["openvino", "torch"])
def test_every_backend_gives_what_onnx_runtime_gives(spot, name):
    pytest.importorskip(name, reason=f"{name} is not installed")
    expected, got = open_backends(spot), open_backends(spot, name)
    assert set(got) == set(FILES)
    for file in FILES:
        assert got[file].runtime == name
        x, other = pictures(spot, file)
        outputs = got[file].run(x)
        got[file].run(other)  # must leave the first outputs alone
        for mine, theirs in zip(outputs, expected[file].run(x), strict=True):
            assert mine.dtype == np.float32
            assert mine.shape == theirs.shape
            assert np.abs(mine - theirs).max() < TOLERANCE


def test_auto_takes_the_fastest_and_says_why(spot, caplog):
    pytest.importorskip("openvino", reason="openvino is not installed")
    caplog.set_level(logging.INFO, "fpg_pose_ros.backends")
    chosen = open_backends(spot, "auto")
    for file, line in zip(FILES, sorted(r.getMessage() for r in caplog.records), strict=True):
        assert line.startswith(f"{file} runs in {chosen[file].runtime} (onnxruntime ")
        parts = line.partition("(")[2].rstrip(")").split(", ")
        times = {name: float(ms) for name, ms, _ in (part.split() for part in parts)}
        assert times[chosen[file].runtime] == min(times.values())


def test_auto_does_with_what_is_installed(spot, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "fpg_pose_ros.backends")
    monkeypatch.setitem(sys.modules, "openvino", None)
    chosen = open_backends(spot, "auto")
    assert {backend.runtime for backend in chosen.values()} == {"onnxruntime"}
    assert "the only one for cpu here" in caplog.text


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("openvino", "openvino", "openvino"),
        ("torch", "torch", "train"),
        ("torch", "offline_search.rebuild", "train"),
    ],
)
def test_a_missing_package_is_named_with_the_remedy(spot, monkeypatch, name, module, extra):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(BackendError, match=rf"needs {module}.*'\.\[{extra}\]'"):
        open_backends(spot, name)


@pytest.mark.parametrize(
    ("name", "device", "message"),
    [
        ("tensorrt", "cpu", "one of auto, onnxruntime, openvino, torch"),
        ("torch", "tpu", "one of cpu, cuda"),
        ("onnxruntime", "cuda", "device cuda needs backend torch"),
        ("openvino", "cuda", "device cuda needs backend torch"),
    ],
)
def test_what_does_not_exist_is_refused(spot, name, device, message):
    with pytest.raises(BackendError, match=message):
        open_backends(spot, name, device=device)


@pytest.mark.parametrize("name", ["auto", "torch"])
def test_cuda_where_there_is_none_is_refused(spot, name):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    if torch.cuda.is_available():
        chosen = open_backends(spot, name, device="cuda")
        assert {backend.runtime for backend in chosen.values()} == {"torch"}
        return
    with pytest.raises(BackendError, match="no CUDA device; use device cpu"):
        open_backends(spot, name, device="cuda")


def test_networks_without_weights_of_their_own_do_not_run_in_torch(spot, cube_bundle):
    pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(BundleError, match=r"architecture of locator\.onnx"):
        open_backends(cube_bundle, "torch")
    locator = dataclasses.replace(spot.locator, precision="int8")
    with pytest.raises(BackendError, match=r"int8.*onnxruntime or openvino"):
        open_backends(dataclasses.replace(spot, locator=locator), "torch")


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_what_a_runtime_cannot_load_is_a_bundle_error(cube_bundle, name):
    pytest.importorskip(name, reason=f"{name} is not installed")
    broken = dataclasses.replace(cube_bundle, files=dict.fromkeys(FILES, b"no network"))
    with pytest.raises(BundleError, match="cannot load a network"):
        open_backends(broken, name)


def test_the_estimator_runs_with_any(cube_bundle, take_photograph):
    pytest.importorskip("openvino", reason="openvino is not installed")
    from fpg_pose_ros.geometry import Camera, exp_so3, make_transform

    camera = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))
    image = take_photograph(camera, make_transform(exp_so3([0.3, 0.5, -0.2]), [0.03, 0.01, 0.8]))
    opened = open_backends(cube_bundle, "openvino")
    assert Estimator(cube_bundle, backend=opened).runtimes == dict.fromkeys(FILES, "openvino")
    found = [
        Estimator(cube_bundle, backend=backend).estimate(image, camera).estimates[0]
        for backend in ("onnxruntime", "openvino", opened)
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.T_camera_object, found[0].T_camera_object, atol=1e-5)
