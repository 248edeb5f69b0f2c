# SPDX-License-Identifier: Apache-2.0
"""Ending a training from outside, at a moment of its own choice."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that receives the numbers of SIGINT and SIGTERM instead of the process ending."""
    received: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        received.append(number)

    try:
        before = {s: signal.signal(s, note) for s in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: the caller handles signals
        yield received
        return
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
