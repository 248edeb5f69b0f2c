# SPDX-License-Identifier: Apache-2.0
"""How the package's ROS executables are started from outside ROS: commands, environment, cores."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fpg_pose_ros.errors import FpgPoseError

PACKAGE: Final = "fpg_pose_ros"
_ROOT: Final = Path(__file__).resolve().parents[1]
# Distributions that do not know ROS_AUTOMATIC_DISCOVERY_RANGE yet.
_OLD: Final = ("humble", "iron")


class RosMissingError(FpgPoseError):
    """There is no ROS 2 in this environment, or the package is not built in it."""


@dataclass(frozen=True)
class Cores:
    """Which processor cores the pose node has to itself, and which serve everything else.

    Attributes:
        node: of the pose node.
        others: of camera, renderer and recorder; the same where there is only one core.
    """

    node: frozenset[int]
    others: frozenset[int]

    @staticmethod
    def of_this_machine() -> Cores:
        """The last core for the node, the others for the rest."""
        if not hasattr(os, "sched_getaffinity"):
            return Cores(frozenset(), frozenset())
        cores = sorted(os.sched_getaffinity(0))
        node = frozenset(cores[-1:])
        return Cores(node, frozenset(cores[:-1]) or node)

    def describe(self) -> str:
        """In words, for a report."""
        if not self.node:
            return "one thread; this system does not bind processes to cores"
        shared = ", shared with everything else" if self.node == self.others else " of its own"
        return f"bound to one core (number {min(self.node)}){shared}, one thread"


def ros_environment(logs: Path) -> dict[str, str]:
    """This process's environment, made private: own domain, this machine only, one thread each.

    Raises:
        RosMissingError: no ROS 2 is sourced.
    """
    if not os.environ.get("AMENT_PREFIX_PATH"):
        raise RosMissingError(
            "no ROS 2 is sourced: in a clone run `make demo`, or source ROS 2 and this package's "
            "install/setup.bash first"
        )
    domain = 1 + os.getpid() % 100
    env = {
        **os.environ,
        "ROS_DOMAIN_ID": str(domain),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        "ROS_LOG_DIR": str(logs.resolve()),
        "PYTHONUNBUFFERED": "1",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if os.environ.get("ROS_DISTRO") in _OLD:
        env["ROS_LOCALHOST_ONLY"] = "1"
    profile = _found(Path("config") / "fastdds.xml", Path("share") / PACKAGE)
    if profile is not None:
        for name in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE"):
            env.setdefault(name, str(profile))
    return env


def command_of(executable: str, parameters: Mapping[str, object]) -> list[str]:
    """The command that runs one of the package's executables with some parameters.

    Raises:
        RosMissingError: it is not there.
    """
    program = _found(Path("scripts") / executable, Path("lib") / PACKAGE, executable)
    if program is None:
        raise RosMissingError(f"{executable} of {PACKAGE} is not installed; run `make build`")
    arguments = [("-p", f"{name}:={_written(value)}") for name, value in parameters.items()]
    return [sys.executable, str(program), "--ros-args", *(x for pair in arguments for x in pair)]


def pose_node_command(bundle: Path) -> list[str]:
    """The command that runs the pose node on the topics `image` and `camera_info`.

    Where `ros2` is on the path this is the launch file that robots use; elsewhere the executable.
    """
    ros2 = shutil.which("ros2")
    if ros2 is None:
        return command_of("pose_node", {"bundle": str(bundle)})
    topics = ["image:=image", "camera_info:=camera_info"]
    return [ros2, "launch", PACKAGE, "pose.launch.py", f"bundle:={bundle}", *topics]


def _written(value: object) -> str:
    """A parameter's value for the command line; texts in quotes, so that `7` stays a text."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _found(in_source: Path, in_prefix: Path, name: str | None = None) -> Path | None:
    """A file of the source tree, or of the first prefix that has it."""
    if (_ROOT / in_source).is_file():
        return _ROOT / in_source
    tail = in_prefix / (name or in_source)
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    places = [Path(prefix) / tail for prefix in prefixes if prefix]
    return next((place for place in places if place.is_file()), None)
