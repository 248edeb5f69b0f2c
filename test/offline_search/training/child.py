# SPDX-License-Identifier: Apache-2.0
"""A training in a process that tests kill: child.py OUT KIND WORKERS [SECONDS A STEP]."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from drawn_world import DrawnPoses, tetrahedron, tiny

from fpg_pose_ros.errors import FpgPoseError
from offline_search.training.config import TrainConfig
from offline_search.training.loop import train
from offline_search.training.pose_task import PoseTask


class SlowTask(PoseTask):
    """Takes its time over each step, so that a signal meets it in the middle."""

    pause = 0.0

    def loss(self, outputs, batch):  # type: ignore[no-untyped-def]
        time.sleep(self.pause)
        # Randomness in the training process too: a resumed run must go on in the same stream.
        outputs = outputs + 0.01 * torch.randn_like(outputs)
        return super().loss(outputs, batch)


def main() -> None:
    out, kind, workers = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    SlowTask.pause = float(sys.argv[4]) if len(sys.argv) > 4 else 0.0
    config = TrainConfig(
        images=240,
        batch=8,
        sigma_px=2.0,
        workers=workers,
        validation=8,
        validations=2,
        checkpoint_images=32,
    )
    architecture = tiny(kind)
    task = SlowTask(tetrahedron(), DrawnPoses(1), DrawnPoses(2), architecture, config, 1.28)
    try:
        train(task, architecture, config, out)
    except FpgPoseError as error:
        print(error)
        sys.exit(2)


if __name__ == "__main__":
    main()
