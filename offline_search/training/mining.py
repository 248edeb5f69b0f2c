# SPDX-License-Identifier: Apache-2.0
"""Hard views come more often: a training draws part of its samples by the losses it had on them.

Every view (a render of the object) has a score, the running mean of its losses. A share of the
samples is drawn with chances proportional to the scores, the others as ever, each view once in
every run through them. The scores that a batch is drawn by are those of the end of the round of
steps before the last: by then they are known, however far ahead worker processes make samples, so
neither the number of workers nor a stop and a new start changes what is drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Sampler

from offline_search.training.config import TrainConfig, TrainingError

#: Steps between updates of the chances; samples are made at most so many steps ahead.
ROUND: Final = 128
_NEWS: Final = 0.5  # weight of a view's last loss in its score
_PURPOSE: Final = 6  # keeps the random numbers apart from those of samples

Key = tuple[int, int]
"""Index of a sample, and the view that it shows."""


class ViewedSamples(Protocol):
    """Samples whose view can be chosen."""

    @property
    def views(self) -> int:
        """How many there are."""
        ...

    def view_of(self, index: int) -> int:
        """The view that sample `index` shows by itself."""
        ...

    def showing(self, index: int, view: int) -> object:
        """Sample `index`, but of that view."""
        ...


class Mining:
    """Scores of views, and the samples drawn by them.

    Attributes:
        scores: (3, views) the scores that this round draws by, those for the next, and those that
            are being learnt; nought: never seen.
    """

    def __init__(self, samples: ViewedSamples, config: TrainConfig) -> None:
        """Starts without scores: all views are equal.

        Raises:
            TrainingError: Samples would be made further ahead than scores are known.
        """
        self._samples = samples
        self._config = config
        if config.workers * 4 >= ROUND:
            raise TrainingError(
                f"training config: mining with {config.workers} workers: at most {ROUND // 4 - 1}"
            )
        self.scores: NDArray[np.float64] = np.zeros((3, samples.views))
        self._step = 0

    @staticmethod
    def of(samples: object, config: TrainConfig) -> Mining | None:
        """What a configuration asks for: None where `mining` is 0.

        Raises:
            TrainingError: It is asked for, but the samples' views cannot be chosen.
        """
        if config.mining == 0:
            return None
        if not all(hasattr(samples, name) for name in ("views", "view_of", "showing")):
            raise TrainingError(
                "training config: mining needs samples whose views can be chosen, which renders "
                "are and photographs are not; leave it out, or train without --data"
            )
        return Mining(samples, config)  # type: ignore[arg-type]

    def go_on(self, step: int, scores: NDArray[np.float64]) -> None:
        """Takes up a training at that step, with the scores that it had."""
        self._step, self.scores = step, scores.copy()

    def keys(self, step: int) -> list[Key]:
        """The samples of a step of this round or, made ahead, of the next."""
        size = self._config.batch
        ahead = step // ROUND - self._step // ROUND
        scores = self.scores[ahead]
        seen = scores > 0
        chances = np.where(seen, scores, scores[seen].mean() if seen.any() else 1.0)
        rng = np.random.default_rng(np.random.SeedSequence((self._config.seed, step, _PURPOSE)))
        mined = rng.random(size) < self._config.mining
        drawn = rng.choice(len(scores), size, p=chances / chances.sum())
        indices = range(step * size, (step + 1) * size)
        return [
            (index, int(drawn[place]) if mined[place] else self._samples.view_of(index))
            for place, index in enumerate(indices)
        ]

    def learn(self, views: Tensor, losses: Tensor) -> None:
        """Takes note of the losses (B,) of samples that show `views` (B,)."""
        learning = self.scores[2]
        for view, loss in zip(views.tolist(), losses.tolist(), strict=True):
            old = learning[view] or loss
            learning[view] = max(old + _NEWS * (loss - old), 1e-9)

    def end_step(self) -> None:
        """At the end of a round, what was learnt becomes what is drawn by after the next."""
        self._step += 1
        if self._step % ROUND == 0:
            self.scores[0], self.scores[1] = self.scores[1], self.scores[2]


class MinedSpan(Sampler[list[Key]]):
    """Keys of the batches from step `start` to `stop`."""

    def __init__(self, mining: Mining, start: int, stop: int) -> None:
        """See the class."""
        self._mining, self._steps = mining, range(start, stop)

    def __iter__(self) -> Iterator[list[Key]]:
        """One list of keys a step, drawn when it is asked for."""
        return (self._mining.keys(step) for step in self._steps)

    def __len__(self) -> int:
        """Steps left."""
        return len(self._steps)
