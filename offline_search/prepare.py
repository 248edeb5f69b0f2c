# SPDX-License-Identifier: Apache-2.0
"""The pipeline's searches and trainings: what each draws from, and running them side by side."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from types import TracebackType
from typing import Protocol, get_args

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.datasets import LocatorDataset, PoseDataset
from offline_search.data.objects import load_object
from offline_search.data.sources import RenderedPoses, Split
from offline_search.processes import ONE_THREAD, die_with_parent, environment
from offline_search.rendering import Store
from offline_search.report.search_page import REPORT_FILE
from offline_search.retrain import Kind, load_architecture, make_task, pose_samples, retrain
from offline_search.retrain_shared import SHARED_FOLDER, retrain_shared
from offline_search.search import ARCHITECTURE_FILE, SearchRequest, layer_stores, problem_of, search
from offline_search.space.architecture import Architecture
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.loop import RESULT_FILE, TrainingStopped


class Work(Protocol):
    """A part of the pipeline that takes minutes and goes on where it was stopped."""

    @property
    def out(self) -> Path:
        """Its folder."""
        ...

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        ...

    def stores(self, cache: Path | None) -> Iterator[Store]:
        """The layers that it draws from."""
        ...

    def run(self, cache: Path | None) -> None:
        """Does what is not done yet."""
        ...


@dataclass(frozen=True, eq=False)
class Search:
    """A pose network to be found.

    Attributes:
        request: what is wanted.
        out: its folder.
        command: the command line to note; this process's where None.
    """

    request: SearchRequest
    out: Path
    command: str | None = None

    @property
    def finished(self) -> bool:
        """See `Work`."""
        return (self.out / REPORT_FILE).exists()

    def stores(self, cache: Path | None) -> Iterator[Store]:
        """See `Work`."""
        yield from layer_stores(problem_of(self.request, cache))

    def run(self, cache: Path | None) -> None:
        """See `Work`."""
        search(self.request, self.out, cache=cache, command=self.command)

    def found(self) -> Architecture:
        """What it found.

        Raises:
            ArchitectureError: it is not finished.
        """
        return load_architecture(self.out / ARCHITECTURE_FILE, 0)


@dataclass(frozen=True, eq=False)
class Training:
    """One network to be trained.

    Attributes:
        kind: pose or locator.
        objects: names or files.
        architecture: of the network, or the search that finds it.
        config: settings; `layer_px` is set where the architecture is not known yet.
        out: its folder.
    """

    kind: Kind
    objects: tuple[str, ...]
    architecture: Architecture | Search
    config: TrainConfig
    out: Path

    @property
    def finished(self) -> bool:
        """See `Work`."""
        return (self.out / RESULT_FILE).exists()

    @property
    def network(self) -> Architecture:
        """Its architecture, once it is found."""
        wanted = self.architecture
        return wanted.found() if isinstance(wanted, Search) else wanted

    def stores(self, cache: Path | None) -> Iterator[Store]:
        """See `Work`: also those of its validation."""
        for samples in self._samples(cache):
            if isinstance(samples, PoseDataset):
                yield from (samples.layers, samples.clutter)
            elif isinstance(samples, LocatorDataset):
                yield from (*samples.layers, samples.clutter)

    def _samples(self, cache: Path | None) -> Iterator[object]:
        things = [load_object(name) for name in self.objects]
        if not isinstance(self.architecture, Search):
            task, _ = make_task(things, self.kind, self.architecture, self.config, cache)
            yield from (getattr(task, name, None) for name in ("samples", "held_out"))
            return
        side = self.config.layer_px
        assert side is not None
        # How large the crops will be is not known yet, and no matter to renders of a given size.
        source, splits = RenderedPoses(things[0], cache), get_args(Split)
        yield from (pose_samples(source, split, self.config, side) for split in splits)

    def run(self, cache: Path | None) -> None:
        """See `Work`."""
        retrain(
            self.objects,
            kind=self.kind,
            architecture=self.network,
            config=self.config,
            out=self.out,
            cache=cache,
        )


@dataclass(frozen=True, eq=False)
class SharedTraining:
    """Pose networks that one training makes, with one backbone.

    Attributes:
        parts: what each object's training would be by itself, with the architecture and settings
            of the first; each network ends in its part's folder, and these lie side by side.
    """

    parts: tuple[Training, ...]

    @property
    def out(self) -> Path:
        """See `Work`."""
        return self.parts[0].out.with_name(SHARED_FOLDER)

    @property
    def finished(self) -> bool:
        """See `Work`."""
        return all(part.finished for part in self.parts)

    def stores(self, cache: Path | None) -> Iterator[Store]:
        """See `Work`: those of all objects."""
        for part in self.parts:
            yield from part.stores(cache)

    def run(self, cache: Path | None) -> None:
        """See `Work`."""
        first = self.parts[0]
        retrain_shared(
            [name for part in self.parts for name in part.objects],
            architecture=first.network,
            config=first.config,
            out=self.out.parent,
            cache=cache,
        )


class SideBySide:
    """Does works in processes of their own, so many at a time; with one job, in this process.

    Use as a context manager: leaving it ends what still runs, which saves where it is.
    """

    def __init__(self, jobs: int, cache: Path | None) -> None:
        """Starts nothing yet; `cache` is the folder of rendered layers."""
        self._jobs, self._cache = jobs, cache
        self._free = list(range(jobs))  # lines of the terminal, one a bar
        self._running: dict[SpawnProcess, tuple[Work, int]] = {}

    def finish(self, wanted: Sequence[Work], meanwhile: Sequence[Work] = ()) -> None:
        """Returns when all of `wanted` are finished.

        Args:
            wanted: in the order in which they start.
            meanwhile: what idle jobs begin with; it may still run when this returns.

        Raises:
            TrainingError: one failed, or was stopped; it goes on when it is run again.
        """
        begun = [work for work, _ in self._running.values()]
        waiting = [work for work in wanted if work not in begun and not work.finished]
        if self._jobs <= 1:
            for work in waiting:
                work.run(self._cache)
            return
        later = [work for work in meanwhile if work not in begun and not work.finished]
        while waiting or any(work in wanted for work, _ in self._running.values()):
            while self._free and (waiting or later):
                self._start((waiting or later).pop(0))
            self._await_one()

    def _start(self, work: Work) -> None:
        line = self._free.pop(0)
        process = multiprocessing.get_context("spawn").Process(
            target=_process, args=(work, self._cache)
        )
        with environment(**ONE_THREAD, TQDM_POSITION=str(line)):
            process.start()
        self._running[process] = work, line

    def _await_one(self) -> None:
        sentinels = {process.sentinel: process for process in self._running}
        ended = multiprocessing.connection.wait(list(sentinels))[0]
        process = sentinels[ended]  # type: ignore[index]
        process.join()
        work, line = self._running.pop(process)
        self._free.append(line)
        if process.exitcode != 0:
            raise TrainingError(
                f"what runs in {work.out} did not finish (exit code {process.exitcode}); "
                "run the same command again to go on"
            )

    def __enter__(self) -> SideBySide:
        """Returns itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops what runs.

        Raises:
            TrainingStopped: interrupted; all is saved.
        """
        for process in self._running:
            process.terminate()  # they finish the step, save and end
        for process in self._running:
            process.join()
        if self._running and isinstance(error, KeyboardInterrupt):
            raise TrainingStopped(
                "stopped; all is saved: run the same command again to go on"
            ) from None


def all_stores(works: Sequence[Work], cache: Path | None) -> list[Store]:
    """All layers that works not yet finished draw from; each once."""
    found = [store for work in works if not work.finished for store in work.stores(cache)]
    return list({store.folder: store for store in found}.values())


def _process(work: Work, cache: Path | None) -> None:
    die_with_parent()
    try:
        work.run(cache)
    except FpgPoseError as error:
        print(f"{work.out.name}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
