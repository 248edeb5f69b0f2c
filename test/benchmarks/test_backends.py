# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from benchmarks.backends import LARGE, ROOT, WAYS, measure
from fpg_pose_ros.bundle import read_bundle
from offline_search.space import cost

pytestmark = pytest.mark.openvino


def test_a_network_is_timed_in_every_way() -> None:
    pytest.importorskip("openvino", reason="openvino is not installed")
    spot = read_bundle(ROOT / "models" / "spot")
    rows = measure({"locator": (spot, spot.locator)}, rounds=1)
    assert [(row["backend"], row["precision"]) for row in rows] == list(WAYS)
    assert all(row["ms"] > 0 and row["network"] == "locator" for row in rows)


def test_the_larger_network_is_several_times_as_large() -> None:
    assert 250e6 < cost(LARGE).macs < 350e6
