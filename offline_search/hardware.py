# SPDX-License-Identifier: Apache-2.0
"""What the kernel says of the machine."""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Model name."""
    return kernel_entry(Path("/proc/cpuinfo"), "model name") or platform.processor() or "unknown"


def kernel_entry(path: Path, key: str) -> str:
    """The value of `key : value` in a text file of the kernel's; empty where there is none."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return ""
    values = (line.partition(":")[2].strip() for line in lines if line.startswith(key))
    return next(values, "")
