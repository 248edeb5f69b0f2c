# SPDX-License-Identifier: Apache-2.0
"""Atomic checkpoints: one safetensors file, scalars as JSON in its own header. No pickle."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from offline_search.training.config import TrainingError

_HEADER = "state"
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a failed write into one clear message.

    Raises:
        TrainingError: The disk is full or the folder cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in _FULL else (error.strerror or str(error))
        raise TrainingError(
            f"cannot write {path}: {reason}. What was saved before is intact: make room, then run "
            "the same command again to go on from there"
        ) from error


def write_atomic(path: Path, content: bytes) -> None:
    """Replaces `path` with `content`, or leaves it as it was: temporary file, fsync, rename.

    Raises:
        TrainingError: See `disk_errors`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with disk_errors(path):
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_json(path: Path, document: Any) -> None:
    """Replaces `path` with a JSON document, or leaves it as it was.

    Raises:
        TrainingError: See `disk_errors`.
    """
    write_atomic(path, (json.dumps(document, indent=1) + "\n").encode())


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], scalars: Mapping[str, Any]) -> None:
    """Writes tensors and JSON-able scalars as one file, atomically.

    Raises:
        TrainingError: See `disk_errors`.
    """
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    write_atomic(path, save(plain, metadata={_HEADER: json.dumps(dict(scalars), sort_keys=True)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Inverse of `save_checkpoint`.

    Raises:
        TrainingError: The file is not a whole checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            scalars = json.loads((file.metadata() or {})[_HEADER])
            return {name: file.get_tensor(name) for name in file.keys()}, scalars  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise TrainingError(
            f"{path} is not a checkpoint of this program ({error}); delete it to start again"
        ) from error


def with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same tensors under `prefix.name`."""
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def without_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those tensors that are under `prefix.`, without it."""
    start = prefix + "."
    return {name[len(start) :]: t for name, t in tensors.items() if name.startswith(start)}


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as `index.key` -> tensor."""
    state = optimizer.state_dict()["state"]
    return {
        f"{index}.{key}": torch.as_tensor(value)
        for index, entry in state.items()
        for key, value in entry.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Inverse of `optimizer_tensors`; parameter groups stay as they were built."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, key = name.split(".", 1)
        like = parameters[int(index)]
        if tensor.shape == like.shape:
            # Moments lie in memory as their parameters do (channels last): the fused
            # optimiser's rounding depends on the order of elements.
            tensor = torch.empty_like(like, dtype=tensor.dtype).copy_(tensor)
        state.setdefault(int(index), {})[key] = tensor
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": state, "param_groups": groups})
