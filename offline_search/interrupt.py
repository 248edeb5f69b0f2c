# SPDX-License-Identifier: Apache-2.0
"""Signals that end the process, taken at a moment of its own choice."""

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


@contextmanager
def signals_held() -> Iterator[None]:
    """Keeps SIGINT and SIGTERM until the block is done, then lets them do what they did before.

    For moments at which an exception would be lost or do harm: Python drops one that is raised in
    a callback of `fork`, and a child that nobody has noted yet would be left behind.
    """
    with stop_signals() as received:
        yield
    for number in received[:1]:
        signal.raise_signal(number)
