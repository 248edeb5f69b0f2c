# SPDX-License-Identifier: Apache-2.0
"""ROS packages that are needed only where something is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fpg_pose_ros.errors import FpgPoseError


def import_optional(
    module: str, error: type[FpgPoseError], *, parameter: str, package: str, without: str
) -> Any:
    """Imports a module that a parameter asks for.

    Args:
        module: its name.
        error: raised where it cannot be imported.
        parameter: that asks for it.
        package: the ROS package that brings it.
        without: what to do to go without it.
    """
    try:
        return import_module(module)
    except ImportError as reason:
        raise error(
            f"{parameter} needs the ROS package {package}, which cannot be imported ({reason}): "
            f"install it, or {without}"
        ) from None
