# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from offline_search.training.loss import (
    box_loss,
    focal_loss,
    gaussian,
    heatmap_loss,
    mask_loss,
    simcc_loss,
    to_cells,
)

STRIDE, SIGMA, SIZE = 4.0, 1.25, 16


def log_gaussian(centres: Tensor, cells: int, sigma: float) -> Tensor:
    """(..., cells) up to a constant; finite however far from the centre."""
    return -0.5 * ((torch.arange(cells) - centres[..., None]) / sigma) ** 2


def perfect_logits(keypoints: Tensor) -> Tensor:
    """Maps whose softmax is the target, for (B, K, 2) crop pixels."""
    x, y = to_cells(keypoints, STRIDE).unbind(-1)
    along_y, along_x = log_gaussian(y, SIZE, SIGMA), log_gaussian(x, SIZE, SIGMA)
    return along_y[..., :, None] + along_x[..., None, :]


def test_pixel_centres_and_cell_centres_agree() -> None:
    # cell 0 of stride 4 covers pixels 0..3, whose middle is 1.5
    assert to_cells(torch.tensor(1.5), 4.0) == 0
    assert to_cells(torch.tensor(5.5), 4.0) == 1
    assert to_cells(torch.tensor(0.0), 0.5) == 0.5  # two bins a pixel: pixel 0 is between them


def test_targets_are_distributions_around_the_label() -> None:
    target = gaussian(torch.tensor([7.3, 0.2]), SIZE, SIGMA)
    assert torch.allclose(target.sum(-1), torch.ones(2))
    mean = (target[0] * torch.arange(SIZE)).sum()
    assert mean.item() == pytest.approx(7.3, abs=1e-3)


def test_the_target_map_itself_has_no_loss_and_any_other_has() -> None:
    keypoints = torch.tensor([[[28.3, 33.0], [36.0, 30.7]]])
    logits = perfect_logits(keypoints)
    kwargs = {"stride": STRIDE, "sigma": SIGMA}
    at_best = heatmap_loss(logits, keypoints[:, None], **kwargs)
    assert at_best.item() == pytest.approx(0.0, abs=1e-5)
    for shift in ((4.0, 0.0), (0.0, -2.0)):
        moved = heatmap_loss(logits, keypoints[:, None] + torch.tensor(shift), **kwargs)
        # divergence of equal Gaussians: squared distance / (2 sigma^2)
        distance = (shift[0] ** 2 + shift[1] ** 2) / STRIDE**2
        assert moved.item() == pytest.approx(distance / (2 * SIGMA**2), rel=0.02)


def test_a_constant_added_to_a_map_changes_nothing() -> None:
    keypoints = torch.rand(2, 1, 3, 2) * 60
    logits = torch.randn(2, 3, SIZE, SIZE)
    a = heatmap_loss(logits, keypoints, stride=STRIDE, sigma=SIGMA)
    b = heatmap_loss(logits + 7.0, keypoints, stride=STRIDE, sigma=SIGMA)
    assert torch.allclose(a, b, atol=1e-5)


def test_the_least_loss_of_the_symmetric_labels_counts() -> None:
    first, second = torch.rand(1, 3, 2) * 60, torch.rand(1, 3, 2) * 60
    logits = perfect_logits(second)
    both = heatmap_loss(logits, torch.stack([first, second], dim=1), stride=STRIDE, sigma=SIGMA)
    alone = heatmap_loss(logits, second[:, None], stride=STRIDE, sigma=SIGMA)
    assert both.item() == pytest.approx(alone.item(), abs=1e-6)
    assert both.item() < heatmap_loss(logits, first[:, None], stride=STRIDE, sigma=SIGMA).item()


def test_keypoints_outside_the_crop_teach_nothing() -> None:
    inside = torch.tensor([[[[20.0, 20.0], [500.0, 20.0]]]])
    logits = torch.randn(1, 2, SIZE, SIZE, requires_grad=True)
    heatmap_loss(logits, inside, stride=STRIDE, sigma=SIGMA).sum().backward()
    assert logits.grad is not None
    assert logits.grad[0, 0].abs().sum() > 0
    assert logits.grad[0, 1].abs().sum() == 0
    none = heatmap_loss(logits, torch.full((1, 1, 2, 2), -99.0), stride=STRIDE, sigma=SIGMA)
    assert none.item() == 0


