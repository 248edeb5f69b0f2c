# SPDX-License-Identifier: Apache-2.0
"""The parts whose times add up to a network's: stem, operators, head."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import Final

import torch
from torch import nn

from offline_search.latency.work import Work, module_work
from offline_search.space.architecture import NO_NECK, Architecture, Head, Stage
from offline_search.space.kits import IMAGE_CHANNELS, kit
from offline_search.space.macs import Size
from offline_search.space.network import Network, build_head, build_stem
from offline_search.space.operators import operator

STEM: Final = "stem"
_NOTHING: Final = (("skip",),)


def operator_part(name: str, stride: int) -> str:
    """Name of the part that an operator of that stride is."""
    return f"operator {name} {stride}"


def head_part(head: Head) -> str:
    """Name of the part that a head, with its neck, is."""
    return f"head {head.kind}" if head.neck == NO_NECK else f"head {head.kind} {head.neck}"


def operator_parts(names: Iterable[str]) -> list[str]:
    """Those that operators of these names can be."""
    return [
        operator_part(name, stride)
        for name in names
        for stride in ((1,) if operator(name).same_shape else (1, 2))
        if not does_nothing(name)
    ]


@lru_cache
def does_nothing(name: str) -> bool:
    """Whether nothing is left of an operator in a graph."""
    return operator_work(name, 16, 16, 1, (8, 8), 1) == Work()


# --- modules


def operator_module(name: str, inputs: int, outputs: int, stride: int) -> nn.Module:
    """An operator of a network."""
    return operator(name).build(kit(1), inputs, outputs, stride)


def stem_module(architecture: Architecture) -> nn.Module:
    """A network up to its first layer."""
    return Network(architecture, build_stem(architecture), (), nn.Identity())


# --- what work they are, for an input map of `size`


@lru_cache(maxsize=100_000)
def operator_work(
    name: str, inputs: int, outputs: int, stride: int, size: Size, block: int
) -> Work:
    """Of `operator_module`."""
    with torch.device("meta"):
        return module_work(operator_module(name, inputs, outputs, stride), inputs, size, block)


def stem_work(architecture: Architecture, block: int) -> Work:
    """Of `stem_module`."""
    empty = (Stage(architecture.stem_out, 1, _NOTHING),)
    return _stem_work(replace(architecture, stages=empty, head=Head("heatmap", (), 1)), block)


def head_work(architecture: Architecture, block: int) -> Work:
    """Of `build_head`."""
    width = architecture.stages[-1].width
    stages = tuple(Stage(width, stage.stride, _NOTHING) for stage in architecture.stages)
    return _head_work(replace(architecture, stem_width=1, stem_out=1, stages=stages), block)


# Architectures that differ in nothing that matters here are equal where these are reached.


@lru_cache(maxsize=10_000)
def _stem_work(architecture: Architecture, block: int) -> Work:
    with torch.device("meta"):
        stem = stem_module(architecture)
        return module_work(stem, IMAGE_CHANNELS, architecture.input_size, block)


@lru_cache(maxsize=10_000)
def _head_work(architecture: Architecture, block: int) -> Work:
    height, width = architecture.input_size
    size = height // architecture.stride, width // architecture.stride
    with torch.device("meta"):
        head = build_head(architecture)
        return module_work(head, architecture.stages[-1].width, size, block)
