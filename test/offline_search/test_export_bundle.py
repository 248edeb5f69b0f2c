# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose export`: finished trainings become a bundle that the robot's estimator runs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fpg_pose_ros.bundle import read_bundle
from fpg_pose_ros.estimator import Estimator, Limits
from offline_search.cli import app
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.export import ExportError
from offline_search.export_bundle import export_bundle
from offline_search.retrain import retrain
from offline_search.space.temporal import Edge, TemporalCell
from offline_search.training.config import TrainingError

sys.path.insert(0, str(Path(__file__).parent / "training"))
from filmed_world import LITTLE, config, trained

CELL = TemporalCell((Edge(1, ("t_dw3",)), Edge(4, ("t_mix",))))


def test_a_network_with_a_cell_and_a_runs_locator_become_a_bundle_that_runs(
    tiny_run: Path, tmp_path: Path, layer_cache: Path
) -> None:
    retrain(
        ["spot"],
        kind="pose",
        architecture=replace(LITTLE, cell=CELL),
        config=config(images=8),
        out=tmp_path / "cell",
        data="films",
        cache=layer_cache,
        seed_network=trained(tmp_path / "single"),
    )
    out = tmp_path / "told"
    asked = ["--pose", str(tmp_path / "cell"), "--locator", str(tiny_run / "locator")]
    done = CliRunner().invoke(app, ["export", "--object", "spot", *asked, "--out", str(out)])
    assert done.exit_code == 0, done.output
    assert "remembers 1, 4 images back" in done.stdout
    assert "not calibrated" in done.stdout
    assert f"  fpg-pose calibrate {out} --object spot\n" in done.stdout
    assert f"  fpg-pose evaluate {out} --object spot --track\n" in done.stdout
    bundle, run = read_bundle(out), read_bundle(tiny_run / "bundle")
    (item,) = bundle.objects
    assert item.network.memory is not None
    assert bundle.manifest["objects"][0]["network"]["memory"]["lags"] == [1, 4]
    # as the run has it, as far as they are the same
    assert bundle.name == "spot"
    assert bundle.files["locator.onnx"] == run.files["locator.onnx"]
    training, metrics = bundle.manifest["training"], bundle.manifest["metrics"]
    assert training["curves"].keys() == run.manifest["training"]["curves"].keys()
    assert training["curves"]["locator"] == run.manifest["training"]["curves"]["locator"]
    assert metrics["locator"].keys() == run.manifest["metrics"]["locator"].keys()
    assert metrics["pose-spot"].keys() == run.manifest["metrics"]["pose-spot"].keys()
    assert training["images"] == 8 + 16
    assert training["settings"]["pose-spot"]["images"] == 8
    assert "not judged" in metrics["data"]
    # and the robot's estimator runs locator and pose network
    limits = Limits(min_detection_score=0.0, min_score=0.0)
    frame = LiveScene(load_object("spot"), seed=3, fps=30.0, duration=0.1).frame(0)
    assert frame.camera is not None
    result = Estimator(bundle, limits=limits).estimate(frame.image, frame.camera)
    assert result.detections
    assert result.times.infer_ms > 0


def test_trainings_that_do_not_fit_are_refused_by_their_folders(
    tiny_run: Path, tmp_path: Path
) -> None:
    pose, locator, out = tiny_run / "pose-spot", tiny_run / "locator", tmp_path / "out"
    with pytest.raises(ExportError, match="2 objects and 1 trainings"):
        export_bundle(["spot", "cube"], [pose], locator, out)
    with pytest.raises(ExportError, match=r"locator: its network has a locator head; give a pose"):
        export_bundle(["spot"], [locator], pose, out)
    with pytest.raises(ExportError, match=r"locator finds 1 objects, spot, spot are named"):
        export_bundle(["spot", "spot"], [pose, pose], locator, out)
    with pytest.raises(TrainingError, match="no finished training"):
        export_bundle(["spot"], [tmp_path], locator, out)
    assert not out.exists()
