# SPDX-License-Identifier: Apache-2.0
"""The networks EfficientPose-A, -B and -C (arXiv 2012.07086), found by its authors' search.

Which operator stands in which layer is that of the authors' released code
(github.com/hustvl/EfficientPose). For MPII's 16 keypoints at 256x256 the convolutions come to 0.54,
1.39 and 1.86 GMACs, and the parameters to 1.30, 3.25 and 5.00 million. The spatial information
correction's bias, 32 numbers, is ours.
"""

from __future__ import annotations

from typing import Final

from offline_search.space.architecture import Architecture, Head, Stage

MPII_KEYPOINTS: Final = 16
_INPUT: Final = (256, 256)
_STEM_WIDTH: Final = 32
_HEAD: Final = Head("heatmap", (64, 32), MPII_KEYPOINTS)


def _stage(width: int, stride: int, genotype: str) -> Stage:
    """`k3e6` is an inverted bottleneck of kernel 3 and expansion 6; a hyphen skips the layer."""
    names = {"-": "skip"}
    codes = genotype.split()
    return Stage(
        width, stride, tuple((names.get(code) or f"mb_{code[:2]}_{code[2:]}",) for code in codes)
    )


def _network(stem_out: int, *stages: Stage) -> Architecture:
    return Architecture(_INPUT, _STEM_WIDTH, stem_out, stages, _HEAD)


EFFICIENTPOSE_A: Final = _network(
    16,
    _stage(24, 2, "k3e6 k7e3 k3e6 k3e3"),
    _stage(32, 2, "k3e6 k3e3 k5e3 k3e3 k3e3 k3e3"),
    _stage(64, 2, "k5e6 k7e3 k7e3 k7e3 k7e3 k7e3 k7e3 k7e3"),
    _stage(96, 1, "k5e6 k5e6 k7e6 k5e6 k7e3 k7e3 k7e3 k7e6"),
)
EFFICIENTPOSE_B: Final = _network(
    24,
    _stage(32, 2, "k3e6 k3e6 k5e3 k7e3 k5e3 k7e3"),
    _stage(64, 2, "k5e6 k5e3 k7e3 k7e3 k7e3 k7e3 k7e3 k7e3"),
    _stage(96, 2, "k7e6 k5e6 k5e6 k7e3 k7e3 k3e6 k7e3 k7e6 k7e6 k7e3"),
    _stage(160, 1, "k7e3 k7e3 k7e3 k7e3 k7e3 k7e3 - k7e3 k7e6 k7e3"),
)
EFFICIENTPOSE_C: Final = _network(
    24,
    _stage(32, 2, "k5e3 k3e6 k3e3 k3e3 - k5e3"),
    _stage(64, 2, "k3e6 k7e6 k5e6 k3e6 k5e6 k3e6 k3e6 k3e6"),
    _stage(96, 2, "k7e6 k7e6 k7e6 k7e6 k7e6 k7e6 k7e6 k7e6 k7e3 k7e6"),
    _stage(160, 1, "k7e6 k7e6 k7e3 k7e3 k7e6 k7e6 k7e6 k7e6 k7e6 k7e6"),
)
