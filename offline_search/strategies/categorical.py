# SPDX-License-Identifier: Apache-2.0
"""A probability of every network that has one operator a layer (PARSEC, arXiv 1902.05116).

Factorised, every gene of the structure and every layer's operator is a categorical variable of its
own: p(a) = prod_g p(gene_g) prod_l p(operator_l). Joint (FP-NAS, arXiv 2011.10949, searches first
the one, then the other; that these are the variables which are joined is ours), an operator depends
on the width of its layer's stage: p(a) = prod_g p(gene_g) prod_l p(operator_l | width of l). The
logits of the joint one are those of the factorised one plus a part for each width, which starts at
zero: as long as nothing is learnt, both are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from fpg_pose_ros.geometry import Array
from offline_search.space.gates import SingleGate
from offline_search.space.meter import PriceList
from offline_search.space.search_space import SearchSpace
from offline_search.strategies.distribution import Distribution
from offline_search.strategies.repair import Preference
from offline_search.strategies.single_path import Path


class Categorical(Distribution):
    """See the module.

    Attributes:
        own: For each slot logits (widths of its stage, n), added to its `gates` while `joint`.
        joint: Whether operators depend on widths.
    """

    def __init__(
        self,
        space: SearchSpace,
        gates: Sequence[Sequence[float] | Array],
        genes: Sequence[Sequence[float] | Array],
    ) -> None:
        """`gates` and `genes` are the first logits of operators and of the structure."""
        super().__init__(space, SingleGate(), gates, genes)
        names = [gene.name for gene in space.genes]
        self._width = [names.index(f"width_{slot.stage}") for slot in space.slots]
        self.own = [
            torch.zeros(len(space.genes[gene].choices), len(slot.candidates), requires_grad=True)
            for slot, gene in zip(space.slots, self._width, strict=True)
        ]
        self.joint = False

    def row(self, slot: int, choices: tuple[int, ...]) -> Tensor:
        """Logits (n,) of a slot's operators in one structure."""
        if not self.joint:
            return self.gates[slot]
        return self.gates[slot] + self.own[slot][choices[self._width[slot]]]

    def draw(self, rng: torch.Generator) -> Path:
        """A network."""
        choices = self.draw_choices(rng)
        picks = []
        for slot in range(len(self.gates)):
            chances = torch.softmax(self.row(slot, choices).detach(), 0)
            picks.append(int(torch.multinomial(chances, 1, generator=rng)))
        return Path(choices, tuple(picks))

    def log_likelihood(self, path: Path) -> Tensor:
        """The logarithm of a network's probability; differentiable."""
        terms = [
            torch.log_softmax(self.row(slot, path.choices), 0)[pick]
            for slot, pick in enumerate(path.picks)
        ]
        return self.log_probability(path.choices) + torch.stack(terms).sum()

    def cost_of_structure(self, choices: tuple[int, ...], prices: PriceList) -> Tensor:
        """Mean cost of a structure's networks; differentiable in the logits of operators."""
        terms = [
            (torch.softmax(self.row(slot, choices), 0) * torch.tensor(price)).sum()
            for slot, price in enumerate(prices.slots)
        ]
        return prices.fixed + torch.stack(terms).sum()

    @torch.no_grad()
    def nats(self) -> float:
        """Entropy of the whole distribution: exact, by the chain rule."""
        total = sum(float(_entropies(logits)) for logits in self.genes)
        for slot, (chances, rows) in enumerate(self._rows()):
            assert rows.shape[-1] == len(self.gates[slot])
            total += float(chances @ _entropies(rows))
        return total

    def likeliest(self) -> Path:
        """The likeliest structure, and in it the likeliest operators."""
        choices = tuple(int(logits.argmax()) for logits in self.genes)
        picks = [int(self.row(slot, choices).argmax()) for slot in range(len(self.gates))]
        return Path(choices, tuple(picks))

    def preference(self) -> Preference:
        """See `Distribution`; operators as they are likely in the likeliest structure."""
        with torch.no_grad():
            choices = self.likeliest().choices
            rows = [self.row(slot, choices).double() for slot in range(len(self.gates))]
            # Only differences count; `repair` asks for the best to be above zero.
            gates = tuple((row - row.max() + 1e-3).numpy() for row in rows)
        return Preference(gates, super().preference().genes, 1)

    def entropy(self) -> float:
        """See `Distribution`: bits of an operator that is taken or not."""
        with torch.no_grad():
            chances = torch.cat(self._marginals())
            bits = torch.special.entr(chances) + torch.special.entr(1 - chances)
        return float(bits.mean()) / float(torch.log(torch.tensor(2.0)))

    def snapshot(self) -> dict[str, Any]:
        """See `Distribution`; operators over all structures."""
        with torch.no_grad():
            gates = [[round(p, 4) for p in values.tolist()] for values in self._marginals()]
        return {**super().snapshot(), "gates": gates}

    def parameters(self) -> list[Tensor]:
        """See `Distribution`; then those of the joint distribution."""
        return [*super().parameters(), *self.own]

    def _rows(self) -> list[tuple[Tensor, Tensor]]:
        """For each slot how likely the widths (W,) are, and the logits (W, n) in each."""
        found = []
        for slot, gene in enumerate(self._width):
            own = self.own[slot] if self.joint else torch.zeros_like(self.own[slot])
            found.append((torch.softmax(self.genes[gene], 0), self.gates[slot] + own))
        return found

    def _marginals(self) -> list[Tensor]:
        return [chances @ torch.softmax(rows, 1) for chances, rows in self._rows()]


def _entropies(logits: Tensor) -> Tensor:
    """Of the last axis, nats."""
    each: Tensor = torch.special.entr(torch.softmax(logits, -1)).sum(-1)
    return each
