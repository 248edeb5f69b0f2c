# SPDX-License-Identifier: Apache-2.0
"""What the parts of an architecture check their fields with."""

from __future__ import annotations

from typing import Any

from fpg_pose_ros.errors import FpgPoseError


class ArchitectureError(FpgPoseError):
    """The architecture cannot be built; the message names the part."""


def require(condition: bool, message: str) -> None:
    """Refuses an architecture unless the condition holds.

    Raises:
        ArchitectureError: It does not; the message says what is wrong.
    """
    if not condition:
        raise ArchitectureError(f"architecture: {message}")


def positive(value: Any, name: str) -> None:
    """Refuses all but whole numbers above zero.

    Raises:
        ArchitectureError: It is none; the message names it.
    """
    require(
        isinstance(value, int) and not isinstance(value, bool) and value > 0,
        f"{name} must be a positive integer, got {value!r}",
    )
