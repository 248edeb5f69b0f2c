# SPDX-License-Identifier: Apache-2.0
"""Rendering ahead of use, in several processes. Imports no torch: neither do they."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any, Protocol

from tqdm import tqdm

from offline_search.processes import ONE_THREAD, die_with_parent, environment


class Store(Protocol):
    """Renders by their numbers, on disk once they have been asked for.

    Attributes:
        chunk: How many a process makes at a time.
        folder: Where they are.
    """

    chunk: int
    folder: Path

    def __len__(self) -> int:
        """How many there are."""
        ...

    def ready(self) -> int:
        """How many are made."""
        ...

    def __getitem__(self, index: int, /) -> Any:
        """One of them."""
        ...


def render_layers(stores: Sequence[Store], *, jobs: int) -> None:
    """Makes what is missing of some renders; interrupted, it goes on when it is called again."""
    wanted = [store for store in stores if store.ready() < len(store)]
    if not wanted:
        return
    # Not multiprocessing.Pool: it can hang when it is terminated in the midst of work.
    with (
        tqdm(total=sum(map(len, wanted)), desc="render", unit="img") as bar,
        environment(**ONE_THREAD),
    ):
        workers = ProcessPoolExecutor(
            max(jobs, 1), multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        try:
            chunks = [
                workers.submit(_render_chunk, store, start)
                for store in wanted
                for start in range(0, len(store), store.chunk)
            ]
            for chunk in as_completed(chunks):
                bar.update(chunk.result())
        finally:
            workers.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it after its chunk
    die_with_parent()


def _render_chunk(store: Store, start: int) -> int:
    """Makes what is missing of a chunk of renders; returns the chunk's length."""
    chunk = range(start, min(start + store.chunk, len(store)))
    for index in chunk:
        store[index]
    return len(chunk)
