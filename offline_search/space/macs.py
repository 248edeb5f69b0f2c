# SPDX-License-Identifier: Apache-2.0
"""Closed-form cost of the primitive layers.

A MAC is one multiply-accumulate of a convolution or a linear layer at batch 1; normalisation,
activations, pooling and element-wise work count nothing. FLOPs = 2 x MACs.
"""

from __future__ import annotations

from dataclasses import dataclass

Size = tuple[int, int]
"""(height, width) of a map."""


@dataclass(frozen=True)
class Cost:
    """Multiply-accumulates for one input, and trainable parameters."""

    macs: int = 0
    params: int = 0

    def __add__(self, other: Cost) -> Cost:
        """Cost of doing both."""
        return Cost(self.macs + other.macs, self.params + other.params)


def halve(size: Size, stride: int) -> Size:
    """(h, w) behind a same-padded layer of that stride."""
    return -(-size[0] // stride), -(-size[1] // stride)


def conv(inputs: int, outputs: int, kernel: int, size: Size) -> Cost:
    """A square convolution without bias; `inputs` are those that one output channel reads.

    `size` is that of the output, or of the input of a transposed convolution.
    """
    weights = outputs * inputs * kernel * kernel
    return Cost(weights * size[0] * size[1], weights)


def linear(inputs: int, outputs: int, rows: int) -> Cost:
    """A linear layer with bias, applied to `rows` vectors."""
    return Cost(inputs * outputs * rows, (inputs + 1) * outputs)
