# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from fpg_pose_ros.backends.onnx_runtime import OnnxRuntimeBackend
from fpg_pose_ros.errors import BundleError


def test_outputs_come_in_the_models_order(cube_bundle):
    backend = OnnxRuntimeBackend(cube_bundle.files["locator.onnx"])
    heat, box = backend.run(np.zeros((1, 3, 168, 224), np.float32))
    assert heat.shape == (1, 1, 21, 28)
    assert box.shape == (1, 4, 21, 28)
    assert heat.dtype == np.float32


def test_several_threads_give_the_same(cube_bundle):
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, 128, 128)).astype(np.float32)
    one, two = (OnnxRuntimeBackend(cube_bundle.files["pose.onnx"], n).run(x)[0] for n in (1, 2))
    np.testing.assert_allclose(one, two, rtol=1e-5)


def test_what_the_runtime_cannot_load_is_a_bundle_error():
    with pytest.raises(BundleError, match="ONNX Runtime cannot load"):
        OnnxRuntimeBackend(b"no network")
