# SPDX-License-Identifier: Apache-2.0
"""What an architecture costs, before any network is built."""

from __future__ import annotations

from offline_search.space.architecture import STEM_STRIDE, Architecture, ArchitectureError
from offline_search.space.heads import HEADS
from offline_search.space.kits import IMAGE_CHANNELS, kit
from offline_search.space.macs import Cost, halve
from offline_search.space.operators import operator

__all__ = ["Cost", "cost"]


def cost(architecture: Architecture) -> Cost:
    """MACs (batch 1, head included) and parameters, the built network's to the last one.

    Raises:
        ArchitectureError: An operator is unknown or cannot stand at its place.
    """
    make = kit(architecture.turns)
    size = halve(architecture.input_size, STEM_STRIDE)
    width = architecture.stem_width
    total = (
        make.dense_cost(IMAGE_CHANNELS, width, 3, size, STEM_STRIDE)
        + make.norm_cost(width)
        + make.depthwise_cost(width, 3, size)
        + make.norm_cost(width)
        + make.dense_cost(width, architecture.stem_out, 1, size)
        + make.norm_cost(architecture.stem_out)
    )
    inputs = architecture.stem_out
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
    _, head_cost = HEADS[architecture.head.kind]
    return total + head_cost(inputs, architecture, size)
