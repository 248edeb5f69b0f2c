# SPDX-License-Identifier: Apache-2.0
"""What a figure was measured on: figures without it mean little."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from importlib import metadata
from pathlib import Path

_PACKAGES = (
    "numpy",
    "opencv-python-headless",
    "onnxruntime",
    "torch",
    "embreex",
    "ros-jazzy-rclpy",
)


def machine() -> dict[str, str]:
    """Processor, memory, system and the versions that matter, by name."""
    facts = {
        "processor": f"{_processor()}, {os.cpu_count()} logical cores",
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
    return shlex.join(["fpg-pose" if name == "cli.py" else name, *sys.argv[1:]])


def _processor() -> str:
    return _entry(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown"


def _memory() -> str:
    kilobytes = _entry(Path("/proc/meminfo"), "MemTotal").split(" ")[0]
    return f"{int(kilobytes) / 2**20:.0f} GiB" if kilobytes.isdigit() else "unknown"


def _entry(path: Path, key: str) -> str:
    """The value of `key : value` in a text file of the kernel's; empty where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(values, "")
