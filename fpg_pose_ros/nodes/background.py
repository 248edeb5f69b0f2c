# SPDX-License-Identifier: Apache-2.0
"""Slow work beside a node's callbacks, whose results come back between two of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import Any

from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.task import Future


class Background:
    """Runs functions in threads of their own.

    Args:
        node: whose executor the results wake. A callback that awaits one must be in a callback
            group of its own, or the others of its group would wait with it.
    """

    def __init__(self, node: Node) -> None:
        """Begins with nothing to do."""
        self._done: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._guard = node.create_guard_condition(self._deliver)
        self._threads: list[threading.Thread] = []

    def run(self, work: Callable[[], Any]) -> Future:
        """Starts a function; the future takes its result or exception in the executor's thread."""
        future = Future()
        thread = threading.Thread(target=self._work, args=(work, future), daemon=True)
        self._threads = [known for known in self._threads if known.is_alive()] + [thread]
        thread.start()
        return future

    def wait(self, timeout: float) -> None:
        """Waits until nothing runs any more, or for so long (s)."""
        for thread in self._threads:
            thread.join(timeout)

    def _work(self, work: Callable[[], Any], future: Future) -> None:
        try:
            self._done.put(partial(future.set_result, work()))
        except Exception as error:
            self._done.put(partial(future.set_exception, error))
        # A node that is gone by now wants no result.
        with suppress(InvalidHandle):
            self._guard.trigger()

    def _deliver(self) -> None:
        while not self._done.empty():
            self._done.get()()
