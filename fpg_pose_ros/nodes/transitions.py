# SPDX-License-Identifier: Apache-2.0
"""Transitions of a lifecycle."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

Node = TypeVar("Node", bound=LifecycleNode)


def logged(
    transition: Callable[[Node, LifecycleState], TransitionCallbackReturn],
) -> Callable[[Node, LifecycleState], TransitionCallbackReturn]:
    """Logs what a transition raises: rclpy goes on to `on_error` without a word of it."""

    @wraps(transition)
    def run(node: Node, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception:
            node.get_logger().error(traceback.format_exc())
            raise

    return run
