# SPDX-License-Identifier: Apache-2.0
"""One of two processes, as torchrun would start them: distributed_child.py OUT SECONDS_A_STEP."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from drawn_world import DrawnPoses, tetrahedron, tiny

from fpg_pose_ros.errors import FpgPoseError
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.distributed import World, average_gradients, joined
from offline_search.training.loop import train
from offline_search.training.pose_task import PoseTask

CONFIG = TrainConfig(
    images=160,
    batch=8,
    shards=2,
    sigma_px=2.0,
    workers=1,
    validation=8,
    validations=1,
    checkpoint_images=32,
)


class SlowTask(PoseTask):
    """Takes its time over each step, so that a signal meets it in the middle."""

    pause = 0.0

    def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
        time.sleep(self.pause)
        return super().loss(outputs, batch)


def learn(out: Path, config: TrainConfig = CONFIG) -> None:
    architecture = tiny()
    task = SlowTask(tetrahedron(), DrawnPoses(1), DrawnPoses(2), architecture, config, 1.28)
    train(task, architecture, config, out)


def gradients(world: World) -> dict[str, Any]:
    """What becomes of parameters of which some have a gradient here, there, or nowhere."""
    parameters = [torch.nn.Parameter(torch.zeros(2)) for _ in range(4)]
    for parameter, owners in zip(parameters, ({0, 1}, {0}, {1}, set()), strict=True):
        if world.rank in owners:
            parameter.grad = torch.tensor([1.0, 10.0]) * (world.rank + 1)
    news = torch.tensor([4.0 * world.rank])
    average_gradients(parameters, world, [news])
    found = [None if p.grad is None else p.grad.tolist() for p in parameters]
    return {"gradients": found, "news": news.tolist()}


def refusal(out: Path) -> str:
    """What a training says of batches that two processes cannot share."""
    try:
        learn(out, replace(CONFIG, shards=1))
    except TrainingError as error:
        return str(error)
    return ""


def main() -> None:
    out, SlowTask.pause = Path(sys.argv[1]), float(sys.argv[2])
    try:
        with joined("cpu") as world:
            learn(out)
            found = {**gradients(world), "refusal": refusal(out / "undivided")}
            (out / f"{world.rank}.json").write_text(json.dumps(found))
    except FpgPoseError as error:
        print(error)
        sys.exit(2)


if __name__ == "__main__":
    main()
