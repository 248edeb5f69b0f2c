# SPDX-License-Identifier: Apache-2.0
"""Run camera and pose node as processes, the node on a core of its own, and see what comes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from fpg_pose_ros.msg import ObjectPoseArray
from numpy.typing import NDArray
from rclpy.context import Context
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile

from fpg_pose_ros.nodes.stamps import stamp_ns
from offline_search.processes import ProcessGroup, Program
from offline_search.ros_programs import Cores, command_of, ros_environment

RATE = 30.0
_START_S = 60.0
# Discovery and the first frames are not what a figure is about.
_WARM_UP_S = 3.0
_STAGE = re.compile(r"(\w+) (p50|p99) \(ms\)")


@dataclass(frozen=True, eq=False)
class Run:
    """What one run showed.

    Attributes:
        sent: images that the camera published.
        sent_hz: how many a second; where it is not the wanted rate, the machine had too much to do.
        received: images that the node counted.
        answers: messages of poses that came back.
        poses: of each answer, how many objects.
        latency_ms: of each answer, from the camera's stamp to its arrival in this process.
        stages: (p50, p99) of each stage (ms) over the node's last 600 frames; `total` is from the
            image's callback to the last message published.
        cpu_percent: of one core.
        rss_mb: resident memory at the end.
        hz: answers a second between the first and the last.
    """

    sent: int
    sent_hz: float
    received: int
    answers: int
    poses: NDArray[np.int64]
    latency_ms: NDArray[np.float64]
    stages: dict[str, tuple[float, float]]
    cpu_percent: float
    rss_mb: float
    hz: float


class Bench:
    """Processes, cores and a listener for a few runs."""

    def __init__(self, logs: Path) -> None:
        """Binds this process to the cores that are not the node's; runs nothing yet."""
        self.cores = Cores.of_this_machine()
        self._env = ros_environment(logs)
        self._logs = logs
        os.environ.update(self._env)
        if self.cores.others:
            os.sched_setaffinity(0, self.cores.others)

    @contextlib.contextmanager
    def on_the_nodes_core(self) -> Iterator[None]:
        """Lets this thread run where the node runs, meanwhile."""
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, self.cores.node or before)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)

    def run(
        self, bundle: Path, film: Path, reliability: str = "best_effort", **node: object
    ) -> Run:
        """Shows a film to a node, once and to its end.

        Args:
            bundle: of the node.
            film: a folder of pictures.
            reliability: of both nodes' image topics.
            node: further parameters of the node.
        """
        pictures = sum(1 for _ in film.glob("*.png"))
        with self._listener() as listener, ProcessGroup(self._logs, self._env) as processes:
            command = command_of(
                "pose_node",
                {"bundle": str(bundle.resolve()), "image_reliability": reliability, **node},
            )
            program = processes.start("pose_node", command, cpus=self.cores.node)
            processes.wait_for_line(program, "active", timeout=_START_S)
            processes.wait_for("a pose node's topics", listener.connected, timeout=_START_S)
            camera = processes.start(
                "camera_node",
                command_of(
                    "camera_node",
                    {
                        "source": str(film.resolve()),
                        "rate": RATE,
                        "image_reliability": reliability,
                        "wait_for_subscribers": 1,
                        "prepared_frames": 60,
                    },
                ),
                cpus=self.cores.others,
            )
            meter = _Meter(program.process.pid)
            processes.wait_for(
                "all pictures shown",
                lambda: camera.process.poll() is not None,
                timeout=_START_S + 3 * pictures / RATE,
                tick=lambda: meter.read(bool(listener.answers)),
            )
            rss = meter.rss_mb()
            processes.check()
            listener.settle()
        shown = json.loads(_last_line(camera))
        return listener.run(shown, meter.percent(), rss)

    def seconds_to_first_pose(self, bundle: Path, film: Path, repeats: int) -> list[float]:
        """From the start of the node's process to its first pose here; a camera already runs."""
        seconds = []
        with self._listener() as listener, ProcessGroup(self._logs, self._env) as processes:
            parameters = {"source": str(film.resolve()), "loop": True, "rate": RATE}
            processes.start(
                "camera_node", command_of("camera_node", parameters), cpus=self.cores.others
            )
            for repeat in range(repeats + 1):
                listener.clear()
                began = time.monotonic()
                node = command_of("pose_node", {"bundle": str(bundle.resolve())})
                processes.start(f"pose_node_{repeat}", node, cpus=self.cores.node)
                processes.wait_for("a pose", lambda: listener.first > 0, timeout=_START_S)
                seconds.append(listener.first - began)
                processes.stop(f"pose_node_{repeat}")
                time.sleep(1.0)
        return seconds[1:]  # at first the files come from the disk, and the camera starts

    @contextlib.contextmanager
    def _listener(self) -> Iterator[_Listener]:
        context = Context()
        rclpy.init(context=context, domain_id=int(self._env["ROS_DOMAIN_ID"]))
        try:
            yield _Listener(context)
        finally:
            rclpy.try_shutdown(context=context)


