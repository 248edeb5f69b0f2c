# SPDX-License-Identifier: Apache-2.0
"""Camera and node are killed, told to leave and started again, at any time and in any order."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

from ros_processes import NodeProcess, Peer, all_end, poses_of
from shared_memory import remove_abandoned

from fpg_pose_ros.nodes.stamps import stamp_ns

ROUNDS, SIGNALS = 15, 12
#: How soon a process must be gone, on a machine with other work (s).
AT_ONCE = 3.0


class Pair:
    """A camera that shows its pictures over and over, and a pose node; each may be started anew."""

    def __init__(self, bundle: Path, pictures: Path, stack: contextlib.ExitStack) -> None:
        self._settings = {
            "pose_node": {"bundle": bundle},
            "camera_node": {"source": pictures, "loop": True, "rate": 30.0},
        }
        self._stack = stack
        self.running: dict[str, NodeProcess] = {}

    def start(self, name: str) -> NodeProcess:
        process = NodeProcess(name, **self._settings[name])
        self.running[name] = self._stack.enter_context(process)
        return process

    def kill(self, name: str) -> list[int]:
        """Kills one as nothing can prepare for; returns the processes that it had started."""
        process = self.running[name]
        children = process.children()
        process.process.kill()
        process.wait()
        return children


def test_kill_and_restart_in_any_order(
    peer: Peer,
    marks_bundle: Path,
    marks_folder: Path,
    count: Callable[..., None],
    trial_seed: int,
) -> None:
    rng = np.random.default_rng(trial_seed)
    arrays = poses_of(peer)
    began = time.time()
    kills, recovery = {"pose_node": 0, "camera_node": 0}, []
    with contextlib.ExitStack() as stack:
        pair = Pair(marks_bundle, marks_folder, stack)
        for name in kills:
            pair.start(name)
        for number in range(ROUNDS + 1):
            since = time.time_ns()
            peer.spin_until(
                lambda since=since: (
                    bool(arrays)
                    and stamp_ns(arrays[-1].header.stamp) > since
                    and len(arrays[-1].poses) == 1
                ),
                30.0,
            )
            recovery.append((time.time_ns() - since) * 1e-9)
            arrays.clear()
            if number == ROUNDS:
                break
            victims = list(rng.permutation(sorted(kills)))[: rng.integers(1, 3)]
            peer.spin(float(rng.uniform(0, 0.5)))
            orphans = [pid for name in victims for pid in pair.kill(name)]
            for name in victims:
                kills[name] += 1
            for name in rng.permutation(victims):
                peer.spin(float(rng.uniform(0, 1.0)))
                pair.start(str(name))
            assert all_end(orphans), "a killed process left its children behind"
        for process in reversed(pair.running.values()):
            assert process.stop() == 0
    time.sleep(5.5)
    count(
        rounds=ROUNDS,
        node_killed=kills["pose_node"],
        camera_killed=kills["camera_node"],
        recovered=len(recovery) - 1,
        slowest_recovery_s=round(max(recovery), 2),
        shared_memory_left=remove_abandoned(began),
    )


def listens(pid: int) -> bool:
    """Whether a process knows of signals by now: SIGTERM is the last that it learns of."""
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(line.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.parametrize("name", ["pose_node", "camera_node"])
def test_signals_at_any_time(
    name: str,
    peer: Peer,
    marks_bundle: Path,
    marks_folder: Path,
    count: Callable[..., None],
    trial_seed: int,
) -> None:
    """From the moment that a process knows of signals: starting, at rest, and at work."""
    rng = np.random.default_rng(trial_seed)
    arrays = poses_of(peer)
    partner = {"pose_node": "camera_node", "camera_node": "pose_node"}[name]
    seconds = []
    with contextlib.ExitStack() as stack:
        pair = Pair(marks_bundle, marks_folder, stack)
        pair.start(partner)
        for index in range(SIGNALS):
            number = (signal.SIGINT, signal.SIGTERM)[index % 2]
            process = pair.start(name)
            arrays.clear()
            if index < SIGNALS // 2:
                peer.spin_until(lambda p=process: listens(p.process.pid))
                peer.spin(float(rng.uniform(0, 1.5)))
            else:
                peer.spin_until(lambda: bool(arrays))
                peer.spin(float(rng.uniform(0, 0.3)))
            children = process.children()
            told = time.monotonic()
            assert process.stop(number) == 0, f"{number.name}:\n{process.output}"
            seconds.append(time.monotonic() - told)
            assert "Traceback" not in process.output, process.output
            assert all_end(children), "children were left behind"
            assert seconds[-1] < AT_ONCE
    count(signals=SIGNALS, exit_code_0=len(seconds), slowest_s=round(max(seconds), 3), orphans=0)
