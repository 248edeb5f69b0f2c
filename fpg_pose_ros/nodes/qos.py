# SPDX-License-Identifier: Apache-2.0
"""Quality-of-service profiles of the nodes' topics."""

from __future__ import annotations

from typing import Final

from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

# A TransformBroadcaster's.
TF: Final = QoSProfile(depth=100)

RESULTS: Final = QoSProfile(depth=10)

# A message for each instance in a frame.
MARKERS: Final = QoSProfile(depth=50)

# Large and wanted fresh: a picture that could not be delivered in time is replaced by the next.
PICTURE: Final = QoSProfile(depth=1)


def latched(depth: int) -> QoSProfile:
    """Returns the profile of a topic whose last messages everyone gets who comes later."""
    return QoSProfile(
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )


def images(reliability: str, depth: int) -> QoSProfile:
    """Returns the profile of a camera's topics: "best_effort", as sensors are, or "reliable"."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy[reliability.upper()],
        durability=DurabilityPolicy.VOLATILE,
    )
