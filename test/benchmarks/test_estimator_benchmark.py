# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.geometry import exp_so3, make_transform

PATH = Path(__file__).parents[2] / "benchmarks" / "estimator.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("estimator_benchmark", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_every_step_is_timed_with_both_lenses(benchmark, capsys):
    benchmark.main(["--runs", "5"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["us", "pinhole", "p50", "p99", "distorted", "p50", "p99"]
    times = {row[:22].strip(): [float(cell) for cell in row[22:].split()] for row in rows}
    assert set(times) >= {"letterbox", "crop", "normalise and solve", "estimate, all of it"}
    assert all(len(cells) == 4 and min(cells) > 0 for cells in times.values())
    # About 1 ms on an idle core; this only catches work of another order.
    assert times["estimate, all of it"][0] < 20_000


def test_the_recorded_outputs_lead_to_the_pose_they_were_made_from(benchmark):
    bundle = benchmark.spot_bundle()
    T = make_transform(exp_so3([0.4, 2.2, -0.3]), [0.06, -0.03, 0.7])
    image = np.zeros((480, 640, 3), np.uint8)
    for camera in (benchmark.CAMERA, benchmark.LENS):
        result = benchmark.steps(bundle, camera, T, image)["estimate, all of it"]()
        (found,) = result.estimates
        assert np.linalg.norm(found.T_camera_object[:3, 3] - T[:3, 3]) < 0.01
