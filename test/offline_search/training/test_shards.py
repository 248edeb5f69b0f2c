# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from offline_search.training.shards import accumulate, split, statistics


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))


def squares(net: nn.Module):  # type: ignore[no-untyped-def]
    def losses(part):  # type: ignore[no-untyped-def]
        outputs: Tensor = net(part["image"])
        return outputs.square().mean(), {"largest": outputs.amax()}

    return losses


def test_a_step_in_parts_is_the_mean_of_steps_on_each_part() -> None:
    whole = network()
    parts = split({"image": torch.randn(6, 3, 5, 5)}, 3)
    alone = [copy.deepcopy(whole) for _ in parts]
    figures = accumulate(whole, parts, squares(whole))
    apart = [accumulate(net, [p], squares(net)) for net, p in zip(alone, parts, strict=True)]
    assert list(figures) == ["loss", "largest"]
    for name, figure in figures.items():
        assert float(figure) == pytest.approx(sum(float(f[name]) for f in apart) / 3)
    for parameter, *others in zip(
        whole.parameters(), *(net.parameters() for net in alone), strict=True
    ):
        mean = torch.stack([other.grad for other in others]).mean(0)  # type: ignore[misc]
        torch.testing.assert_close(parameter.grad, mean)
    for running, *others in zip(statistics(whole), *map(statistics, alone), strict=True):
        torch.testing.assert_close(running, torch.stack(others).mean(0))
    # one step, in however many parts
    assert int(whole[1].num_batches_tracked) == 1  # type: ignore[index]


def test_one_part_is_an_ordinary_step() -> None:
    ours, plain = network(), network()
    batch = {"image": torch.randn(4, 3, 5, 5)}
    accumulate(ours, split(batch, 1), squares(ours))
    squares(plain)(batch)[0].backward()
    for a, b in zip(ours.parameters(), plain.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    assert all(map(torch.equal, ours.buffers(), plain.buffers()))


def test_a_network_without_statistics_can_be_trained_in_parts() -> None:
    net = nn.Conv2d(3, 2, 1)
    parts = split({"image": torch.ones(2, 3, 1, 1)}, 2)
    accumulate(net, parts, squares(net))
    assert net.weight.grad is not None


def test_parts_hold_the_samples_in_order() -> None:
    batch = {"image": torch.arange(6), "keypoints": torch.arange(12).view(6, 2)}
    parts = split(batch, 3)
    assert [part["image"].tolist() for part in parts] == [[0, 1], [2, 3], [4, 5]]
    assert parts[1]["keypoints"].tolist() == [[4, 5], [6, 7]]
