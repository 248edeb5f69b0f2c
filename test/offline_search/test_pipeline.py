# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fpg_pose_ros.bundle import read_bundle
from offline_search.pipeline import Request, curves, pipeline, without_infinities
from offline_search.space.cost import cost
from offline_search.space.presets import preset

ROOT = Path(__file__).parents[2]
_LAST = ("export", "calibrate", "judge")


def test_infinite_figures_become_null() -> None:
    value = {"a": float("inf"), "b": [1.0, float("nan")], "c": {"d": "inf"}}
    assert without_infinities(value) == {"a": None, "b": [1.0, None], "c": {"d": "inf"}}


def test_curves_are_thinned_but_keep_both_ends(tmp_path: Path) -> None:
    rows = [{"kind": "train", "step": i, "images": 8 * i, "loss": 1.0 / i} for i in range(1, 1002)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "metrics.jsonl").write_text(text)
    course = curves(tmp_path)["train"]
    assert len(course["step"]) == len(course["loss"]) <= 165
    assert (course["step"][0], course["step"][-1]) == (1, 1001)


def test_the_bundle_says_how_it_came_about(tiny_run: Path) -> None:
    bundle = read_bundle(tiny_run / "bundle")
    training, metrics = bundle.manifest["training"], bundle.manifest["metrics"]
    assert training["command"] == "fpg-pose pipeline --tiny"
    assert training["images"] == 32
    assert training["seed"] == 0
    assert training["minutes"] > 0
    assert set(training["minutes_by_stage"]) == {"render", "train", *_LAST}
    assert set(training["curves"]) == {"pose-spot", "locator"}
    assert metrics["spot"]["targets"] == 2
    assert "2 rendered" in metrics["data"]
    assert training["searches"] == {}
    assert bundle.manifest["costs"]["pose_macs"] == cost(preset("demo", 16)).macs


def test_the_bundle_says_how_its_network_was_found(searched_run: Path) -> None:
    bundle = read_bundle(searched_run / "bundle")
    training, costs = bundle.manifest["training"], bundle.manifest["costs"]
    noted = training["searches"]["spot"]
    assert (noted["strategy"], noted["space"], noted["seed"]) == ("random", "tiny", 0)
    assert noted["budget"]["amount"] == costs["budget_macs"] == 2_900_000
    assert 0.95 * 2_900_000 <= noted["macs"] == costs["pose_macs"] <= 2_900_000
    assert noted["command"] == "fpg-pose pipeline --searched"
    assert noted["minutes"] > 0
    assert noted["images"] == 8  # the trial's score takes the rest; a batch is the least
    assert set(training["minutes_by_stage"]) == {"render", "search", "train", *_LAST}
    assert training["request"]["search_images"] == 16


def test_the_network_that_was_found_is_the_one_that_is_trained(searched_run: Path) -> None:
    found = json.loads((searched_run / "search-spot" / "architecture.json").read_text())
    trained = json.loads((searched_run / "pose-spot" / "architecture.json").read_text())
    bundle = read_bundle(searched_run / "bundle")
    assert trained == found
    assert bundle.manifest["architecture"]["pose"]["spot"] == found["architecture"]
    assert "network" in (searched_run / "search-spot" / "report.html").read_text()


def test_a_finished_run_is_left_as_it_is_and_says_how_good_it_is(
    tiny_run: Path, layer_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    held = json.loads((tiny_run / "pipeline.json").read_text())
    request = Request(**{**held, "objects": tuple(held["objects"])})
    before = (tiny_run / "bundle" / "bundle.json").read_bytes()
    assert pipeline(request, tiny_run, cache=layer_cache) == tiny_run / "bundle"
    assert (tiny_run / "bundle" / "bundle.json").read_bytes() == before
    assert "% of 2 held-out rendered frames" in capsys.readouterr().err


GIVEN = ("--architecture", "demo")
SEARCHED = ("--space", "tiny", "--budget", "2.9M", "--search-images", "400")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "begun"),
    [
        (GIVEN, "pose-spot/checkpoint.safetensors"),
        (SEARCHED, "search-spot/search/checkpoint.safetensors"),
    ],
    ids=["in the training", "in the search"],
)
def test_a_run_that_was_killed_goes_on_and_ends_the_same(
    options: tuple[str, ...], begun: str, layer_cache: Path, tmp_path: Path
) -> None:
    command = [
        *(sys.executable, "-m", "offline_search.cli", "pipeline", "--object", "spot", *options),
        *("--images", "160", "--locator-images", "16", "--layers", "8", "--frames", "2"),
        *("--jobs", "2", "--workers", "0", "--cache", str(layer_cache), "--out"),
    ]
    settings = json.dumps(
        {"batch": 8, "validation": 4, "validations": 0, "checkpoint_images": 8, "layer_px": 64}
    )
    straight, broken = tmp_path / "straight", tmp_path / "broken"

    def start(out: Path) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*command, str(out), "--settings", settings], cwd=ROOT, start_new_session=True
        )

    assert start(straight).wait(240) == 0
    process = start(broken)
    deadline = time.monotonic() + 120
    while not (broken / begun).exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (broken / "bundle").exists()
    time.sleep(2)  # its children save and end
    assert start(broken).wait(240) == 0
    for name in ("pose.onnx", "locator.onnx", "weights.safetensors"):
        assert (broken / "bundle" / name).read_bytes() == (
            straight / "bundle" / name
        ).read_bytes(), name
    shutil.rmtree(tmp_path, ignore_errors=True)
