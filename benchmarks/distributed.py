#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a second training process is worth: images/s of two under torchrun against one alone.

    python benchmarks/distributed.py [--steps N] [--rounds N]

Both train the `small` pose network on batches of two shards, one thread a process, by the very loop
of `fpg-pose retrain`. Samples are made of noise once and kept in memory (workers: 0), so the figure
is that of training alone: on a machine with cores to spare, samples are made beside it. Runs of one
and of two processes take turns, since a machine's speed drifts. The median of each is compared:
efficiency = images/s of two / (2 * images/s of one).
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from fpg_pose_ros.errors import FpgPoseError
from offline_search.report.machine import machine, own_command
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.presets import preset
from offline_search.training.checkpoint import write_atomic
from offline_search.training.config import TrainConfig
from offline_search.training.feed import seen
from offline_search.training.journal import read_metrics
from offline_search.training.loop import train
from offline_search.training.loss import heatmap_loss
from offline_search.training.task import Batch, Verdict

ROOT = Path(__file__).resolve().parents[1]
NETWORK, KEYPOINTS, SHARDS = "small", 16, 2
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


class Noise(Dataset[dict[str, Tensor]]):
    """Samples that cost nothing to make: a few random ones, again and again."""

    def __init__(self, side: int, count: int = 64) -> None:
        """Makes `count` of them, side x side px."""
        draws = torch.Generator().manual_seed(0)
        self.images = torch.randint(
            0, 256, (count, side, side, 3), dtype=torch.uint8, generator=draws
        )
        self.keypoints = torch.rand((count, 1, KEYPOINTS, 2), generator=draws) * side

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        """Returns sample `index`."""
        place = index % len(self.images)
        return {"image": self.images[place], "keypoints": self.keypoints[place]}


@dataclass
class NoiseTask:
    """The pose network's loss, on noise; nothing is judged."""

    architecture: Architecture
    title: str = "noise"
    headline: str = "loss"
    mining: None = None

    def dataset(self) -> Dataset[dict[str, Tensor]]:
        """See `Task`."""
        return Noise(self.architecture.input_size[0])

    def outputs(self, network: nn.Module, batch: Batch, device: torch.device) -> Any:
        """See `Task`."""
        return seen(network, batch, device)

    def loss(self, outputs: Any, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Divergence of the maps."""
        stride = self.architecture.output_stride
        maps = outputs[:, :KEYPOINTS]
        loss = heatmap_loss(maps, batch["keypoints"], stride=stride, sigma=6.0 / stride).mean()
        return loss, {}

    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """Nothing."""
        return {}

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """Nothing."""
        return Verdict({})


def learn(out: Path, steps: int, batch: int) -> None:
    """One training in `out`; under torchrun, this process's part of it."""
    architecture = preset(NETWORK, KEYPOINTS)
    config = TrainConfig(
        images=steps * batch, batch=batch, shards=SHARDS, workers=0, threads=1, validations=0
    )
    train(NoiseTask(architecture), architecture, config, out)


def images_per_s(processes: int, steps: int, batch: int) -> float:
    """Median over the rows of a training's journal, the first left out if there are others."""
    launcher = TORCHRUN if processes == 2 else ()
    with tempfile.TemporaryDirectory() as folder:
        options = ("--train", folder, "--steps", str(steps), "--batch", str(batch))
        subprocess.run(
            [sys.executable, *launcher, str(Path(__file__).resolve()), *options],
            check=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.DEVNULL,
        )
        rates = [row["images_per_s"] for row in read_metrics(Path(folder), "train")]
    return statistics.median(rates[1:] or rates)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the figures and writes them; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--steps", type=int, default=150, help="of each run")
    parser.add_argument("--batch", type=int, default=16, help="samples a step of all processes")
    parser.add_argument("--rounds", type=int, default=3, help="runs of one and of two processes")
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "distributed.json"
    )
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.train:
        try:
            learn(options.train, options.steps, options.batch)
        except FpgPoseError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        return 0
    found: dict[int, list[float]] = {1: [], 2: []}
    for turn in range(options.rounds):
        for processes, rates in found.items():
            rates.append(images_per_s(processes, options.steps, options.batch))
            print(f"round {turn + 1}, {processes} process(es): {rates[-1]:.1f} images/s")
    one, two = (statistics.median(rates) for rates in found.values())
    efficiency = two / (2 * one)
    print(f"one: {one:.1f} images/s, two: {two:.1f} images/s, efficiency {efficiency:.2f}")
    row = {
        "network": NETWORK,
        "macs": cost(preset(NETWORK, KEYPOINTS)).macs,
        "batch": options.batch,
        "shards": SHARDS,
        "steps": options.steps,
        "backend": "gloo",
        "data": "noise in memory, 0 workers",
        "images_per_s_1": [round(rate, 2) for rate in found[1]],
        "images_per_s_2": [round(rate, 2) for rate in found[2]],
        "efficiency": round(efficiency, 3),
        "machine": machine()["processor"],
        "date": datetime.date.today().isoformat(),
        "command": f"python benchmarks/{own_command()}",
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(options.out, (json.dumps([row], indent=1) + "\n").encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
