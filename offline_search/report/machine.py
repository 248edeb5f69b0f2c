# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: figures without it mean little."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

from offline_search.hardware import kernel_entry, processor

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "torch",
    "embreex",
    "ros-jazzy-rclpy",
)
# Files that run the command line.
_PROGRAMS = {"cli.py": ["fpg-pose"], "search.py": ["fpg-pose", "search"]}


def machine() -> dict[str, str]:
    """Processor, memory, system and the versions that matter, by name."""
    facts = {
        "processor": f"{processor()}, {os.cpu_count()} logical cores",
        "memory": _memory(),
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "Python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            facts[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    for name in ("ROS_DISTRO", "RMW_IMPLEMENTATION"):
        if os.environ.get(name):
            facts[name] = os.environ[name]
    return facts


def own_command() -> str:
    """The command line of this process, as one would type it."""
    name = Path(sys.argv[0]).name
    return shlex.join([*_PROGRAMS.get(name, [name]), *sys.argv[1:]])


def _memory() -> str:
    kilobytes = kernel_entry(Path("/proc/meminfo"), "MemTotal").split(" ")[0]
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes.isdigit() else "unknown"
