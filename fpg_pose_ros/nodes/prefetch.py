# SPDX-License-Identifier: Apache-2.0
"""Frames prepared ahead in a process of their own, so that a camera keeps its rate meanwhile.

No ROS here: the child imports this module, and is to start quickly.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Final

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.sources import Frame

OpenFrames = Callable[[], Iterable[Frame]]

# Making frames must not delay the ones that are due.
_NICE: Final = 10
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class _End:
    """Sent after the last frame."""


_Item = Frame | FpgPoseError | _End


class Prefetch:
    """Iterates over frames that a child process makes ahead of their use.

    The child ends with its frames, with `close`, or with its parent: nothing it sends arrives then.

    Args:
        open_frames: opens the source in the child; a function of a module or a `functools.partial`
            of one.
        ahead: how many frames wait at most.
    """

    def __init__(self, open_frames: OpenFrames, ahead: int) -> None:
        """Starts the child."""
        # Not forked: threads of ROS and of numeric libraries do not survive a fork.
        context = multiprocessing.get_context("spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        self._child = context.Process(
            target=_produce, args=(open_frames, sender), daemon=True, name="frames"
        )
        # A signal that ends this process in the middle of this would leave the child half started.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._child.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        # From now on only the child can send, so its end is seen here.
        sender.close()
        self._items: queue.Queue[_Item] = queue.Queue(maxsize=ahead)
        self._reader = threading.Thread(target=self._read, daemon=True, name="prefetch")
        self._reader.start()

    def __iter__(self) -> Iterator[Frame]:
        """Yields the frames in order.

        Raises:
            FpgPoseError: the source could not be opened or read, as it said itself.
        """
        while True:
            item = self._items.get()
            if isinstance(item, _End):
                return
            if isinstance(item, FpgPoseError):
                raise item
            yield item

    @property
    def filled(self) -> bool:
        """Whether as many frames wait as may, or all there are."""
        return self._items.full() or not self._reader.is_alive()

    def close(self) -> None:
        """Ends the child."""
        self._child.kill()  # it has nothing to put in order, and may not listen yet
        self._child.join()

    def _read(self) -> None:
        try:
            while True:
                item: _Item = self._receiver.recv()
                self._items.put(item)
                if not isinstance(item, Frame):
                    return
        except (EOFError, OSError):
            self._child.join()
            code = self._child.exitcode
            self._items.put(FpgPoseError(f"the process that makes the frames ended with {code}"))


def _produce(open_frames: OpenFrames, sender: Connection) -> None:
    # Ctrl-C reaches the whole process group; the parent decides when this ends.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    os.nice(_NICE)
    with suppress(BrokenPipeError):
        try:
            for frame in open_frames():
                sender.send(frame)
            sender.send(_End())
        except FpgPoseError as error:
            # Its own class may not be importable where it arrives.
            sender.send(FpgPoseError(str(error)))
