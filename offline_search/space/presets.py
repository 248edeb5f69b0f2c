# SPDX-License-Identifier: Apache-2.0
"""Fixed, hand-written architectures: what is trained when nothing is searched.

Like EfficientPose (arXiv 2012.07086): stride 16 in all, slim up-sampling to 4. Widths suit one CPU
core: few channels where maps are large. `small_any_roll` commutes with quarter turns (`turns=4`):
it is meant for objects that occur at any roll, which it need not learn one by one. The last three
are EfficientPose's own, made for images of 256x256.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from offline_search.space.architecture import Architecture, ArchitectureError, Head, Stage
from offline_search.space.efficientpose import (
    EFFICIENTPOSE_A,
    EFFICIENTPOSE_B,
    EFFICIENTPOSE_C,
)

Preset = Callable[[int], Architecture]
PRESETS: dict[str, Preset] = {}

POSE_INPUT = (128, 128)
LOCATOR_INPUT = (192, 256)


def preset(name: str, outputs: int) -> Architecture:
    """The architecture `name` with that many outputs (keypoints, or classes of a locator).

    Raises:
        ArchitectureError: There is none of that name.
    """
    if name not in PRESETS:
        raise ArchitectureError(f"unknown preset {name!r}; there are {', '.join(sorted(PRESETS))}")
    return PRESETS[name](outputs)


def _register(function: Preset) -> Preset:
    PRESETS[function.__name__.strip("_")] = function
    return function


def _stage(width: int, stride: int, *names: str) -> Stage:
    return Stage(width, stride, tuple((name,) for name in names))


@_register
def _demo(outputs: int) -> Architecture:
    # Small crops: what an image costs in training matters more here than the last pixel.
    stages = (
        _stage(24, 2, "mb_k3_e3"),
        _stage(40, 2, "mb_k5_e3", "mb_k3_e3"),
        _stage(80, 2, "mb_k5_e3", "mb_k5_e3", "mb_k5_e3"),
    )
    return Architecture((96, 96), 16, 12, stages, Head("heatmap", (32, 24), outputs, mask=True))


@_register
def _small(outputs: int) -> Architecture:
    stages = (
        _stage(24, 2, "mb_k3_e3", "sep_k3"),
        _stage(48, 2, "mb_k5_e3", "mb_k3_e3"),
        _stage(96, 2, "mb_k5_e3", "mb_k5_e3", "mb_k5_e3", "mb_k5_e3"),
    )
    return Architecture(POSE_INPUT, 16, 12, stages, Head("heatmap", (48, 32), outputs, mask=True))


@_register
def _small_any_roll(outputs: int) -> Architecture:
    stages = (
        _stage(32, 2, "sep_k3", "sep_k3"),
        _stage(64, 2, "sep_k3", "sep_k3", "sep_k3"),
        _stage(176, 2, "sep_k5", "mb_k5_e3", "sep_k5", "sep_k5"),
    )
    head = Head("heatmap", (32, 32), outputs, mask=True)
    return Architecture(POSE_INPUT, 16, 16, stages, head, turns=4)


@_register
def _locator(outputs: int) -> Architecture:
    stages = (
        _stage(16, 2, "sep_k3", "sep_k3"),
        _stage(32, 2, "sep_k5", "sep_k5"),
        _stage(48, 2, "sep_k5", "mb_k5_e3"),
    )
    return Architecture(LOCATOR_INPUT, 8, 8, stages, Head("locator", (24, 32), outputs))


@_register
def _locator_dense(outputs: int) -> Architecture:
    # For scenes of many small objects: plain convolutions, whose MACs are the quickest to train.
    stages = (
        _stage(32, 2, "conv_k3"),
        _stage(64, 2, "conv_k3", "conv_k3"),
        _stage(128, 2, "conv_k3", "conv_k3", "conv_k3"),
    )
    return Architecture((240, 320), 16, 16, stages, Head("locator", (64, 64), outputs))


def _fixed(architecture: Architecture) -> Preset:
    return lambda outputs: replace(architecture, head=replace(architecture.head, outputs=outputs))


PRESETS["efficientpose_a"] = _fixed(EFFICIENTPOSE_A)
PRESETS["efficientpose_b"] = _fixed(EFFICIENTPOSE_B)
PRESETS["efficientpose_c"] = _fixed(EFFICIENTPOSE_C)
