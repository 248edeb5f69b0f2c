# SPDX-License-Identifier: Apache-2.0
"""Which of the networks that have a name a search space holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.cost import cost
from offline_search.space.efficientpose import MPII_KEYPOINTS
from offline_search.space.presets import PRESETS, preset
from offline_search.space.search_space import SearchSpace


def named(space: SearchSpace) -> list[dict[str, Any]]:
    """Name, input size, outputs, MACs at that size, and parameters of each that is in the space."""
    networks = {name: preset(name, MPII_KEYPOINTS) for name in sorted(PRESETS)}
    return [
        {
            "name": name,
            "input_size": list(network.input_size),
            "outputs": network.head.outputs,
            "macs": cost(network).macs,
            "params": cost(network).params,
        }
        for name, network in networks.items()
        if _holds(space, network)
    ]


def filled(architecture: Architecture, space: SearchSpace) -> Architecture:
    """With skipped layers for those that its stages have fewer than the space's."""
    if len(architecture.stages) != len(space.stages):
        return architecture
    return replace(
        architecture,
        stages=tuple(
            replace(ours, layers=ours.layers + (("skip",),) * (theirs.layers - len(ours.layers)))
            for ours, theirs in zip(architecture.stages, space.stages, strict=True)
        ),
    )


def _holds(space: SearchSpace, architecture: Architecture) -> bool:
    try:
        space.point(filled(architecture, space))
    except ArchitectureError:
        return False
    return True
