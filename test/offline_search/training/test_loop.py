# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_world import DrawnPoses, tetrahedron, tiny

from fpg_pose_ros.geometry import Symmetries, exp_so3, make_transform
from offline_search.training.checkpoint import load_checkpoint, save_checkpoint
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.journal import read_metrics
from offline_search.training.loop import (
    CHECKPOINT_FILE,
    WEIGHTS_FILE,
    TrainResult,
    load_result,
    train,
)
from offline_search.training.pose_task import PoseTask

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("child.py")
SHORT = TrainConfig(
    images=64, batch=8, sigma_px=2.0, workers=0, validation=8, validations=1, checkpoint_images=16
)


def learn(
    out: Path,
    config: TrainConfig,
    kind: str = "heatmap",
    symmetries: Symmetries | None = None,
    turn: float = 0.5,
    mask: bool = False,
) -> TrainResult:
    architecture = tiny(kind, mask=mask)
    task = PoseTask(
        tetrahedron(symmetries),
        DrawnPoses(1, turn),
        DrawnPoses(2, turn),
        architecture,
        config,
        1.28,
    )
    return train(task, architecture, config, out)


def start_child(out: Path, workers: int, pause: float = 0.0) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(out), "heatmap", str(workers), str(pause)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not path.exists():
        assert process.poll() is None, process.stdout.read() if process.stdout else ""
        assert time.monotonic() < deadline
        time.sleep(0.01)


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out / WEIGHTS_FILE)[0]


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("kind", "best_px"), [("heatmap", 0.8), ("simcc", 2.5)])
def test_a_network_learns_the_drawn_world(tmp_path: Path, kind: str, best_px: float) -> None:
    config = TrainConfig(
        images=3200, batch=16, lr=4e-3, sigma_px=2.0, workers=0, validation=64, validations=2
    )
    result = learn(tmp_path, config, kind)
    losses = [row["loss"] for row in read_metrics(tmp_path, "train")]
    assert losses[-1] < 0.5 * losses[0]
    assert result.metrics["keypoint_px"] < best_px
    if kind == "heatmap":
        assert result.metrics["add01"] > 0.4
        assert result.metrics["rotation_deg"] < 5
    assert result.images == 3200
    assert result.extra["crop_margin"] == 1.28
    assert result.extra["covariance_scale"] > 0


def test_a_mask_is_learnt_beside_the_keypoints(tmp_path: Path) -> None:
    config = replace(SHORT, images=1600, batch=16, lr=4e-3, validation=32)
    result = learn(tmp_path, config, mask=True)
    masks = [row["mask"] for row in read_metrics(tmp_path, "train")]
    assert masks[-1] < 0.75 * masks[0]
    # what the mask says of the distance is not far off
    assert abs(result.extra["silhouette_bias"]) < 0.2
    assert result.extra["silhouette_sigma"] < 0.2


def test_a_symmetric_object_is_learnt_though_its_labels_are_ambiguous(tmp_path: Path) -> None:
    """Any half turn is declared a symmetry; labels of a random one of the two poses are given."""
    half = make_transform(exp_so3(np.array([0.0, 0.0, np.pi])), np.zeros(3))
    config = replace(SHORT, images=480, batch=16)
    result = learn(tmp_path, config, symmetries=Symmetries(discrete=(half,)))
    losses = [row["loss"] for row in read_metrics(tmp_path, "train")]
    assert losses[-1] < losses[0]
    assert 0 <= result.metrics["add01"] <= 1


def test_the_folder_tells_the_whole_story(tmp_path: Path) -> None:
    result = learn(tmp_path, SHORT)
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {
        "config.json",
        "architecture.json",
        "checkpoint.safetensors",
        "metrics.jsonl",
        "tensorboard",
        "weights.safetensors",
        "result.json",
    }
    assert TrainConfig.from_json(json.loads((tmp_path / "config.json").read_text())) == SHORT
    document = json.loads((tmp_path / "architecture.json").read_text())
    assert document["macs"] > 0
    rows = read_metrics(tmp_path, "validation")
    assert [row["images"] for row in rows] == [32, 64]
    assert rows[-1]["add01"] == pytest.approx(result.metrics["add01"])
    assert list((tmp_path / "tensorboard").iterdir())


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    learn(tmp_path, SHORT)
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir() if p.suffix == ".safetensors"}
    again = learn(tmp_path, SHORT)
    assert {p: p.stat().st_mtime_ns for p in before} == before
    loaded = load_result(tmp_path)
    image = torch.rand(1, 3, 32, 32) * 255
    with torch.no_grad():
        assert torch.equal(again.network(image), loaded.network(image))


