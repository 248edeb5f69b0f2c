# SPDX-License-Identifier: Apache-2.0
"""Judges a locator frame by frame: is each object found, in the right place, and nothing else?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from torch import nn

from fpg_pose_ros.geometry import Array
from offline_search.space.architecture import Architecture
from offline_search.training.feed import to_input
from offline_search.training.task import Samples

if TYPE_CHECKING:
    from offline_search.training.locator_task import LocatorSampleLike

_BATCH: Final = 32
_DEFAULT_SCORE: Final = 0.3
_GOOD_IOU: Final = 0.5
_THRESHOLDS: Final = tuple(round(0.1 + 0.05 * i, 2) for i in range(15))


@dataclass(frozen=True, eq=False)
class Guess:
    """The best place of one class in one frame, beside the label.

    Attributes:
        score: Of the best cell, 0..1.
        box: (4,) x0, y0, x1, y1 there, input px.
        truth: (4,) amodal label, or None where the frame holds no such object.
    """

    score: float
    box: Array
    truth: Array | None

    @property
    def overlap(self) -> float:
        """Intersection over union with the label; 0 without one."""
        return 0.0 if self.truth is None else iou(self.box, self.truth)


def iou(a: Array, b: Array) -> float:
    """Intersection over union of two boxes x0, y0, x1, y1."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.clip(sides, 0.0, None)))
    whole = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - common
    return common / whole if whole > 0 else 0.0


@torch.no_grad()
def guess(
    network: nn.Module,
    samples: Samples[LocatorSampleLike],
    indices: Sequence[int],
    architecture: Architecture,
) -> list[Guess]:
    """One guess for each class and frame."""
    network.eval()
    device = next(network.parameters()).device
    guesses: list[Guess] = []
    for start in range(0, len(indices), _BATCH):
        chunk = [samples[index] for index in indices[start : start + _BATCH]]
        images = torch.from_numpy(np.stack([sample.image for sample in chunk]))
        heat, sides = network(to_input(images, device))
        scores = torch.sigmoid(heat.float()).cpu().numpy()
        distances = sides.float().cpu().numpy()
        for sample, maps, box_maps in zip(chunk, scores, distances, strict=True):
            for index, scores_of_class in enumerate(maps):
                i, j = np.unravel_index(int(scores_of_class.argmax()), scores_of_class.shape)
                centre = (np.array([j, i]) + 0.5) * architecture.output_stride - 0.5
                reach = box_maps[:, i, j] * architecture.output_stride
                box = np.concatenate([centre - reach[:2], centre + reach[2:]])
                labels = sample.boxes[sample.classes == index]
                truth = max(labels, key=lambda label: iou(box, label)) if len(labels) else None
                guesses.append(Guess(float(scores_of_class[i, j]), box, truth))
    return guesses


def judge(
    network: nn.Module,
    samples: Samples[LocatorSampleLike],
    indices: Sequence[int],
    architecture: Architecture,
    threshold: float = _DEFAULT_SCORE,
) -> dict[str, float]:
    """Figures at a score threshold.

    Returns:
        found: share of objects detected with IoU above 0.5. false: share of guesses about absent
        objects that were made all the same. iou, centre, side: medians over found objects; errors
        of the centre and of the longer side are in shares of the longer side.
    """
    guesses = guess(network, samples, indices, architecture)
    return _figures(guesses, threshold)


def score_threshold(
    network: nn.Module,
    samples: Samples[LocatorSampleLike],
    indices: Sequence[int],
    architecture: Architecture,
) -> float:
    """The threshold with the most found objects less false ones."""
    guesses = guess(network, samples, indices, architecture)

    def merit(threshold: float) -> float:
        figures = _figures(guesses, threshold)
        return figures["found"] - figures["false"]

    return max(_THRESHOLDS, key=merit)


def _figures(guesses: Sequence[Guess], threshold: float) -> dict[str, float]:
    present = [g for g in guesses if g.truth is not None]
    absent = [g for g in guesses if g.truth is None]
    found = [g for g in present if g.score >= threshold and g.overlap > _GOOD_IOU]
    errors = np.array([_box_errors(g) for g in found]).reshape(-1, 3)
    medians = np.median(errors, axis=0) if found else np.full(3, np.inf)
    return {
        "found": len(found) / max(1, len(present)),
        "false": sum(g.score >= threshold for g in absent) / max(1, len(absent)),
        "iou": float(medians[0]) if found else 0.0,
        "centre": float(medians[1]) if found else 1.0,
        "side": float(medians[2]) if found else 1.0,
    }


def _box_errors(found: Guess) -> tuple[float, float, float]:
    assert found.truth is not None
    size, true_size = found.box[2:] - found.box[:2], found.truth[2:] - found.truth[:2]
    longest = float(true_size.max())
    offset = (found.box[:2] + found.box[2:] - found.truth[:2] - found.truth[2:]) / 2
    return (
        found.overlap,
        float(np.linalg.norm(offset)) / longest,
        abs(float(size.max()) / longest - 1.0),
    )
