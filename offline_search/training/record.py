# SPDX-License-Identifier: Apache-2.0
"""What is noted of a training on its way: rows of the journal, small validations, checkpoints."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from offline_search.training.journal import Journal
from offline_search.training.state import TrainState
from offline_search.training.task import Task

_ROW_STEPS = 25
_SMALL_VALIDATION = 192


class Recorder:
    """Called after each step, in the one process that writes files."""

    def __init__(self, task: Task, state: TrainState, journal: Journal, checkpoint: Path) -> None:
        """Starts the clock."""
        self.task, self.state, self.journal, self.checkpoint = task, state, journal, checkpoint
        config = state.config
        self._save_every = max(1, config.checkpoint_images // config.batch)
        self._validate_every = max(1, config.steps // (config.validations + 1))
        self._start = time.monotonic() - state.seconds
        self._row_began, self._row_step = time.monotonic(), state.step

    def __call__(self, figures: Mapping[str, float], stopping: bool) -> None:
        """Takes the figures of the step that was just done, and whether it was the last for now.

        Raises:
            TrainingError: The disk is full.
        """
        state, config = self.state, self.state.config
        state.count(figures)
        state.seconds = time.monotonic() - self._start
        self.journal.advance(config.batch)
        last = state.step == config.steps
        if state.step % _ROW_STEPS == 0 or last:
            self._row()
        if state.step % self._validate_every == 0 and not last and config.validations:
            self._validate()
        if stopping or state.step % self._save_every == 0 or last:
            state.save(self.checkpoint)

    def _row(self) -> None:
        state, config, now = self.state, self.state.config, time.monotonic()
        row = state.means()
        images = (state.step - self._row_step) * config.batch
        row["images_per_s"] = images / (now - self._row_began)
        row["minutes"] = state.seconds / 60.0
        row["lr"] = config.rate(state.step - 1)
        self.journal.row("train", state.step, state.images, row)
        self.journal.show(row)
        self._row_began, self._row_step = now, state.step

    def _validate(self) -> None:
        began = time.monotonic()
        count = min(_SMALL_VALIDATION, self.state.config.validation)
        metrics = self.task.validate(self.state.averaged, count)
        images = self.state.images
        self.journal.row("validation", self.state.step, images, metrics)
        self.journal.say(f"{self.task.title} at {images} images: {summary(metrics)}")
        self._row_began += time.monotonic() - began  # images_per_s is that of training


def summary(metrics: Mapping[str, float]) -> str:
    """Figures as one line."""
    return ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())
