# SPDX-License-Identifier: Apache-2.0
"""Where the package's own data files lie, in a source tree and where it is installed."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def share_folders(kind: str) -> tuple[Path, ...]:
    """Returns where the files of one of the package's folders may lie, the source tree's first.

    Args:
        kind: name of the folder at the package's root, as `objects` or `msg`.
    """
    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    return (
        Path(__file__).resolve().parents[1] / kind,
        *(Path(prefix) / "share" / "fpg_pose_ros" / kind for prefix in prefixes if prefix),
    )
