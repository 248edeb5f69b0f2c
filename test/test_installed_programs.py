# SPDX-License-Identifier: Apache-2.0
"""What `ros2 run` finds of this package is there and starts."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.ros

SCRIPTS = Path(__file__).parents[1] / "scripts"


def programs() -> Path:
    """The folder that `ros2 run fpg_pose_ros` looks into."""
    from ament_index_python.packages import get_package_prefix

    return Path(get_package_prefix("fpg_pose_ros")) / "lib" / "fpg_pose_ros"


def test_every_script_is_installed() -> None:
    scripts = {path.name for path in SCRIPTS.iterdir() if path.is_file()}
    assert scripts <= {path.name for path in programs().iterdir()}


def test_the_installed_search_explains_itself() -> None:
    done = subprocess.run(
        [programs() / "search.py", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--budget" in done.stdout
    assert "--strategy" in done.stdout
