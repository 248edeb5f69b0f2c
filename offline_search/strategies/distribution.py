# SPDX-License-Identifier: Apache-2.0
"""A distribution over the architectures of a space: gates of operators, and genes of structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fpg_pose_ros.geometry import Array
from offline_search.space.gates import Gate, SingleGate, entropy_bits
from offline_search.space.meter import PriceList
from offline_search.space.search_space import Point, SearchSpace
from offline_search.strategies.repair import Preference

_LARGEST_SHIFT = 12.0
_HALVINGS = 12


def generator(seed: int, step: int, purpose: int) -> torch.Generator:
    """Random numbers of one step: a pure function, so that a resumed search draws the same."""
    state = np.random.SeedSequence((seed, step, purpose)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state) >> 1)


@dataclass(frozen=True, eq=False)
class Sample:
    """An architecture drawn with its gates.

    Attributes:
        choices: Of the genes.
        gates: For each slot the gates (n,) of all candidates, 0 or 1, with gradients.
    """

    choices: tuple[int, ...]
    gates: tuple[Tensor, ...]

    def point(self, space: SearchSpace, also: Sequence[Sequence[int]] = ()) -> Point:
        """The architecture of the open gates, and of those `also` of each slot."""
        return Point(self.choices, tuple(self._names(space, also)))

    def weights(self, also: Sequence[Sequence[int]] = ()) -> list[Tensor]:
        """For each slot the gates of what `point` holds."""
        return [gates[self._kept(i, also)] for i, gates in enumerate(self.gates)]

    def _names(self, space: SearchSpace, also: Sequence[Sequence[int]]) -> list[tuple[str, ...]]:
        return [
            tuple(slot.candidates[i] for i in self._kept(number, also))
            for number, slot in enumerate(space.slots)
        ]

    def _kept(self, number: int, also: Sequence[Sequence[int]]) -> list[int]:
        more = also[number] if also else ()
        return [i for i, gate in enumerate(self.gates[number].tolist()) if gate or i in more]


class Distribution:
    """Logits of everything, to be trained.

    Attributes:
        gates: For each slot logits (n,).
        genes: For each gene logits (n,).
    """

    def __init__(
        self,
        space: SearchSpace,
        gate: Gate,
        gates: Sequence[Sequence[float] | Array],
        genes: Sequence[Sequence[float] | Array],
    ) -> None:
        """`gates` and `genes` are the first logits of each."""
        self.space, self.gate = space, gate
        self.gates = [_trained(values) for values in gates]
        self.genes = [_trained(values) for values in genes]

    def draw_choices(self, rng: torch.Generator) -> tuple[int, ...]:
        """A structure."""
        return tuple(
            int(torch.multinomial(torch.softmax(logits.detach(), 0), 1, generator=rng))
            for logits in self.genes
        )

    def draw_noise(self, rng: torch.Generator) -> tuple[Tensor, ...]:
        """Uniform numbers for the gates of all slots."""
        return tuple(torch.rand(len(logits), generator=rng) for logits in self.gates)

    def draw_gates(self, rng: torch.Generator, temperature: float) -> tuple[Tensor, ...]:
        """Gates of all slots."""
        return tuple(
            self.gate.sample(logits, uniform, temperature)
            for logits, uniform in zip(self.gates, self.draw_noise(rng), strict=True)
        )

    @torch.no_grad()
    def gates_at_cost(
        self, noise: tuple[Tensor, ...], prices: PriceList, cost: float
    ) -> tuple[Tensor, ...]:
        """Gates of all slots, all logits shifted alike so that a structure costs about `cost`.

        Args:
            noise: See `draw_noise`.
            prices: Of the structure.
            cost: Wanted of the network that is drawn; met as nearly as one shift can.
        """
        slots = [torch.tensor(price, dtype=torch.float32) for price in prices.slots]
        low, high = -_LARGEST_SHIFT, _LARGEST_SHIFT
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            gates = tuple(
                self.gate.sample(logits + middle, uniform, 1.0)
                for logits, uniform in zip(self.gates, noise, strict=True)
            )
            drawn = sum(float(price @ gate) for price, gate in zip(slots, gates, strict=True))
            low, high = (low, middle) if prices.fixed + drawn > cost else (middle, high)
        return gates

    def log_probability(self, choices: tuple[int, ...]) -> Tensor:
        """Of a structure."""
        terms = [
            torch.log_softmax(logits, 0)[choice]
            for logits, choice in zip(self.genes, choices, strict=True)
        ]
        return torch.stack(terms).sum()

    def expected_cost(self, prices: PriceList) -> Tensor:
        """C_fixed + sum_l sum_i p_il C_il of one structure; differentiable in the gates' logits."""
        terms = [
            (self.gate.probabilities(logits) * torch.tensor(price)).sum()
            for logits, price in zip(self.gates, prices.slots, strict=True)
        ]
        return prices.fixed + torch.stack(terms).sum()

    def mode(self) -> Sample:
        """The architecture without noise."""
        with torch.no_grad():
            return Sample(
                tuple(int(logits.argmax()) for logits in self.genes),
                tuple(self.gate.decide(logits).float() for logits in self.gates),
            )

    def preference(self) -> Preference:
        """What has been learnt, for `repair`."""
        with torch.no_grad():
            gates = tuple(_log_odds(self.gate, logits) for logits in self.gates)
            genes = tuple(torch.log_softmax(logits, 0).double().numpy() for logits in self.genes)
        return Preference(gates, genes, 1 if isinstance(self.gate, SingleGate) else None)

    def entropy(self) -> float:
        """Mean entropy of the gates, bits."""
        with torch.no_grad():
            bits = [entropy_bits(self.gate.probabilities(logits)) for logits in self.gates]
        return float(torch.cat(bits).mean())

    def snapshot(self) -> dict[str, list[list[float]]]:
        """Probabilities of gates and genes, rounded for a report."""
        with torch.no_grad():
            gates = [self.gate.probabilities(logits) for logits in self.gates]
            genes = [torch.softmax(logits, 0) for logits in self.genes]
        return {
            "gates": [[round(p, 4) for p in values.tolist()] for values in gates],
            "genes": [[round(p, 4) for p in values.tolist()] for values in genes],
        }

    def parameters(self) -> list[Tensor]:
        """All logits, gates first."""
        return [*self.gates, *self.genes]


def _trained(values: Sequence[float] | Array) -> Tensor:
    return torch.tensor(list(values), dtype=torch.float32, requires_grad=True)


def _log_odds(gate: Gate, logits: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    values: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = logits.double().numpy().copy()
    # One gate's logits matter by their differences; `repair` asks for the best to be above zero.
    return values - values.max() + 1e-3 if isinstance(gate, SingleGate) else values
