# SPDX-License-Identifier: Apache-2.0
"""The training loop: resumable at any step, the same result however often it was stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.network import Network, build
from offline_search.training.checkpoint import (
    disk_errors,
    load_checkpoint,
    save_checkpoint,
    write_atomic,
)
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.feed import batches, to_input
from offline_search.training.interrupt import stop_signals
from offline_search.training.journal import Journal
from offline_search.training.state import TrainState
from offline_search.training.task import Task

CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "weights.safetensors"
ARCHITECTURE_FILE = "architecture.json"
CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"
_ROW_STEPS = 25
_SMALL_VALIDATION = 192
_MAX_GRADIENT_NORM = 5.0


class TrainingStopped(TrainingError):
    """Stopped by a signal; all work so far is in the checkpoint."""


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    Attributes:
        network: The averaged weights, in evaluation mode.
        metrics: Figures of the last validation.
        extra: Decoding parameters for `NetworkSpec.extra`.
        minutes: Wall time of all runs that led here.
        images: Samples seen.
    """

    network: Network
    metrics: dict[str, float]
    extra: dict[str, Any]
    minutes: float
    images: int


def train(task: Task, architecture: Architecture, config: TrainConfig, out: Path) -> TrainResult:
    """Trains, or goes on training, in the folder `out`.

    `out` then holds config.json, architecture.json, checkpoint.safetensors, metrics.jsonl and
    tensorboard/, and at the end weights.safetensors (averaged weights) and result.json.

    Raises:
        TrainingStopped: SIGINT or SIGTERM came; the step was finished and saved.
        TrainingError: `out` holds another training, the disk is full, or the loss is not finite.
    """
    with disk_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.threads)
    state = TrainState(architecture, config)
    checkpoint = out / CHECKPOINT_FILE
    if checkpoint.exists():
        state.restore(checkpoint)
    _write_json(out / CONFIG_FILE, config.to_json())
    price = cost(architecture)
    _write_json(
        out / ARCHITECTURE_FILE,
        {"architecture": architecture.to_json(), "macs": price.macs, "params": price.params},
    )
    if not (state.step == config.steps and (out / RESULT_FILE).exists()):
        _run(task, state, out)
    return load_result(out, architecture)


def load_result(out: Path, architecture: Architecture | None = None) -> TrainResult:
    """Reads a finished training.

    Args:
        out: its folder.
        architecture: of the network, if known; else it is read from the folder.

    Raises:
        TrainingError: There is none in `out`, or it is damaged.
    """
    if not (out / RESULT_FILE).exists():
        raise TrainingError(f"{out} holds no finished training; run `fpg-pose retrain` to its end")
    document = json.loads((out / RESULT_FILE).read_text())
    tensors, scalars = load_checkpoint(out / WEIGHTS_FILE)
    network = build(architecture or Architecture.from_json(scalars["architecture"]))
    network.load_state_dict(tensors)
    return TrainResult(
        network=network.eval(),
        metrics=document["metrics"],
        extra=document["extra"],
        minutes=document["minutes"],
        images=document["images"],
    )


def _run(task: Task, state: TrainState, out: Path) -> None:
    config = state.config
    with (
        stop_signals() as stop,
        Journal(
            out,
            title=task.title,
            images=config.steps * config.batch,
            start_step=state.step,
            start_images=state.step * config.batch,
        ) as journal,
    ):
        with _advice_on_killed_workers():
            _steps(task, state, out, journal, stop)
        verdict = task.finish(state.averaged, config.validation)
        images = state.step * config.batch
        journal.row("validation", state.step, images, verdict.metrics)
        journal.say(f"{task.title}: {_summary(verdict.metrics)}")
    save_checkpoint(
        out / WEIGHTS_FILE,
        state.averaged.state_dict(),
        {"architecture": state.architecture.to_json(), "images": images},
    )
    _write_json(
        out / RESULT_FILE,
        {
            "metrics": verdict.metrics,
            "extra": verdict.extra,
            "minutes": state.seconds / 60.0,
            "images": images,
        },
    )


def _steps(task: Task, state: TrainState, out: Path, journal: Journal, stop: list[int]) -> None:
    config = state.config
    checkpoint = out / CHECKPOINT_FILE
    save_every = max(1, config.checkpoint_images // config.batch)
    validate_every = max(1, config.steps // (config.validations + 1))
    loader = batches(
        task.dataset(),
        start=state.step,
        stop=config.steps,
        batch=config.batch,
        workers=config.workers,
        pin_memory=state.device.type == "cuda",
    )
    begin = last = time.monotonic()
    before = state.seconds
    for batch in loader:
        state.count(_step(task, state, batch))
        state.step += 1
        state.seconds = before + time.monotonic() - begin
        images = state.step * config.batch
        journal.advance(config.batch)
        if state.step % _ROW_STEPS == 0 or state.step == config.steps:
            row = state.means()
            now = time.monotonic()
            row["images_per_s"] = _ROW_STEPS * config.batch / (now - last)
            row["minutes"] = state.seconds / 60.0
            row["lr"] = config.rate(state.step - 1)
            journal.row("train", state.step, images, row)
            journal.show(row)
            last = now
        if state.step % validate_every == 0 and state.step < config.steps and config.validations:
            metrics = task.validate(state.averaged, min(_SMALL_VALIDATION, config.validation))
            journal.row("validation", state.step, images, metrics)
            journal.say(f"{task.title} at {images} images: {_summary(metrics)}")
            last = time.monotonic()
        if stop or state.step % save_every == 0 or state.step == config.steps:
            state.save(checkpoint)
        if stop:
            raise TrainingStopped(
                f"stopped by signal {stop[0]} after {images} images; "
                "run the same command again to go on"
            )


@contextmanager
def _advice_on_killed_workers() -> Iterator[None]:
    """The loader reports a killed worker by a signal, hence anywhere in the loop."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise TrainingError(
            "a process that makes samples was killed: memory or disk may be full. What was saved "
            "is intact: make room, then run the same command again to go on from there"
        ) from error


def _step(task: Task, state: TrainState, batch: dict[str, Tensor]) -> dict[str, float]:
    for group in state.optimizer.param_groups:
        group["lr"] = state.config.rate(state.step)
    state.network.train()
    inputs = to_input(batch["image"], state.device)
    labels = {
        name: value.to(state.device, non_blocking=True)
        for name, value in batch.items()
        if name != "image"
    }
    with _mixed_precision(state.device):
        outputs = state.network(inputs)
    loss, figures = task.loss(outputs, labels)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss became {value} at step {state.step}; lower lr (now {state.config.lr}), "
            f"and start again in another folder"
        )
    state.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(state.network.parameters(), _MAX_GRADIENT_NORM, foreach=True)
    state.optimizer.step()
    state.average()
    return {"loss": value, **{name: float(figure.detach()) for name, figure in figures.items()}}


def _mixed_precision(device: torch.device) -> AbstractContextManager[Any]:
    # bfloat16 has float32's range, so no loss scaling is needed. Slower than float32 on CPUs.
    if device.type == "cuda":
        return torch.autocast("cuda", dtype=torch.bfloat16)
    return nullcontext()


def _summary(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in metrics.items())


def _write_json(path: Path, document: Any) -> None:
    write_atomic(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
