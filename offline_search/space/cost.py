# SPDX-License-Identifier: Apache-2.0
"""What an architecture costs, before any network is built."""

from __future__ import annotations

from functools import singledispatch

from offline_search.space.architecture import STEM_STRIDE, Architecture, ArchitectureError
from offline_search.space.heads import HEADS
from offline_search.space.kits import IMAGE_CHANNELS, kit
from offline_search.space.macs import Cost, halve
from offline_search.space.operators import operator
from offline_search.space.temporal_cell import temporal_operator

__all__ = ["Cost", "cost"]


@singledispatch
def cost(architecture: Architecture) -> Cost:
    """MACs (batch 1, head included) and parameters, the built network's to the last one.

    Raises:
        ArchitectureError: An operator is unknown or cannot stand at its place.
    """
    make = kit(architecture.turns)
    total = stem_cost(architecture) + cell_cost(architecture) + head_cost(architecture)
    size, inputs = halve(architecture.input_size, STEM_STRIDE), architecture.stem_out
    for index, stage in enumerate(architecture.stages):
        stride = stage.stride
        for names in stage.layers:
            for name in names:
                candidate = operator(name)
                if not candidate.legal(inputs, stage.width, stride):
                    raise ArchitectureError(
                        f"{name} cannot stand in stage {index} where the width goes {inputs} -> "
                        f"{stage.width} with stride {stride}"
                    )
                total += candidate.price(make, inputs, stage.width, stride, size)
            size, inputs, stride = halve(size, stride), stage.width, 1
    return total


def stem_cost(architecture: Architecture) -> Cost:
    """Of the stem alone."""
    make, width = kit(architecture.turns), architecture.stem_width
    size = halve(architecture.input_size, STEM_STRIDE)
    return (
        make.dense_cost(IMAGE_CHANNELS, width, 3, size, STEM_STRIDE)
        + make.norm_cost(width)
        + make.depthwise_cost(width, 3, size)
        + make.norm_cost(width)
        + make.dense_cost(width, architecture.stem_out, 1, size)
        + make.norm_cost(architecture.stem_out)
    )


def cell_cost(architecture: Architecture) -> Cost:
    """Of the temporal cell alone; the alignment of earlier features is no convolution.

    Raises:
        ArchitectureError: An operator is unknown.
    """
    total = Cost()
    if architecture.cell is not None:
        make, width = kit(architecture.turns), architecture.stages[-1].width
        for edge in architecture.cell.edges:
            for name in edge.operators:
                total += temporal_operator(name).price(make, width, architecture.feature_size)
    return total


@singledispatch
def head_cost(architecture: Architecture) -> Cost:
    """Of the head alone; other descriptions than ours can register theirs, as with `cost`."""
    _, price = HEADS[architecture.head.kind]
    return price(architecture.stages[-1].width, architecture, architecture.feature_size)
