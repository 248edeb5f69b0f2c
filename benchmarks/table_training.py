# SPDX-License-Identifier: Apache-2.0
"""The recipe of the table, and what is run by it: a training of a network, a search by a strategy.

All networks are trained on the same samples in the same order, which each process composes once;
a training then costs little beside its network's own arithmetic.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, default_collate

from benchmarks.common import ROOT
from offline_search.data.compose import PoseSample
from offline_search.data.datasets import PoseDataset
from offline_search.data.layers import LayerStore
from offline_search.data.objects import load_object
from offline_search.data.sources import RenderedPoses
from offline_search.retrain import CROP_MARGIN, VALIDATION_SEED, pose_samples
from offline_search.search_stages import SELECTION_SEED, find, make_problem
from offline_search.space.architecture import Architecture
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget
from offline_search.tabular.table import Search, Training
from offline_search.training.config import TrainConfig
from offline_search.training.feed import to_input
from offline_search.training.loop import train
from offline_search.training.pose_task import PoseTask
from offline_search.training.pose_validation import judge, predict
from offline_search.training.task import Verdict

OBJECT: Final = "spot"
SPACE: Final = "table"
BUDGET_MACS: Final = 3_500_000
"""Of all searches: the middle of what the space's networks cost."""
BUDGET: Final = Budget(BUDGET_MACS, MacsMeter())
IMAGES: Final = 8192
"""Samples of a training in full."""
SHORT_IMAGES: Final = IMAGES // 4
"""Of a short one, as strategies make that compare trained candidates of just the budget."""
SEEDS: Final = (0, 1)
SHORT_SEEDS: Final = (10, 11, 12, 13)
"""Others than `SEEDS`: what a strategy sees of a network is no part of what it is judged by."""
SEARCH_SEEDS: Final = (20, 21, 22)
SETTINGS: Final[Mapping[str, Mapping[str, Any]]] = {"sm_nas": {"latency": "parts"}}
"""Of strategies that have others here than their defaults: nothing is timed beside trainings."""
LEVELS: Final = (0.5, 1.0, 2.0)
"""Compute of a search, in trainings in full of a network of the budget."""
CURVE_POINTS: Final = 8
"""Of a training: its held-out loss after each eighth."""
JUDGED: Final = 256
"""Held-out samples of every figure."""
_JUDGED_BATCH: Final = 64
# Written out: a default that changes elsewhere must not change half of a table.
_DECIDES: Final[Mapping[str, Any]] = {
    "batch": 8,
    "shards": 1,
    "lr": 5e-3,
    "weight_decay": 0.02,
    "warmup": 0.06,
    "ema": 0.995,
    "sigma_px": 3.0,
    "precision": "float32",
    "threads": 1,
    "workers": 0,
    "layers": 2000,
    "layer_px": 80,
    "renderer": "embree",
    "curriculum": 0.0,
    "difficulty": 0.0,
    "validations": CURVE_POINTS - 1,
}


def recipe(images: int, seed: int) -> TrainConfig:
    """The training of every network, and of a search's weights."""
    own = {"images": images, "seed": seed, "checkpoint_images": images}
    return TrainConfig.from_json({**_DECIDES, "validation": JUDGED, **own})


def recipe_digest() -> str:
    """SHA-256 of all that decides a training besides its samples, and of the searches' budget."""
    space = load_space(SPACE).to_json()
    decides = [OBJECT, space, _DECIDES, IMAGES, SHORT_IMAGES, JUDGED, BUDGET_MACS]
    return hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()


def architectures() -> list[Architecture]:
    """All of the space."""
    space, outputs = load_space(SPACE), len(source().model.keypoints)
    return [space.architecture(point, outputs) for point in space.points()]


@lru_cache(maxsize=1)
def source() -> RenderedPoses:
    """The object of the table."""
    return RenderedPoses(load_object(ROOT / "objects" / f"{OBJECT}.yaml"))


@dataclass(frozen=True, eq=False)
class _Kept(Dataset[dict[str, Tensor]]):
    """Encoded samples in memory, and a digest of them."""

    samples: Sequence[dict[str, Tensor]]
    digest: str

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.samples[index]


@dataclass
class _TableTask(PoseTask):
    """A `PoseTask` on samples that are kept, judged by its held-out loss on the way."""

    kept: _Kept | None = None
    unseen: _Kept | None = None
    curve: list[float] = field(default_factory=list)

    def dataset(self, easiest_of: int | None = None) -> Dataset[dict[str, Tensor]]:
        """See `Task`."""
        assert self.kept is not None
        return self.kept

    @torch.no_grad()
    def validate(self, network: nn.Module, count: int) -> dict[str, float]:
        """The divergence on all held-out samples, nats; see `PoseTask.loss`."""
        assert self.unseen is not None
        total, samples = 0.0, self.unseen.samples
        for start in range(0, len(samples), _JUDGED_BATCH):
            batch = default_collate(list(samples[start : start + _JUDGED_BATCH]))
            outputs = network(to_input(batch["image"], torch.device("cpu")))
            figures = self.loss(outputs, batch)[1]
            total += float(figures["divergence"]) * len(batch["image"])
        self.curve.append(total / len(samples))
        return {"loss": self.curve[-1]}

    def finish(self, network: nn.Module, count: int) -> Verdict:
        """The same, and pose errors with the decoding that needs no choice."""
        figures = self.validate(network, count)
        predictions = predict(network, self.model, self.held_out, range(count))
        extra = {"sigma_px": self.config.sigma_px}
        return Verdict({**judge(predictions, self.model, self.architecture, extra), **figures})


