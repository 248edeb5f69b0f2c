# SPDX-License-Identifier: Apache-2.0
"""The training loop: resumable at any step, the same result however often it was stopped."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from offline_search.interrupt import stop_signals
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
from offline_search.training.distributed import (
    World,
    average_gradients,
    barrier,
    joined,
    same_everywhere,
)
from offline_search.training.feed import batches, worker_errors
from offline_search.training.journal import Journal
from offline_search.training.record import Recorder, summary
from offline_search.training.seed_network import SeedNetwork
from offline_search.training.shards import accumulate, split
from offline_search.training.state import TrainState
from offline_search.training.task import Batch, Task

CHECKPOINT_FILE = "checkpoint.safetensors"
WEIGHTS_FILE = "weights.safetensors"
ARCHITECTURE_FILE = "architecture.json"
CONFIG_FILE = "config.json"
RESULT_FILE = "result.json"
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


def train(
    task: Task,
    architecture: Architecture,
    config: TrainConfig,
    out: Path,
    seed_network: SeedNetwork | None = None,
) -> TrainResult:
    """Trains, or goes on training, in the folder `out`; from fresh weights or a seed network's.

    `out` then holds config.json, architecture.json, checkpoint.safetensors, metrics.jsonl and
    tensorboard/, and at the end weights.safetensors (averaged weights) and result.json.
    Of several processes (see `distributed`) all must be able to read `out`; the main one writes it.

    Raises:
        TrainingStopped: SIGINT or SIGTERM came; the step was finished and saved.
        TrainingError: `out` holds another training, the disk is full, the loss is not finite, or
            the processes cannot share the batches or lose each other.
    """
    with joined(config.device) as world:
        world.share(config.shards)
        with disk_errors(out):
            out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(config.threads)
        state = TrainState(architecture, config, world.device, task.mining, seed_network)
        checkpoint = out / CHECKPOINT_FILE
        if checkpoint.exists():
            state.restore(checkpoint)
        finished = state.step == config.steps and (out / RESULT_FILE).exists()
        if not same_everywhere(state.step, world):
            raise TrainingError(
                f"the processes found different checkpoints in {out}: it must be one folder that "
                "all of them read"
            )
        if world.main:
            describe(out, architecture, config)
        if not finished:
            _run(task, state, world, out)
        barrier(world)
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


def save_result(out: Path, result: TrainResult) -> None:
    """Inverse of `load_result`.

    Raises:
        TrainingError: See `disk_errors`.
    """
    network = result.network
    save_checkpoint(
        out / WEIGHTS_FILE,
        network.state_dict(),
        {"architecture": network.architecture.to_json(), "images": result.images},
    )
    _write_json(
        out / RESULT_FILE,
        {
            "metrics": result.metrics,
            "extra": result.extra,
            "minutes": result.minutes,
            "images": result.images,
        },
    )


def describe(out: Path, architecture: Architecture, config: TrainConfig) -> None:
    """Writes what is trained in `out`, and how: architecture.json and config.json.

    Raises:
        TrainingError: See `disk_errors`.
    """
    _write_json(out / CONFIG_FILE, config.to_json())
    price = cost(architecture)
    _write_json(
        out / ARCHITECTURE_FILE,
        {"architecture": architecture.to_json(), "macs": price.macs, "params": price.params},
    )


def _run(task: Task, state: TrainState, world: World, out: Path) -> None:
    with stop_signals() as stop, worker_errors():
        if not world.main:
            _steps(task, state, world, stop, record=lambda figures, stopping: None)
            return
        config = state.config
        with Journal(
            out,
            title=task.title,
            images=config.steps * config.batch,
            start_step=state.step,
            start_images=state.images,
        ) as journal:
            _steps(task, state, world, stop, Recorder(task, state, journal, out / CHECKPOINT_FILE))
            verdict = task.finish(state.averaged, config.validation)
            journal.row("validation", state.step, state.images, verdict.metrics)
            journal.say(f"{task.title}: {summary(verdict.metrics)}")
    metrics, extra, minutes = verdict.metrics, verdict.extra, state.seconds / 60.0
    save_result(out, TrainResult(state.averaged, metrics, extra, minutes, state.images))


def _steps(
    task: Task,
    state: TrainState,
    world: World,
    stop: list[int],
    record: Callable[[dict[str, float], bool], None],
) -> None:
    config = state.config
    state.network.train()
    loader = batches(
        task.dataset(),
        start=state.step,
        stop=config.steps,
        batch=config.batch,
        workers=config.workers,
        world=world,
        mining=task.mining,
    )
    for batch in loader:
        figures, stopping = _step(task, state, world, batch, stop)
        state.step += 1
        if task.mining is not None:
            task.mining.end_step()
        record(figures, stopping)
        if stopping:
            raise TrainingStopped(
                f"stopped by a signal after {state.images} images; "
                "run the same command again to go on"
            )


def _step(
    task: Task, state: TrainState, world: World, batch: Batch, stop: list[int]
) -> tuple[dict[str, float], bool]:
    """Mean figures of all processes' parts of a batch, and whether one of them is told to stop."""
    for group in state.optimizer.param_groups:
        group["lr"] = state.config.rate(state.step)

    def losses(part: Batch) -> tuple[Tensor, Mapping[str, Tensor]]:
        labels = {
            name: value.to(state.device, non_blocking=True)
            for name, value in part.items()
            if name != "image"
        }
        with _mixed_precision(state.device, state.config.precision):
            outputs = task.outputs(state.network, part, state.device)
        return task.loss(outputs, labels)

    state.optimizer.zero_grad(set_to_none=True)
    figures = accumulate(state.network, split(batch, world.share(state.config.shards)), losses)
    # On several processes a signal counts in the step in which all of them learn of it.
    stopping = torch.tensor(float(bool(stop)), device=state.device)
    news = torch.stack([*figures.values(), stopping])
    average_gradients(state.parameters, world, [news, *state.statistics])
    *values, stops = news.tolist()
    means = dict(zip(figures, values, strict=True))
    if not math.isfinite(means["loss"]):
        raise TrainingError(
            f"the loss became {means['loss']} at step {state.step}; lower lr (now "
            f"{state.config.lr}), and start again in another folder"
        )
    torch.nn.utils.clip_grad_norm_(state.parameters, _MAX_GRADIENT_NORM, foreach=True)
    state.optimizer.step()
    state.average()
    return means, stops > 0


def _mixed_precision(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    # bfloat16 has float32's range, so no loss scaling is needed.
    if precision == "bfloat16" or (precision == "auto" and device.type == "cuda"):
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _write_json(path: Path, document: Any) -> None:
    write_atomic(path, (json.dumps(document, indent=1, sort_keys=True) + "\n").encode())
