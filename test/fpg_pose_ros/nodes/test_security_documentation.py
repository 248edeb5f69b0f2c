# SPDX-License-Identifier: Apache-2.0
"""docs/security.md tells the limits that are in force."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from fpg_pose_ros.errors import BundleError
from fpg_pose_ros.estimator import Limits
from fpg_pose_ros.nodes.loading import MAX_BUNDLES, LoadRequest, load
from fpg_pose_ros.nodes.settings import Settings
from fpg_pose_ros.tracking import TrackingSettings

TEXT = (Path(__file__).parents[3] / "docs" / "security.md").read_text()
ROW = re.compile(r"^\| [^|]+ \| ([\d.]+) ?([^|]*) \| `(\w+)` in `([\w/]+)\.py` \|$", re.MULTILINE)
UNITS = {"": 1, "MiB": 2**20, "million": 10**6, "px": 1, "m": 1}


def test_every_limit_has_the_number_of_its_constant() -> None:
    rows = ROW.findall(TEXT)
    assert len(rows) == len(re.findall(r"` in `[\w/]+\.py` \|$", TEXT, re.MULTILINE)) > 10
    for number, unit, constant, module in rows:
        value = getattr(import_module(f"fpg_pose_ros.{module.replace('/', '.')}"), constant)
        assert float(number) * UNITS[unit] == value, constant


def test_no_more_bundles_are_loaded_than_that() -> None:
    settings = Settings(Limits(), TrackingSettings(), True, "", 0.1, 2.0)
    names = ",".join(["nowhere"] * (MAX_BUNDLES + 1))
    with pytest.raises(BundleError, match=f"more than {MAX_BUNDLES} are refused"):
        load(LoadRequest(names, "onnxruntime", "cpu", 1, settings))