def train_one(architecture: Architecture, images: int, seed: int) -> Training:
    """Trains a network of the table.

    Args:
        architecture: The network's.
        images: `IMAGES`, or `SHORT_IMAGES`: judged then by the samples that searches choose by.
        seed: Of weights and samples.
    """
    config = recipe(images, seed)
    held_out_seed = VALIDATION_SEED if images == IMAGES else SELECTION_SEED
    samples, unseen = _held_out(held_out_seed)
    task = _TableTask(
        model=source().model,
        samples=samples,
        held_out=samples,
        architecture=architecture,
        config=config,
        crop_margin=CROP_MARGIN,
        kept=_training(images, seed),
        unseen=unseen,
    )
    folder = Path(tempfile.mkdtemp(prefix="fpg-pose-table-"))
    try:
        result = train(task, architecture, config, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert task.kept is not None
    return Training(
        network=architecture.digest,
        images=images,
        seed=seed,
        curve=tuple(round(value, 5) for value in task.curve),
        keypoint_px=round(result.metrics["keypoint_px"], 4),
        add_auc=round(result.metrics["add_auc"], 5),
        add01=round(result.metrics["add01"], 5),
        minutes=round(result.minutes, 3),
        data=hashlib.sha256((task.kept.digest + unseen.digest).encode()).hexdigest()[:16],
    )


def search_one(strategy: str, level: float, seed: int, folder: Path) -> Search:
    """Searches in the table's space, in a folder; goes on with what is in it.

    Args:
        strategy: Its name.
        level: Compute, in trainings in full of a network of the budget.
        seed: Of the search.
        folder: Of the search.

    Raises:
        ArchitectureError: What was found is not of the space.
        SearchError, TrainingError: See `find`.
    """
    config = replace(recipe(round(level * IMAGES), seed), validations=0)
    problem = make_problem(source(), load_space(SPACE), BUDGET, config)
    outcome = find(problem, strategy, SETTINGS.get(strategy, {}), folder)
    problem.space.point(outcome.architecture)  # what is not of the space, the table cannot judge
    ranking = [(outcome.architecture, outcome.estimate), *outcome.rivals]
    settings = outcome.details.get("settings", {})
    return Search(
        strategy=strategy,
        settings=settings,
        level=level,
        # BN-NAS leaves most of what it is given.
        compute=level * settings.get("share", 1.0),
        seed=seed,
        found=outcome.architecture.digest,
        ranking=tuple(
            (network.digest, float(f"{estimate:.6g}"))
            for network, estimate in ranking
            if estimate is not None
        ),
        minutes=round(outcome.minutes, 3),
    )


@lru_cache(maxsize=1)
def _training(images: int, seed: int) -> _Kept:
    return _kept(pose_samples(source(), "train", recipe(images, seed), _side()), images)


@lru_cache(maxsize=2)
def _held_out(seed: int) -> tuple[list[PoseSample], _Kept]:
    crops = pose_samples(source(), "held_out", recipe(IMAGES, 0), _side(), seed=seed)
    samples = [crops[index] for index in range(JUDGED)]
    return samples, _kept(samples, JUDGED)


def _kept(samples: Any, count: int) -> _Kept:
    """The first samples as a training of any network of the space is shown them."""
    config = recipe(IMAGES, 0)
    task = PoseTask(source().model, samples, samples, architectures()[0], config, CROP_MARGIN)
    encoded = [task.dataset()[index] for index in range(count)]
    digest = hashlib.sha256()
    for sample in encoded:
        for name in sorted(sample):
            digest.update(sample[name].numpy().tobytes())
    return _Kept(encoded, digest.hexdigest())


def _side() -> int:
    return load_space(SPACE).largest_input


def layer_stores() -> list[LayerStore]:
    """All renders of the object that are shown, and the things around it."""
    configs = [recipe(IMAGES, seed) for seed in (*SEEDS, *SHORT_SEEDS, *SEARCH_SEEDS)]
    crops = [pose_samples(source(), "train", config, _side()) for config in configs]
    crops += [
        pose_samples(source(), "held_out", configs[0], _side(), seed=seed)
        for seed in (VALIDATION_SEED, SELECTION_SEED)
    ]
    made = [one for one in crops if isinstance(one, PoseDataset)]
    return [*(one.layers for one in made), made[0].clutter]
