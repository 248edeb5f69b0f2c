# SPDX-License-Identifier: Apache-2.0
"""The course of a search by steps: compute spent, batches in order, journal, checkpoints, an end.

All that decides what a step does is in the checkpoint or follows from the step's number, so a
search that was killed ends with the architecture of one that was not.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from offline_search.interrupt import stop_signals
from offline_search.strategies.problem import Problem, SearchError
from offline_search.training.checkpoint import (
    disk_errors,
    load_checkpoint,
    save_checkpoint,
    write_atomic,
)
from offline_search.training.distributed import World, average_tensors, same_everywhere
from offline_search.training.feed import batches, worker_errors
from offline_search.training.journal import Journal
from offline_search.training.loop import TrainingStopped
from offline_search.training.search_task import ENDLESS

CHECKPOINT_FILE: Final = "checkpoint.safetensors"
GATES_FILE: Final = "gates.json"
FORWARD: Final = 1
TRAINING: Final = 3
"""Compute of a forward and a backward pass, in forward passes."""
_ROW_STEPS: Final = 10
_SNAPSHOTS: Final = 50

State = Callable[[], tuple[dict[str, Tensor], dict[str, Any]]]
Restore = Callable[[Mapping[str, Tensor], Mapping[str, Any]], None]


class Session:
    """See the module.

    Attributes:
        step: Steps done.
        spent: Share of the compute that is spent.
        images: Samples shown to networks, once for each network.
        seconds: Wall time of all runs.
    """

    def __init__(self, problem: Problem, world: World, out: Path) -> None:
        """A search in the folder `out`, which all processes read and the main one writes."""
        self.problem, self.world, self.out = problem, world, out
        self.step = 0
        self.images = 0
        self.seconds = 0.0
        self._compute = 0.0
        self._streams = {"training": 0, "held_out": 0}
        self._loaders: dict[str, tuple[int | None, Iterator[dict[str, Tensor]]]] = {}
        self._figures: dict[str, list[float]] = {}
        self._times: list[dict[str, Any]] = []

    @property
    def spent(self) -> float:
        """See the class."""
        config = self.problem.config
        return self._compute / (TRAINING * self.problem.budget.amount * config.images)

    def spend(self, cost: float, passes: int) -> None:
        """Counts a batch that went through a network of that cost."""
        self.images += self.problem.config.batch
        self._compute += passes * cost * self.problem.config.batch

    def batch(self, stream: str, easiest_of: int | None = None) -> dict[str, Tensor]:
        """The next batch of the stream `training` or `held_out`.

        Args:
            stream: Which.
            easiest_of: See `SearchTask.training`; another number than in the call before makes
                worker processes start anew.
        """
        if stream not in self._loaders or self._loaders[stream][0] != easiest_of:
            task, config = self.problem.task, self.problem.config
            samples = task.training if stream == "training" else task.held_out
            dataset = samples(easiest_of)
            loader = batches(
                dataset,
                start=self._streams[stream],
                stop=ENDLESS // config.batch,
                batch=config.batch,
                workers=config.workers,
                world=self.world,
            )
            self._loaders[stream] = (easiest_of, iter(loader))
        self._streams[stream] += 1
        with worker_errors():
            return next(self._loaders[stream][1])

    def note(self, figures: Mapping[str, float]) -> None:
        """Adds figures to the next row of the journal, which shows their means."""
        for name, value in figures.items():
            self._figures.setdefault(name, []).append(value)

    def steps(
        self,
        until: float,
        state: State,
        restore: Restore,
        snapshot: Callable[[], dict[str, Any]],
    ) -> Iterator[int]:
        """Numbers of the steps to be done, until that share of the compute is spent.

        Args:
            until: At most 1.
            state: Tensors and scalars for a checkpoint.
            restore: Takes them back.
            snapshot: Probabilities for the report.

        Raises:
            TrainingStopped: SIGINT or SIGTERM came; the step was finished and saved.
            TrainingError: The disk is full, or the checkpoint is damaged.
        """
        with disk_errors(self.out):
            self.out.mkdir(parents=True, exist_ok=True)
        self._restore(restore)
        config = self.problem.config
        every = max(1, config.checkpoint_images // config.batch)
        with ExitStack() as stack:
            stop = stack.enter_context(stop_signals())
            journal = stack.enter_context(self._journal()) if self.world.main else None
            begin, before = time.monotonic(), self.seconds
            while self.spent < until:
                shown = self.spent
                yield self.step
                self.step += 1
                self.seconds = before + time.monotonic() - begin
                last = self.spent >= until
                if self.spent * _SNAPSHOTS >= len(self._times) or last:
                    self._times.append({"spent": round(self.spent, 4), **snapshot()})
                if journal is not None:
                    journal.advance(round((self.spent - shown) * config.images))
                    if self.step % _ROW_STEPS == 0 or last:
                        self._row(journal)
                stopping = self._anywhere(bool(stop))
                if self.world.main and (stopping or last or self.step % every == 0):
                    self._save(state)
                if stopping:
                    raise TrainingStopped(
                        f"stopped by a signal after {self.spent:.0%} of the search; run the same "
                        "command again to go on"
                    )

    def _anywhere(self, stop: bool) -> bool:
        """Whether any process is to stop: then all do, at the same step."""
        flag = torch.tensor([float(stop)], device=self.world.device)
        average_tensors([flag], self.world)
        return bool(flag.item())

    def _journal(self) -> Journal:
        images = self.problem.config.images
        return Journal(
            self.out,
            title=f"search {self.problem.task.title}",
            images=images,
            start_step=self.step,
            start_images=round(self.spent * images),
        )

    def _row(self, journal: Journal) -> None:
        row = {name: sum(values) / len(values) for name, values in self._figures.items()}
        self._figures = {}
        row.update(spent=self.spent, minutes=self.seconds / 60.0)
        journal.row("search", self.step, self.images, row)
        journal.show(row)

    def _save(self, state: State) -> None:
        tensors, scalars = state()
        slots = [
            {"stage": slot.stage, "layer": slot.layer, "candidates": list(slot.candidates)}
            for slot in self.problem.space.slots
        ]
        genes = self.problem.space.to_json()["genes"]
        document = {"slots": slots, "genes": genes, "times": self._times}
        write_atomic(self.out / GATES_FILE, (json.dumps(document) + "\n").encode())
        course = {
            "step": self.step,
            "images": self.images,
            "seconds": self.seconds,
            "compute": self._compute,
            "streams": self._streams,
            "figures": self._figures,
            "times": len(self._times),
        }
        save_checkpoint(self.out / CHECKPOINT_FILE, tensors, {"course": course, "state": scalars})

    def _restore(self, restore: Restore) -> None:
        path = self.out / CHECKPOINT_FILE
        found = path.exists()
        if not same_everywhere(int(found), self.world):
            raise SearchError(
                f"some processes find {path} and some do not: it must be one folder that all of "
                "them read"
            )
        if not found:
            return
        tensors, scalars = load_checkpoint(path)
        try:
            course = scalars["course"]
            self.step, self.images = course["step"], course["images"]
            self.seconds, self._compute = course["seconds"], course["compute"]
            self._streams, self._figures = dict(course["streams"]), dict(course["figures"])
            # A kill between the two files leaves more times here than the checkpoint knows of.
            held = json.loads((self.out / GATES_FILE).read_text())["times"]
            self._times = held[: course["times"]]
            restore(tensors, scalars["state"])
        except (KeyError, OSError, ValueError, RuntimeError) as error:
            raise SearchError(
                f"{path} is not a checkpoint of this search ({error}); delete {self.out} to start "
                "again"
            ) from error
