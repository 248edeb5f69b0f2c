# SPDX-License-Identifier: Apache-2.0
"""Camera and pose node at 30 Hz for a long time: memory stays as it is, and frames arrive."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from diagnostic_msgs.msg import DiagnosticArray
from fpg_pose_ros.msg import ObjectPoseArray
from ros_processes import NodeProcess, Peer, values_of

RATE = 30.0
MOST_GROWTH, MOST_LOST = 0.01, 0.01


def resident_mb(pid: int) -> float:
    """Memory that a process holds (MB)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no such process")


def test_soak(
    peer: Peer,
    marks_bundle: Path,
    long_film: Callable[[Path, int], Path],
    tmp_path: Path,
    count: Callable[..., None],
    request: pytest.FixtureRequest,
) -> None:
    seconds = 60 * request.config.getoption("--soak-minutes")
    film = long_film(tmp_path / "film", round(RATE * seconds))
    answers = 0

    def answered(_: ObjectPoseArray) -> None:
        nonlocal answers
        answers += 1

    peer.node.create_subscription(ObjectPoseArray, "/pose_node/poses", answered, 50)
    latest: list[DiagnosticArray] = []

    def reported(message: DiagnosticArray) -> None:
        latest[:] = [message]

    peer.node.create_subscription(DiagnosticArray, "/diagnostics", reported, 50)
    memory: list[float] = []
    with NodeProcess("pose_node", bundle=marks_bundle) as node:
        node.wait_for("active")
        with NodeProcess("camera_node", source=film, rate=RATE, wait_for_subscribers=1) as camera:
            end = time.monotonic() + seconds + 60
            while camera.process.poll() is None:
                assert time.monotonic() < end, "the camera does not come to its end"
                assert node.process.poll() is None, f"the node died:\n{node.output}"
                peer.spin(1.0)
                memory.append(resident_mb(node.process.pid))
            assert camera.process.returncode == 0
            sent = json.loads(camera.output.splitlines()[-1])["frames_published"]
        peer.spin(2.5)  # for the last report
        frames = values_of(latest[0], "frames")
        assert node.stop() == 0
    # What is used for the first time, buffers and shared memory above all, comes in the beginning.
    warm = memory[len(memory) // 5 :]
    window = max(1, len(warm) // 5)
    before, after = float(np.median(warm[:window])), float(np.median(warm[-window:]))
    received = int(frames["received"])
    count(
        minutes=round(seconds / 60, 2),
        frames_sent=sent,
        frames_received=received,
        frames_lost=sent - received,
        frames_dropped=sum(int(n) for key, n in frames.items() if key.startswith("dropped: ")),
        answers=answers,
        resident_mb_warm=round(before, 2),
        resident_mb_end=round(after, 2),
        growth_percent=round(100 * (after / before - 1), 3),
    )
    assert after < (1 + MOST_GROWTH) * before
    assert sent - received <= MOST_LOST * sent
