# SPDX-License-Identifier: Apache-2.0
"""Networks told by their structure alone: genes, one family of layers, and how deep each stage is.

What SM-NAS (arXiv 1911.09929) chooses first, from coarse to fine: input size, stem, backbone
family, depth and widths, neck, head, number of keypoints; of these what the space leaves open. A
family is one operator in every layer: mb_k3_e3 throughout makes a MobileNetV2, conv_k3 a plain
residual network. Where a stage is less deep than the space allows, its last layers are skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from offline_search.space.search_space import SearchSpace
from offline_search.strategies.single_path import Path

_FAMILY: Final = "family"
_DEPTH: Final = "depth_{}"
_SKIP: Final = "skip"


def structure_sizes(space: SearchSpace) -> dict[str, int]:
    """How many values each structural gene has."""
    deepest = [stage.layers if _SKIP in space.operators else 1 for stage in space.stages]
    return {
        **{gene.name: len(gene.choices) for gene in space.genes},
        _FAMILY: len(space.slots[0].candidates),
        **{_DEPTH.format(stage): layers for stage, layers in enumerate(deepest)},
    }


def structural_path(space: SearchSpace, values: Mapping[str, int]) -> Path:
    """The network of these structural genes; each is an index below its `structure_sizes`."""
    family = space.slots[0].candidates[values[_FAMILY]]
    picks = [
        slot.candidates.index(
            _SKIP
            if _SKIP in slot.candidates and slot.layer > values[_DEPTH.format(slot.stage)]
            else family
        )
        for slot in space.slots
    ]
    return Path(tuple(values[gene.name] for gene in space.genes), tuple(picks))