def test_another_configuration_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    learn(tmp_path, SHORT)
    with pytest.raises(TrainingError, match="another architecture, seed network or configuration"):
        learn(tmp_path, replace(SHORT, lr=1e-3))
    with pytest.raises(TrainingError, match="no finished training"):
        load_result(tmp_path / "nothing")


def test_a_training_from_before_a_setting_existed_goes_on_with_its_default(tmp_path: Path) -> None:
    learn(tmp_path, SHORT)
    tensors, scalars = load_checkpoint(tmp_path / CHECKPOINT_FILE)
    del scalars["identity"]["config"]["shards"]
    save_checkpoint(tmp_path / CHECKPOINT_FILE, tensors, scalars)
    learn(tmp_path, SHORT)
    with pytest.raises(TrainingError, match="another architecture, seed network or configuration"):
        learn(tmp_path, replace(SHORT, shards=2))


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    learn(tmp_path / "0", SHORT)
    learn(tmp_path / "2", replace(SHORT, workers=2))
    assert same(weights(tmp_path / "0"), weights(tmp_path / "2"))


def test_mixed_precision_learns_and_leaves_full_weights(tmp_path: Path) -> None:
    learn(tmp_path / "full", SHORT)
    learn(tmp_path / "mixed", replace(SHORT, precision="bfloat16"))
    full, mixed = weights(tmp_path / "full"), weights(tmp_path / "mixed")
    assert all(value.dtype != torch.bfloat16 for value in mixed.values())
    assert any(not torch.equal(mixed[name], value) for name, value in full.items())
    last = [read_metrics(tmp_path / name, "train")[-1]["loss"] for name in ("full", "mixed")]
    assert last[1] == pytest.approx(last[0], rel=0.03)


def test_another_seed_is_another_network(tmp_path: Path) -> None:
    learn(tmp_path / "a", SHORT)
    learn(tmp_path / "b", replace(SHORT, seed=1))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "b"))


def test_killed_at_any_moment_it_resumes_and_ends_bitwise_the_same(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    reference = start_child(whole, workers=0)
    for delay in (0.15, 0.6):
        child = start_child(killed, workers=1, pause=0.05)
        wait_for(killed / CHECKPOINT_FILE, child)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait(60)
    steps_before = load_checkpoint(killed / CHECKPOINT_FILE)[1]["step"]
    assert 0 < steps_before < 30
    last = start_child(killed, workers=1)
    assert last.wait(120) == 0
    assert reference.wait(120) == 0
    assert same(weights(whole), weights(killed))
    ends = [load_checkpoint(out / CHECKPOINT_FILE)[0] for out in (whole, killed)]
    assert same(*ends)
    timed = ("images_per_s", "minutes")
    stories = [
        [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(out, kind)]
        for out in (whole, killed)
        for kind in ("train", "validation")
    ]
    assert stories[:2] == stories[2:]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_finishes_the_step_and_saves(tmp_path: Path, number: signal.Signals) -> None:
    child = start_child(tmp_path, workers=1, pause=0.1)
    wait_for(tmp_path / CHECKPOINT_FILE, child)
    time.sleep(0.25)
    child.send_signal(number)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 2
    assert "run the same command again" in output
    # a step that is no multiple of the checkpoint interval shows that it was saved on the signal
    assert load_checkpoint(tmp_path / CHECKPOINT_FILE)[1]["step"] > 4


def test_a_killed_worker_ends_with_advice_and_nothing_is_lost(tmp_path: Path) -> None:
    whole, hurt = tmp_path / "whole", tmp_path / "hurt"
    child = start_child(hurt, workers=1, pause=0.1)
    wait_for(hurt / CHECKPOINT_FILE, child)
    for worker in Path(f"/proc/{child.pid}/task/{child.pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGKILL)
    said, _ = child.communicate(timeout=120)
    assert child.returncode == 2
    assert "run the same command again" in said
    for process in (start_child(whole, workers=0), start_child(hurt, workers=1)):
        process.communicate(timeout=120)
        assert process.returncode == 0
    assert same(weights(whole), weights(hurt))


def test_a_loss_that_is_not_finite_ends_with_advice(tmp_path: Path) -> None:
    class Broken(PoseTask):
        def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
            loss, figures = super().loss(outputs, batch)
            return loss * float("nan"), figures

    architecture = tiny()
    task = Broken(tetrahedron(), DrawnPoses(1), DrawnPoses(2), architecture, SHORT, 1.28)
    with pytest.raises(TrainingError, match="lower lr"):
        train(task, architecture, SHORT, tmp_path)


def test_a_network_that_does_not_fit_the_object_is_refused() -> None:
    for architecture, message in ((tiny(outputs=6), "5 keypoints"), (tiny("locator"), "head")):
        with pytest.raises(TrainingError, match=message):
            PoseTask(tetrahedron(), DrawnPoses(1), DrawnPoses(2), architecture, SHORT, 1.28)
