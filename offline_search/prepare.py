# SPDX-License-Identifier: Apache-2.0
"""The pipeline's trainings: what each draws from, and running them side by side."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.datasets import LocatorDataset, PoseDataset
from offline_search.data.layers import LayerStore
from offline_search.data.objects import load_object
from offline_search.processes import ONE_THREAD, die_with_parent, environment
from offline_search.retrain import Kind, make_task, retrain
from offline_search.space.architecture import Architecture
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.loop import RESULT_FILE, TrainingStopped


@dataclass(frozen=True, eq=False)
class Training:
    """One network to be trained.

    Attributes:
        kind: pose or locator.
        objects: names or files.
        architecture: of the network.
        config: settings.
        out: its folder.
    """

    kind: Kind
    objects: tuple[str, ...]
    architecture: Architecture
    config: TrainConfig
    out: Path

    @property
    def finished(self) -> bool:
        """Whether its result is there."""
        return (self.out / RESULT_FILE).exists()


def run_trainings(trainings: Sequence[Training], *, jobs: int, cache: Path | None) -> None:
    """Trains what is not trained yet: one after another, or up to `jobs` at a time.

    Raises:
        TrainingStopped: interrupted; all trainings have saved where they are.
        TrainingError: one failed; the others have saved where they are.
    """
    waiting = [training for training in trainings if not training.finished]
    if jobs <= 1 or len(waiting) <= 1:
        for training in waiting:
            _train(training, cache)
        return
    context = multiprocessing.get_context("spawn")
    running: dict[SpawnProcess, Training] = {}
    free = list(range(jobs))  # lines of the terminal, one a bar
    lines: dict[SpawnProcess, int] = {}
    try:
        while waiting or running:
            while waiting and free:
                training, line = waiting.pop(0), free.pop(0)
                process = context.Process(target=_training_process, args=(training, cache))
                with environment(**ONE_THREAD, TQDM_POSITION=str(line)):
                    process.start()
                running[process], lines[process] = training, line
            process = _first_ended(running)
            training = running.pop(process)
            free.append(lines.pop(process))
            if process.exitcode != 0:
                raise TrainingError(
                    f"training in {training.out} did not finish (exit code {process.exitcode}); "
                    "run the same command again to go on"
                )
    except BaseException as error:
        for process in running:
            process.terminate()  # they finish the step, save and end
        for process in running:
            process.join()
        if isinstance(error, KeyboardInterrupt):
            raise TrainingStopped(
                "stopped; all trainings are saved: run the same command again to go on"
            ) from None
        raise


def _first_ended(running: dict[SpawnProcess, Training]) -> SpawnProcess:
    sentinels = {process.sentinel: process for process in running}
    ended = sentinels[multiprocessing.connection.wait(list(sentinels))[0]]  # type: ignore[index]
    ended.join()
    return ended


def stores_of(trainings: Sequence[Training], cache: Path | None) -> list[LayerStore]:
    """All layers that trainings not yet finished, and their validations, draw from; each once."""
    found = [store for t in trainings if not t.finished for store in _stores(t, cache)]
    return list({store.folder: store for store in found}.values())


def _stores(training: Training, cache: Path | None) -> Iterator[LayerStore]:
    things = [load_object(name) for name in training.objects]
    task, _ = make_task(things, training.kind, training.architecture, training.config, cache)
    for samples in (getattr(task, "samples", None), getattr(task, "held_out", None)):
        if isinstance(samples, PoseDataset):
            yield samples.layers
            yield samples.clutter
        elif isinstance(samples, LocatorDataset):
            yield from samples.layers
            yield samples.clutter


def _train(training: Training, cache: Path | None) -> None:
    retrain(
        training.objects,
        kind=training.kind,
        architecture=training.architecture,
        config=training.config,
        out=training.out,
        cache=cache,
    )


def _training_process(training: Training, cache: Path | None) -> None:
    die_with_parent()
    try:
        _train(training, cache)
    except FpgPoseError as error:
        print(f"{training.out.name}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None
