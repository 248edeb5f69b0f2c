# SPDX-License-Identifier: Apache-2.0
"""Everything that decides the outcome of a training, besides the architecture and the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from math import cos, isfinite, pi
from typing import Any, Final, get_args

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName

_PRECISIONS: Final = ("auto", "float32", "bfloat16")


class TrainingError(FpgPoseError):
    """A training that cannot start, go on or be saved; the message says what to do."""


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one training.

    Attributes:
        images: Samples seen in all; sample i of the data set is used once, in order.
        batch: Samples a step.
        shards: Equal parts of a batch that batch norm normalises apart; processes share them.
        lr: Peak learning rate.
        weight_decay: AdamW's, on weights of convolutions and linear layers only.
        warmup: Share of the steps over which the rate rises; then it falls as a cosine to zero.
        ema: Decay of the averaged weights, which are the result.
        sigma_px: Standard deviation of the target Gaussian, crop pixels.
        seed: Of the initial weights and of the data.
        device: `cpu` or `cuda`. Of several processes each takes the CUDA device of its own local
            rank.
        precision: Of the forward pass: `float32`, `bfloat16` (mixed), or `auto`: bfloat16 on CUDA
            alone. On CPUs with bfloat16 instructions it trains plain convolutions up to twice as
            fast, and depthwise ones more slowly.
        threads: Of torch's operators in the training process.
        workers: Processes that make samples; 0 makes them in the training process.
        layers: Distinct renders of the object kept on disk, from which samples are composed.
        layer_px: Side of the renders; None: just enough for a pose network's crops. Networks of
            different input sizes share renders of one size.
        renderer: Of the renders that are trained on: embree, or mitsuba or moderngl where they are
            installed. Held-out ones come from embree always: figures of trainings by different
            renderers are then of one thing.
        curriculum: Share of the training over which the data's difficulty rises to its end.
        difficulty: Where it ends, and of held-out samples: 0 = clean to 1 = cluttered.
        mining: Share of a pose network's samples whose renders are drawn by the losses it had on
            them; 0: each render as often as any other. One process only; not part of a search.
        validation: Held-out samples of the last validation.
        validations: Smaller validations on the way, evenly spaced.
        checkpoint_images: Samples between checkpoints.
    """

    images: int = 40_000
    batch: int = 16
    shards: int = 1
    lr: float = 3e-3
    weight_decay: float = 0.02
    warmup: float = 0.06
    ema: float = 0.995
    sigma_px: float = 6.0
    seed: int = 0
    device: str = "cpu"
    precision: str = "auto"
    threads: int = 1
    workers: int = 1
    layers: int = 6000
    layer_px: int | None = None
    renderer: RendererName = DEFAULT_RENDERER
    curriculum: float = 0.3
    difficulty: float = 1.0
    mining: float = 0.0
    validation: int = 512
    validations: int = 6
    checkpoint_images: int = 8000

    def __post_init__(self) -> None:
        """Checks every field."""
        at_least_1 = ("images", "batch", "shards", "threads", "layers", "validation")
        for name in (*at_least_1, "checkpoint_images"):
            _check(int(getattr(self, name)) >= 1, name, getattr(self, name), "at least 1")
        divisor = f"a divisor of batch ({self.batch})"
        _check(self.batch % self.shards == 0, "shards", self.shards, divisor)
        _check(self.layer_px is None or self.layer_px >= 8, "layer_px", self.layer_px, "at least 8")
        known = get_args(RendererName)
        _check(self.renderer in known, "renderer", self.renderer, f"one of {', '.join(known)}")
        for name in ("workers", "seed", "validations"):
            _check(int(getattr(self, name)) >= 0, name, getattr(self, name), "0 or more")
        for name in ("lr", "sigma_px"):
            value = getattr(self, name)
            _check(isfinite(value) and value > 0, name, value, "positive")
        _check(self.weight_decay >= 0, "weight_decay", self.weight_decay, "0 or more")
        for name in ("warmup", "ema"):
            _check(0 <= getattr(self, name) < 1, name, getattr(self, name), "in [0, 1)")
        for name in ("curriculum", "difficulty", "mining"):
            _check(0 <= getattr(self, name) <= 1, name, getattr(self, name), "in [0, 1]")
        precisions = ", ".join(_PRECISIONS)
        _check(self.precision in _PRECISIONS, "precision", self.precision, f"one of {precisions}")
        _check(self.device.split(":")[0] in ("cpu", "cuda"), "device", self.device, "cpu or cuda")

    @property
    def steps(self) -> int:
        """Optimiser steps in all; the last batch may reach past `images`."""
        return -(-self.images // self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of that step: linear warm-up, then half a cosine down to zero."""
        start = max(1, round(self.warmup * self.steps))
        if step < start:
            return self.lr * (step + 1) / start
        return self.lr * 0.5 * (1 + cos(pi * (step - start) / max(1, self.steps - start)))

    def to_json(self) -> dict[str, Any]:
        """A JSON object from which `from_json` makes an equal configuration."""
        return asdict(self)

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> TrainConfig:
        """Inverse of `to_json`.

        Raises:
            TrainingError: A field is unknown or out of range.
        """
        unknown = set(document) - {field.name for field in fields(TrainConfig)}
        if unknown:
            raise TrainingError(f"training config: unknown field {sorted(unknown)[0]!r}")
        return TrainConfig(**document)


def _check(condition: bool, name: str, value: Any, wanted: str) -> None:
    if not condition:
        raise TrainingError(f"training config: {name} must be {wanted}, got {value!r}")
