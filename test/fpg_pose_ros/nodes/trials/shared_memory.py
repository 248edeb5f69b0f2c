# SPDX-License-Identifier: Apache-2.0
"""What processes that were killed leave behind in shared memory."""

from __future__ import annotations

import time
from pathlib import Path

_PLACE = Path("/dev/shm")


def remove_abandoned(since: float) -> int:
    """Removes the segments of Fast DDS that came after a time and that no process uses any more.

    Returns:
        How many there were.
    """
    maps = [_read(path) for path in Path("/proc").glob("[0-9]*/maps")]
    removed = 0
    for segment in _PLACE.glob("*fastrtps_*"):
        try:
            born = segment.stat().st_ctime
            if since < born < time.time() - 5 and not any(segment.name in m for m in maps):
                segment.unlink()
                removed += 1
        except FileNotFoundError:
            continue
    return removed


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
