# SPDX-License-Identifier: Apache-2.0
"""How a node lives as a process: it starts, spins, and leaves at once when told to.

SIGINT and SIGTERM both end it with exit code 0. Nothing but the standard library is imported before
`leave_on_signals` is in place: importing ROS takes a second, and a signal in that second must not
end in a traceback either.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from rclpy.node import Node

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
# Set for good when a signal has come: the exception it raises may be lost, for example in the
# initialisation of an extension module.
_told_to_leave = threading.Event()


def leave_on_signals() -> None:
    """Lets SIGINT and SIGTERM end this process with exit code 0, from wherever it is.

    Until `run` has imported ROS there is nothing to tidy up, and an exception would come out of an
    extension module's initialisation as an ImportError: the process ends on the spot.
    """
    _on_signals(lambda _number, _frame: os._exit(0))


def _on_signals(handler: Callable[[int, FrameType | None], object]) -> None:
    for number in _SIGNALS:
        signal.signal(number, handler)


def _leave(_number: int, _frame: FrameType | None) -> None:
    _told_to_leave.set()
    raise SystemExit(0)


def run(make_node: Callable[[], Node]) -> int:
    """Spins one node until a signal comes, or until a future it has as `finished` is done.

    Args:
        make_node: builds the node; ROS is initialised when it is called.

    Returns:
        The exit code: 0; the future's result where there is one; 2 for an error that is the input's
            fault, after printing it as one line.
    """
    from fpg_pose_ros.errors import FpgPoseError

    try:
        return _run(make_node)
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Exception:
        if _told_to_leave.is_set():
            return 0
        raise


def _run(make_node: Callable[[], Node]) -> int:
    import gc

    import rclpy
    from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
    from rclpy.signals import SignalHandlerOptions, install_signal_handlers

    node: Node | None = None
    _on_signals(_leave)
    try:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        node = make_node()
        if _told_to_leave.is_set():
            return 0
        # What lives now lives on: collecting garbage in the middle of a frame need not look at it.
        gc.collect()
        gc.freeze()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        # These also wake an executor that waits; they call the ones above. Earlier they would
        # take ROS away from under a node that is being built.
        install_signal_handlers()
        finished = getattr(node, "finished", None)
        if finished is None:
            executor.spin()
            return 0
        executor.spin_until_future_complete(finished)
        return int(finished.result()) if finished.done() else 0
    except (KeyboardInterrupt, ExternalShutdownException):
        return 0
    finally:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        try:
            if node is not None:
                node.destroy_node()
        finally:
            rclpy.try_shutdown()
