# SPDX-License-Identifier: Apache-2.0
"""A test that needs ROS cannot be skipped unnoticed where such tests are required."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPS_ITSELF = """
import pytest

@pytest.mark.ros
def test_that_finds_a_reason_to_skip():
    pytest.skip("no camera")
"""
NEEDS_NO_ROS = """
def test_that_passes():
    pass
"""


def _run(folder: Path, source: str, *, require_ros: bool) -> int:
    shutil.copy(Path(__file__).with_name("conftest.py"), folder)
    (folder / "test_sample.py").write_text(source)
    environment = {**os.environ, "FPG_POSE_REQUIRE_ROS": "1" if require_ros else "0"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run([*command, str(folder)], env=environment, capture_output=True, cwd=folder)
    return done.returncode


@pytest.mark.parametrize("source", [SKIPS_ITSELF, NEEDS_NO_ROS], ids=["skipped", "none found"])
def test_requiring_ros_fails_a_run_without_a_ros_test(tmp_path: Path, source: str) -> None:
    assert _run(tmp_path, source, require_ros=False) == 0
    assert _run(tmp_path, source, require_ros=True) != 0