def test_simcc_is_zero_at_its_target_and_grows_with_distance() -> None:
    keypoints = torch.tensor([[[[20.3, 33.0]]]])
    x, y = to_cells(keypoints[:, 0], 0.5).unbind(-1)
    logits = (log_gaussian(x, 128, 6.0), log_gaussian(y, 128, 6.0))
    losses = [
        simcc_loss(logits, keypoints + torch.tensor([shift, 0.0]), stride=0.5, sigma=6.0).item()
        for shift in (0.0, 2.0, 4.0)
    ]
    assert losses[0] == pytest.approx(0.0, abs=1e-5)
    assert losses[1] == pytest.approx(4.0**2 / (2 * 36), rel=0.02)
    assert losses[2] == pytest.approx(8.0**2 / (2 * 36), rel=0.02)


def test_mask_loss_compares_the_mean_cover_of_each_cell() -> None:
    mask = torch.zeros(1, 8, 8, dtype=torch.uint8)
    mask[0, :4, :4] = 255
    mask[0, :4, 4:6] = 255
    cover = torch.tensor([[[1.0, 0.5], [0.0, 0.0]]])
    best = mask_loss(torch.logit(cover, eps=1e-6), mask).item()
    assert best == pytest.approx(np.log(2) / 4, abs=1e-4)  # what is half covered stays a toss-up
    assert mask_loss(torch.zeros(1, 2, 2), mask).item() == pytest.approx(np.log(2), abs=1e-5)


def test_focal_loss_falls_as_the_map_nears_the_target() -> None:
    target = torch.zeros(1, 1, 8, 8)
    target[0, 0, 3, 4] = 1.0
    target[0, 0, 3, 5] = 0.6
    right = torch.where(target == 1, 6.0, -6.0)
    wrong = torch.where(target == 1, -6.0, -6.0)
    false_alarm = right.clone()
    false_alarm[0, 0, 7, 0] = 6.0
    assert focal_loss(right, target).item() < 0.01
    assert focal_loss(wrong, target).item() > 1
    assert focal_loss(false_alarm, target).item() > 1
    near = right.clone()
    near[0, 0, 3, 5] = 6.0  # next to a centre: forgiven for the most part
    assert focal_loss(near, target).item() < 0.1 * focal_loss(false_alarm, target).item()


def test_focal_loss_of_an_empty_frame_is_finite() -> None:
    loss = focal_loss(torch.randn(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    assert torch.isfinite(loss).all()


def test_box_loss_is_zero_for_the_true_box_and_ignores_cells_without_weight() -> None:
    target = torch.rand(2, 4, 5, 5) * 4 + 0.5
    weight = torch.zeros(2, 5, 5)
    weight[:, 2, 2] = 1.0
    sides = target.clone()
    sides[:, :, 0, 0] = 99.0
    assert torch.allclose(box_loss(sides, target, weight), torch.zeros(2), atol=1e-5)
    sides[:, 0, 2, 2] *= 2
    assert (box_loss(sides, target, weight) > 0.01).all()
    assert torch.equal(box_loss(sides, target, torch.zeros(2, 5, 5)), torch.zeros(2))


def test_box_loss_of_half_the_box_is_known() -> None:
    # the left half: IoU 1/2, hull = the whole box, so 1 - GIoU = 1/2
    target = torch.full((1, 4, 1, 1), 2.0)
    sides = target.clone()
    sides[0, 2] = 0.0
    loss = box_loss(sides, target, torch.ones(1, 1, 1)).item()
    relative = (1.0 - 0.05) / 4  # smooth L1 of a relative error of one, in one of four sides
    assert loss == pytest.approx(0.5 + relative, abs=1e-5)
