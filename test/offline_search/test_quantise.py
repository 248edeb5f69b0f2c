# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
import pytest

from fpg_pose_ros.backends import open_backends
from fpg_pose_ros.bundle import Bundle, read_bundle
from offline_search.calibrate import calibrated_objects
from offline_search.data.live import LiveScene
from offline_search.data.objects import load_object
from offline_search.int8 import QuantisationError, record_inputs
from offline_search.quantise import quantise

pytestmark = pytest.mark.openvino

SPOT = Path(__file__).parents[2] / "models" / "spot"
FEW = {"calibration_frames": 6, "images": 0, "frames": 3, "seed": 1}


class Made(NamedTuple):
    path: Path
    bundle: Bundle
    printed: str


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    out = tmp_path_factory.mktemp("quantise") / "spot8.zip"
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        bundle = quantise(SPOT, ["spot"], out=out, **FEW)
    return Made(out, bundle, printed.getvalue())


def test_the_bundle_is_read_like_any_other_and_says_what_it_is(made: Made) -> None:
    bundle = made.bundle
    assert read_bundle(made.path).hash == bundle.hash
    assert (bundle.locator.precision, bundle.objects[0].network.precision) == ("int8", "int8")
    record = bundle.manifest["quantisation"]
    assert record["of"] == read_bundle(SPOT).hash
    assert "6 rendered frames" in record["calibration"]
    for when in ("before", "after"):
        assert set(record[when]["spot"]) == {"add01", "add_auc", "rotation_deg_median"}
        assert record["latency_ms"]["pose.onnx"]["onnxruntime"][when] > 0
    assert bundle.manifest["metrics"]["spot"] == record["after"]["spot"]


def test_networks_compute_in_integers_and_are_smaller(made: Made) -> None:
    bundle = made.bundle
    original = read_bundle(SPOT)
    for file in ("pose.onnx", "locator.onnx"):
        assert len(bundle.files[file]) < 0.6 * len(original.files[file])
        nodes = onnx.load_from_string(bundle.files[file]).graph.node
        maker = {output: node.op_type for node in nodes for output in node.output}
        layers = [node for node in nodes if node.op_type in ("Conv", "ConvTranspose")]
        assert all(maker[name] == "DequantizeLinear" for n in layers for name in n.input[:2])


def test_outputs_stay_near_on_frames_that_were_not_seen(made: Made) -> None:
    bundle = made.bundle
    original = read_bundle(SPOT)
    inputs = record_inputs(original, [load_object("spot")], frames=2, seed=5)
    before, after = open_backends(original), open_backends(bundle)
    for file, seen in inputs.items():
        for x in seen:
            for exact, rough in zip(before[file].run(x), after[file].run(x), strict=True):
                assert np.abs(exact - rough).mean() < 0.03 * np.abs(exact).max()


def test_the_change_is_printed(made: Made) -> None:
    head, *rows, data, scores = made.printed.splitlines()
    assert head.split() == ["float32", "int8", "change"]
    shown = {row[:36].strip(): row[36:].split() for row in rows}
    assert {"spot add01", "spot rotation_deg_median", "pose.onnx KiB"} <= set(shown)
    was, now, change = map(float, shown["locator.onnx onnxruntime ms"])
    assert change == pytest.approx(now - was, abs=0.002)
    assert data == "3 rendered frames of each object, seed 1"
    assert scores == "scores and covariances are not calibrated"


def test_the_calibration_of_other_networks_is_not_handed_on(made: Made) -> None:
    original = read_bundle(SPOT)
    assert calibrated_objects(original) == ["spot"]
    assert "calibration" in original.manifest
    assert calibrated_objects(read_bundle(made.path)) == []
    assert "calibration" not in made.bundle.manifest


@pytest.mark.slow
def test_what_was_calibrated_is_calibrated_anew(tmp_path: Path) -> None:
    bundle = quantise(SPOT, ["spot"], out=tmp_path / "spot8", **{**FEW, "images": 60})
    assert calibrated_objects(read_bundle(tmp_path / "spot8")) == ["spot"]
    assert "fitted to 60 rendered frames of spot" in bundle.manifest["calibration"]["spot"]["data"]
    assert "calibrated anew on 60" in bundle.manifest["quantisation"]["scores"]
    before, after = (b.objects[0].network.extra for b in (read_bundle(SPOT), bundle))
    assert before != after


def test_what_cannot_be_quantised_is_refused(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(QuantisationError, match="quantised already"):
        quantise(made.path, ["spot"], out=tmp_path / "b", **FEW)
    with pytest.raises(QuantisationError, match="also holds spot"):
        quantise(SPOT, [], out=tmp_path / "b", **FEW)
    # An empty scene: the locator runs, the pose network never does.
    monkeypatch.setattr(LiveScene, "__iter__", lambda self: iter(()))
    with pytest.raises(QuantisationError, match="never run on 6 rendered frames"):
        quantise(SPOT, ["spot"], out=tmp_path / "b", **FEW)
    assert not (tmp_path / "b").exists()
