# SPDX-License-Identifier: Apache-2.0
"""Two processes against one that takes the two parts of a batch one after the other."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from distributed_child import CONFIG, learn

from offline_search.retrain import retrain
from offline_search.space import Architecture, Head, Stage
from offline_search.training.checkpoint import load_checkpoint
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.distributed import World, average_gradients, joined
from offline_search.training.journal import read_metrics
from offline_search.training.loop import CHECKPOINT_FILE, WEIGHTS_FILE

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("distributed_child.py")
STAGES = (Stage(8, 2, (("sep_k3",),)), Stage(16, 2, (("sep_k5",),)))
SPOT = Architecture((64, 64), 8, 8, STAGES, Head("heatmap", (16,), 16))


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **more}


def start_pair(out: Path, pause: float) -> list[subprocess.Popen[str]]:
    """Two processes with what torchrun would tell them, without the time that it takes itself."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    return [
        subprocess.Popen(
            [sys.executable, str(CHILD), str(out), str(pause)],
            env=environment(
                WORLD_SIZE="2",
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        for rank in (0, 1)
    ]


def wait_for_another(checkpoint: Path, pair: list[subprocess.Popen[str]]) -> None:
    def written() -> int:
        return checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0

    before, deadline = written(), time.monotonic() + 120
    while written() == before:
        assert all(process.poll() is None for process in pair)
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=1e-5, msg=name)


def story(out: Path, kind: str) -> list[dict[str, float]]:
    timed = ("images_per_s", "minutes")
    return [{k: v for k, v in row.items() if k not in timed} for row in read_metrics(out, kind)]


@dataclass(frozen=True)
class Trainings:
    """One process's folder, and that of two processes with all that befell them.

    Attributes:
        stopped: What each said when one got a signal, and its exit status.
        saved: Samples behind them in the checkpoint then.
        left: The same of one process whose companion was killed.
    """

    one: Path
    two: Path
    stopped: list[tuple[str, int | None]]
    saved: int
    left: tuple[str, int | None]


def end(process: subprocess.Popen[str]) -> tuple[str, int | None]:
    """Its last line, and its exit status."""
    said, _ = process.communicate(timeout=240)
    return said.rpartition("\n")[0].rpartition("\n")[2], process.returncode


@pytest.fixture(scope="module")
def trainings(tmp_path_factory: pytest.TempPathFactory) -> Trainings:
    folder = tmp_path_factory.mktemp("trainings")
    one, two = folder / "one", folder / "two"
    checkpoint = two / CHECKPOINT_FILE

    pair = start_pair(two, 0.05)
    wait_for_another(checkpoint, pair)
    os.killpg(pair[1].pid, signal.SIGTERM)  # as torchrun does; its worker gets it too
    stopped = [end(process) for process in pair]
    saved = load_checkpoint(checkpoint)[1]["step"] * CONFIG.batch

    pair = start_pair(two, 0.05)
    wait_for_another(checkpoint, pair)
    pair[0].kill()
    left, _ = end(pair[1]), end(pair[0])
    assert load_checkpoint(checkpoint)[1]["step"] < CONFIG.steps

    pair = start_pair(two, 0)
    learn(one)
    assert [end(process)[1] for process in pair] == [0, 0]
    return Trainings(one, two, stopped, saved, left)


def test_two_processes_stopped_and_killed_end_where_one_process_does(trainings: Trainings) -> None:
    one, two = trainings.one, trainings.two
    for name in (CHECKPOINT_FILE, WEIGHTS_FILE):
        assert_close(load_checkpoint(one / name)[0], load_checkpoint(two / name)[0])
    assert [row["step"] for row in story(two, "validation")] == [10, 20]
    assert story(two, "train") == [pytest.approx(row, abs=1e-5) for row in story(one, "train")]


def test_a_signal_to_one_process_stops_all_at_the_same_step(trainings: Trainings) -> None:
    said, statuses = zip(*trainings.stopped, strict=True)
    assert statuses == (2, 2)
    assert said[0] == said[1]
    assert f"after {trainings.saved} images; run the same command again" in said[0]


def test_a_process_whose_companion_is_killed_ends_with_advice(trainings: Trainings) -> None:
    said, status = trainings.left
    assert status == 2
    assert "another process of this training ended" in said
    assert "run the same command again" in said


def test_a_gradient_that_one_process_lacks_counts_as_zero_and_one_that_all_lack_stays_missing(
    trainings: Trainings,
) -> None:
    for rank in (0, 1):
        found = json.loads((trainings.two / f"{rank}.json").read_text())
        assert found["gradients"] == [[1.5, 15.0], [0.5, 5.0], [1.0, 10.0], None]
        assert found["news"] == [2.0]


def test_batches_that_processes_cannot_share_equally_are_refused_with_the_remedy(
    trainings: Trainings,
) -> None:
    for rank in (0, 1):
        found = json.loads((trainings.two / f"{rank}.json").read_text())
        assert "2 processes cannot share out 1 shards" in found["refusal"]
        assert "--shards to a multiple of 2" in found["refusal"]
    assert not (trainings.two / "undivided").exists()
    assert World(0, 2, torch.device("cpu")).share(6) == 3


def test_the_command_under_torchrun_gives_what_one_process_gives(
    tmp_path: Path, layer_cache: Path
) -> None:
    config = TrainConfig(
        images=32, batch=8, shards=2, layers=8, validation=4, validations=1, checkpoint_images=16
    )
    one, two, architecture = tmp_path / "one", tmp_path / "two", tmp_path / "architecture.json"
    architecture.write_text(json.dumps(SPOT.to_json()))
    settings = {"batch": 8, "validation": 4, "validations": 1, "checkpoint_images": 16}
    torchrun = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    retraining = ("-m", "offline_search.cli", "retrain", "--object", "spot", "--out", str(two))
    with_options = (
        *("--architecture", str(architecture), "--images", "32", "--layers", "8"),
        *("--cache", str(layer_cache), "--settings", json.dumps(settings)),
    )
    command = [sys.executable, "-m", *torchrun, *retraining, *with_options]
    pair = subprocess.run(
        command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=240
    )
    assert pair.returncode == 0, pair.stderr
    result = retrain(
        ["spot"], kind="pose", architecture=SPOT, config=config, out=one, cache=layer_cache
    )
    assert_close(load_checkpoint(one / WEIGHTS_FILE)[0], load_checkpoint(two / WEIGHTS_FILE)[0])
    assert (one / "config.json").read_text() == (two / "config.json").read_text()
    # one process speaks, and it alone writes
    spoken = [json.loads(line) for line in pair.stdout.splitlines() if line.startswith("{")]
    assert [line["keypoint_px"] for line in spoken] == [
        pytest.approx(result.metrics["keypoint_px"], abs=1e-3)
    ]
    assert len(list((two / "tensorboard").iterdir())) == 1
    assert story(two, "train") == [pytest.approx(row, abs=1e-5) for row in story(one, "train")]


def test_alone_nothing_is_averaged_and_nobody_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world == World(0, 1, torch.device("cpu"))
        assert world.main
        parameter = torch.nn.Parameter(torch.zeros(1))
        average_gradients([parameter], world)
        assert parameter.grad is None
    assert not torch.distributed.is_initialized()


def test_processes_that_cannot_meet_are_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(TrainingError, match="start them by torchrun"), joined("cpu"):
        pass
    monkeypatch.setenv("LOCAL_RANK", "64")
    with pytest.raises(TrainingError, match="lower torchrun's --nproc-per-node"), joined("cuda"):
        pass
