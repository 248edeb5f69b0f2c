# SPDX-License-Identifier: Apache-2.0
"""Rendering layers ahead of their use, in several processes. Imports no torch: neither do they."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import Final

from tqdm import tqdm

from offline_search.data.layers import LayerStore
from offline_search.processes import ONE_THREAD, die_with_parent, environment

_CHUNK: Final = 32


def render_layers(stores: Sequence[LayerStore], *, jobs: int) -> None:
    """Renders what is missing of some layers; interrupted, it goes on when it is called again."""
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
                for start in range(0, len(store), _CHUNK)
            ]
            for chunk in as_completed(chunks):
                bar.update(chunk.result())
        finally:
            workers.shutdown(cancel_futures=True)


def _start_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it after its chunk
    die_with_parent()


def _render_chunk(store: LayerStore, start: int) -> int:
    """Renders what is missing of a chunk of layers; returns the chunk's length."""
    chunk = range(start, min(start + _CHUNK, len(store)))
    for index in chunk:
        store[index]
    return len(chunk)
