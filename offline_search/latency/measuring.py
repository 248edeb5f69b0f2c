# SPDX-License-Identifier: Apache-2.0
"""Running the samples of parts, and what is learnt from their times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tqdm import tqdm

from offline_search.latency.fit import Fit, fit
from offline_search.latency.graphs import Shape, graph
from offline_search.latency.samples import Links, Sample, samples
from offline_search.latency.stopwatch import milliseconds

#: Channels that a runtime may compute on at once: one, or 128, 256 or 512 bits of float32.
BLOCKS: Final = (1, 4, 8, 16)


def measure_parts(
    parts: Iterable[str], threads: int, block: int | None
) -> tuple[int, dict[str, Fit]]:
    """The channels that are computed on at once, and a fit for each part.

    Args:
        parts: Names.
        threads: Of the runtime.
        block: The channels, if they are known.
    """
    wanted = {part: samples(part) for part in parts}
    every = [sample for group in wanted.values() for sample in group]
    links = list(dict.fromkeys(row for sample in every for _, row in sample.base))
    files: list[tuple[bytes, Shape]] = []
    for item in tqdm([*every, *links], "latency", unit="graph", leave=False):
        shape = 1, item.channels, *item.size
        files.append((graph(item.module, shape), shape))
    times = milliseconds(files, threads)
    whole = dict(zip(every, times, strict=False))
    base = dict(zip(links, times[len(every) :], strict=True))
    learnt = {
        size: {part: _learn(group, whole, base, size) for part, group in wanted.items()}
        for size in (BLOCKS if block is None else (block,))
    }
    best = min(learnt, key=lambda size: sum(missed for _, missed in learnt[size].values()))
    return best, {part: fit for part, (fit, _) in learnt[best].items()}


def _learn(
    group: Sequence[Sample], whole: Mapping[Sample, float], base: Mapping[Links, float], block: int
) -> tuple[Fit, float]:
    totals = [whole[sample] for sample in group]
    own = [
        whole[sample] - sum(share * base[links] for share, links in sample.base) for sample in group
    ]
    return fit([sample.work(block) for sample in group], own, totals)
