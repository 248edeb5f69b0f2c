# SPDX-License-Identifier: Apache-2.0
"""Losses: logits and labels in, one number a sample out.

Keypoints are classified, not regressed: cross-entropy of the softmaxed map against a Gaussian
around the label. Its gradient does not fade with distance, as that of a soft-argmax does, and the
map that comes out is a calibrated distribution from which a covariance can be read.

Symmetric objects: a sample carries the labels of all S symmetry-equivalent poses (continuous
symmetries are discretised), and the loss is the least of the S. The network thereby chooses one
pose of each class by itself, continuously in the view, where a fixed rule must jump.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

# Labels this many cells outside the map still teach its border; farther ones teach nothing.
_MARGIN = 1.0
_FOCAL_POWER = 2.0
_NEIGHBOUR_POWER = 4.0


def to_cells(pixels: Tensor, stride: float) -> Tensor:
    """Crop pixels to cells: the centre of cell j is pixel (j + 0.5) stride - 0.5."""
    return (pixels + 0.5) / stride - 0.5


def gaussian(centres: Tensor, cells: int, sigma: float) -> Tensor:
    """Normalised Gaussians (..., cells) around `centres` (...), both in cells."""
    grid = torch.arange(cells, dtype=torch.float32, device=centres.device)
    return torch.softmax(-0.5 * ((grid - centres[..., None].float()) / sigma) ** 2, dim=-1)


def _entropy(p: Tensor) -> Tensor:
    return -(p * p.clamp_min(1e-12).log()).sum(-1)


def _inside(centres: Tensor, cells: int) -> Tensor:
    return (centres > -0.5 - _MARGIN) & (centres < cells - 0.5 + _MARGIN)


def _least(divergence: Tensor, inside: Tensor) -> Tensor:
    """(B, S, K) -> (B,): mean over the keypoints inside, least over the symmetries."""
    weight = inside.float()
    return ((divergence * weight).sum(-1) / weight.sum(-1).clamp_min(1.0)).amin(dim=1)


def heatmap_loss(logits: Tensor, keypoints: Tensor, *, stride: float, sigma: float) -> Tensor:
    """Kullback-Leibler divergence of the maps from Gaussian targets.

    Args:
        logits: (B, K, h, w).
        keypoints: (B, S, K, 2) labels x, y in crop pixels, for S symmetry-equivalent poses.
        stride: Pixels a cell.
        sigma: Of the target, in cells.

    Returns:
        (B,) divergences, zero at best.
    """
    logits = logits.float()
    height, width = logits.shape[-2:]
    x, y = to_cells(keypoints, stride).unbind(-1)
    target_x, target_y = gaussian(x, width, sigma), gaussian(y, height, sigma)
    rows = torch.einsum("bkhw,bskw->bskh", logits, target_x)
    expected = (rows * target_y).sum(-1)
    normaliser = logits.flatten(2).logsumexp(-1)[:, None]
    divergence = normaliser - expected - _entropy(target_x) - _entropy(target_y)
    return _least(divergence, _inside(x, width) & _inside(y, height))


def simcc_loss(
    logits: tuple[Tensor, Tensor], keypoints: Tensor, *, stride: float, sigma: float
) -> Tensor:
    """Kullback-Leibler divergence of the bin distributions in x (B, K, bw) and y (B, K, bh).

    `stride` is pixels a bin, `sigma` is in bins; else as `heatmap_loss`.
    """
    divergence: Tensor | float = 0.0
    inside = torch.ones(keypoints.shape[:-1], dtype=torch.bool, device=keypoints.device)
    for axis, values in zip(to_cells(keypoints, stride).unbind(-1), logits, strict=True):
        target = gaussian(axis, values.shape[-1], sigma)
        log_p = values.float().log_softmax(-1)
        divergence = divergence - torch.einsum("bkn,bskn->bsk", log_p, target) - _entropy(target)
        inside &= _inside(axis, values.shape[-1])
    assert isinstance(divergence, Tensor)
    return _least(divergence, inside)


def mask_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of predicted cover, mean over the cells.

    Args:
        logits: (B, h, w).
        mask: (B, H, W) uint8 cover of each input pixel, 0..255; H and W multiples of h and w.

    Returns:
        (B,).
    """
    height, width = logits.shape[-2:]
    cover = F.adaptive_avg_pool2d(mask[:, None].float() / 255, (height, width))[:, 0]
    entropy = F.binary_cross_entropy_with_logits(logits.float(), cover, reduction="none")
    return entropy.flatten(1).mean(1)


def focal_loss(logits: Tensor, target: Tensor) -> Tensor:
    """CenterNet's penalty-reduced focal loss (arXiv 1904.07850, eq. 1), summed over a sample.

    Args:
        logits: (B, C, h, w).
        target: (B, C, h, w) in 0..1, exactly 1 at the centres.

    Returns:
        (B,) sums divided by the number of centres (at least 1).
    """
    logits = logits.float()
    p = torch.sigmoid(logits)
    centre = (target == 1).float()
    hit = F.logsigmoid(logits) * (1 - p) ** _FOCAL_POWER * centre
    miss = F.logsigmoid(-logits) * p**_FOCAL_POWER * (1 - target) ** _NEIGHBOUR_POWER * (1 - centre)
    count = centre.flatten(1).sum(1).clamp_min(1.0)
    return -(hit + miss).flatten(1).sum(1) / count


def box_loss(sides: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - GIoU (arXiv 1902.09630) plus the sides' relative error, at the cells with weight.

    Both boxes hold the cell's centre, so the intersection is made of the lesser sides.

    Args:
        sides: (B, 4, h, w) predicted left, top, right, bottom.
        target: The same of the label.
        weight: (B, h, w), zero where no box is taught.

    Returns:
        (B,).
    """
    sides = sides.float()
    lesser, greater = torch.minimum(sides, target), torch.maximum(sides, target)

    def area(box: Tensor) -> Tensor:
        return (box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3])

    intersection = area(lesser)
    union = (area(sides) + area(target) - intersection).clamp_min(1e-6)
    hull = area(greater).clamp_min(1e-6)
    giou = intersection / union - (hull - union) / hull
    scale = target.mean(dim=1, keepdim=True).clamp_min(1e-3)
    relative = (F.smooth_l1_loss(sides / scale, target / scale, beta=0.1, reduction="none")).mean(1)
    total = ((1 - giou + relative) * weight).flatten(1).sum(1)
    return total / weight.flatten(1).sum(1).clamp_min(1e-6)
