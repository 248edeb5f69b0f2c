# SPDX-License-Identifier: Apache-2.0
"""How the multiplier of a cost's term and the temperature of gates move in a search."""

from __future__ import annotations

from typing import Final

_GREATEST_MULTIPLIER: Final = 10.0


def moved_multiplier(multiplier: float, rate: float, over: float) -> float:
    """The dual variable of the cost's hinge, a step later.

    Args:
        multiplier: So far.
        rate: By which it rises for each budget that is exceeded.
        over: By how many budgets the cost exceeds the budget, negative below it; at most one
            counts.

    Returns:
        Between 0 and 10: beyond that the loss would not be heard.
    """
    return min(max(0.0, multiplier + rate * min(over, 1.0)), _GREATEST_MULTIPLIER)


def annealed(temperature: tuple[float, float], warmup: float, spent: float) -> float:
    """Temperature of the gates.

    Args:
        temperature: First and last; it falls geometrically.
        warmup: Share of the compute that is over before it falls.
        spent: Share of the compute that is spent.
    """
    first, last = temperature
    share = min(1.0, max(0.0, spent - warmup) / (1.0 - warmup))
    return float(first * (last / first) ** share)