class _Listener:
    """Hears what a pose node says, in a thread."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.clear()
        self._node = Node("listener", context=context)
        topic = "/pose_node/poses"
        self._node.create_subscription(
            ObjectPoseArray, topic, self._on_poses, QoSProfile(depth=1000)
        )
        self._node.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 50)
        self.connected = lambda: self._node.count_publishers(topic) > 0
        threading.Thread(target=self._spin, daemon=True).start()

    def clear(self) -> None:
        self.answers: list[tuple[int, int, int]] = []
        self.values: dict[str, str] = {}
        self.first = 0.0

    def settle(self) -> None:
        """Waits until the node has nothing left to do, and has reported that."""
        before, patience = -1, 10
        while len(self.answers) != before and patience:
            before, patience = len(self.answers), patience - 1
            time.sleep(2.5)  # more than two reports

    def run(self, shown: Mapping[str, float], cpu_percent: float, rss_mb: float) -> Run:
        """Returns all that was heard; `shown` is what the camera says of itself."""
        arrived, stamps, poses = np.array(self.answers or [(0, 0, 0)], dtype=np.int64).T
        stages: dict[str, dict[str, float]] = {}
        for key, value in self.values.items():
            match = _STAGE.fullmatch(key)
            if match:
                stages.setdefault(match[1], {})[match[2]] = float(value)
        seconds = (stamps[-1] - stamps[0]) * 1e-9
        return Run(
            sent=int(shown["frames_published"]),
            sent_hz=(shown["frames_published"] - 1) / shown["seconds"],
            received=int(self.values["received"]),
            answers=len(self.answers),
            poses=poses,
            latency_ms=(arrived - stamps) * 1e-6,
            stages={name: (of["p50"], of["p99"]) for name, of in stages.items()},
            cpu_percent=cpu_percent,
            rss_mb=rss_mb,
            hz=float((len(stamps) - 1) / seconds) if seconds else 0.0,
        )

    def _on_poses(self, message: ObjectPoseArray) -> None:
        stamp = stamp_ns(message.header.stamp)
        self.answers.append((time.time_ns(), stamp, len(message.poses)))
        if message.poses and not self.first:
            self.first = time.monotonic()

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {item.key: item.value for item in status.values}
            if "received" in values:
                self.values = values

    def _spin(self) -> None:
        executor = SingleThreadedExecutor(context=self._context)
        executor.add_node(self._node)
        with contextlib.suppress(ExternalShutdownException):
            executor.spin()


class _Meter:
    """Processor time and memory of a process, by the kernel's account."""

    def __init__(self, pid: int) -> None:
        self._place = Path(f"/proc/{pid}")
        self._began = 0.0
        self._readings: list[tuple[float, float]] = []

    def read(self, working: bool) -> None:
        """Takes a reading, once the process has worked for a while."""
        now = time.monotonic()
        if not working:
            self._began = now
        elif now > self._began + _WARM_UP_S:
            fields = (self._place / "stat").read_text().rpartition(")")[2].split()
            ticks = int(fields[11]) + int(fields[12])
            self._readings.append((now, ticks / os.sysconf("SC_CLK_TCK")))

    def percent(self) -> float:
        if len(self._readings) < 2:
            return float("nan")
        (before, used), (now, used_now) = self._readings[0], self._readings[-1]
        return 100.0 * (used_now - used) / (now - before)

    def rss_mb(self) -> float:
        status: Mapping[str, Any] = dict(
            line.split(":", 1) for line in (self._place / "status").read_text().splitlines()
        )
        return int(status["VmRSS"].split()[0]) / 1024


def _last_line(program: Program) -> str:
    return program.log.read_text().splitlines()[-1]
