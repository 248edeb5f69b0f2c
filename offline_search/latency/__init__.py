# SPDX-License-Identifier: Apache-2.0
"""What networks take on this machine in the robot's runtime, measured and foretold."""

from __future__ import annotations

from offline_search.latency.meter import LatencyMeter
from offline_search.latency.table import LatencyError

__all__ = ["LatencyError", "LatencyMeter"]
