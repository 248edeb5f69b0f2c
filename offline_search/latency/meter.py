# SPDX-License-Identifier: Apache-2.0
"""Milliseconds as a budget: what a network takes on this machine in the robot's runtime.

ONNX Runtime, one image, one thread by default. The parts of networks are measured once for a
machine and runtime; then prices are looked up. See `samples` for what is run and `work` for how
times are carried over to other widths and sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from offline_search.latency.fit import Fit
from offline_search.latency.graphs import network_graph
from offline_search.latency.measuring import measure_parts
from offline_search.latency.parts import (
    STEM,
    does_nothing,
    head_part,
    head_work,
    operator_part,
    operator_parts,
    operator_work,
    stem_work,
)
from offline_search.latency.samples import HEAD_KINDS
from offline_search.latency.stopwatch import milliseconds
from offline_search.latency.table import LatencyError, Table, TableFile
from offline_search.latency.work import Work
from offline_search.space.architecture import STEM_STRIDE, Architecture
from offline_search.space.cost import cost
from offline_search.space.macs import Size, halve
from offline_search.space.network import places
from offline_search.space.search_space import SearchSpace


class LatencyMeter:
    """Prices in ms; a `space.meter.Meter`.

    What was never measured is measured when it is asked for, and kept.

    Attributes:
        unit: ms.
        scale: What all prices are multiplied by, see `calibrate`.
        threads: Of the runtime.
    """

    unit = "ms"

    def __init__(self, folder: Path | None = None, *, threads: int = 1) -> None:
        """Reads what was measured before.

        Args:
            folder: Of caches, `data.slots.cache_folder()` by default.
            threads: Of the runtime.
        """
        self.scale = 1.0
        self.threads = threads
        self._file = TableFile(folder, threads)
        self._table = self._file.read()

    @property
    def machine(self) -> dict[str, Any]:
        """What times depend on: processor, runtime, its version and threads."""
        return self._file.machine

    @property
    def parts(self) -> Mapping[str, Fit]:
        """What is known of parts, by name."""
        return self._table.parts

    def prepare(self, space: SearchSpace) -> None:
        """Measures all parts of a space's networks in one go: better than one by one.

        Raises:
            LatencyError: The cache cannot be written.
        """
        heads = {head_part(head) for head in space.necked_heads}
        self._need([STEM, *sorted(heads), *operator_parts(space.operators)])

    def stem(self, architecture: Architecture) -> float:
        """See `Meter`; the call of the runtime is part of it."""
        _check(architecture)
        return self._ms(STEM, lambda block: stem_work(architecture, block))

    def operator(self, name: str, inputs: int, outputs: int, stride: int, size: Size) -> float:
        """See `Meter`."""
        if does_nothing(name):
            return 0.0
        return self._ms(
            operator_part(name, stride),
            lambda block: operator_work(name, inputs, outputs, stride, size, block),
        )

    def head(self, architecture: Architecture) -> float:
        """See `Meter`."""
        _check(architecture)
        part = head_part(architecture.head)
        return self._ms(part, lambda block: head_work(architecture, block))

    def total(self, architecture: Architecture) -> float:
        """See `Meter`.

        Raises:
            ArchitectureError: The network cannot be built.
        """
        cost(architecture)  # refuses illegal operators with a clear message
        total = self.stem(architecture) + self.head(architecture)
        size = halve(architecture.input_size, STEM_STRIDE)
        for place in places(architecture):
            for name in place.names:
                total += self.operator(name, place.inputs, place.outputs, place.stride, size)
            size = halve(size, place.stride)
        return total

    def measure(self, architecture: Architecture) -> float:
        """Time of the whole network, ms: measured once, then remembered.

        Raises:
            ArchitectureError: The network cannot be built.
            LatencyError: The cache cannot be written.
        """
        digest = architecture.digest
        if digest not in self._table.networks:
            with self._file.locked():
                self._table = self._file.read()
                if digest not in self._table.networks:
                    file = network_graph(architecture), (1, 3, *architecture.input_size)
                    (time,) = milliseconds([file], self.threads)
                    networks = {**self._table.networks, digest: time}
                    self._keep(replace(self._table, networks=networks))
        return self._table.networks[digest]

    def calibrate(self, architecture: Architecture) -> float:
        """Scales all prices so that `total` of this network is its measured time.

        Returns:
            The scale. The same network gives the same again: its time is remembered.
        """
        self.scale = 1.0
        self.scale = self.measure(architecture) / self.total(architecture)
        return self.scale

    def _ms(self, part: str, work: Callable[[int], Work]) -> float:
        self._need([part])
        assert self._table.block is not None
        return self.scale * self._table.parts[part].ms(work(self._table.block))

    def _need(self, parts: Iterable[str]) -> None:
        wanted = list(parts)
        if all(part in self._table.parts for part in wanted):
            return
        with self._file.locked():
            self._table = self._file.read()
            missing = [part for part in wanted if part not in self._table.parts]
            if missing:
                block, fits = measure_parts(missing, self.threads, self._table.block)
                found = {**self._table.parts, **fits}
                self._keep(replace(self._table, block=block, parts=found))

    def _keep(self, table: Table) -> None:
        self._file.write(table)
        self._table = table


def _check(architecture: Architecture) -> None:
    kind, turns = architecture.head.kind, architecture.turns
    if kind not in HEAD_KINDS or turns != 1:
        raise LatencyError(
            f"there is no latency table for a network with a {kind} head and {turns} turns: "
            "measure it as a whole"
        )
