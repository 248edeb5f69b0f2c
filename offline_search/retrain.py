# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose retrain`: trains one network from scratch on renders of objects, or goes on with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from offline_search.data.datasets import LocatorDataset, PoseDataset, Ramp
from offline_search.data.objects import RenderableObject, load_object
from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.presets import preset
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.locator_task import LocatorTask
from offline_search.training.loop import TrainResult, train
from offline_search.training.pose_task import PoseTask
from offline_search.training.task import Task

Kind = Literal["pose", "locator"]

VALIDATION_SEED: Final = 900_001
"""Of held-out renders and samples; training seeds are smaller."""
CROP_MARGIN: Final = 1.28
"""Side of the crop in sides of the object's box, in training as on the robot."""
_EASY: Final = 0.15
"""Difficulty with which a curriculum starts."""


def retrain(
    objects: Sequence[str | Path | RenderableObject],
    *,
    kind: Kind,
    architecture: str | Path | Architecture,
    config: TrainConfig,
    out: Path,
    cache: Path | None = None,
) -> TrainResult:
    """Trains in the folder `out`; run again, it goes on where it was stopped.

    Args:
        objects: Names of built-in objects, object files, or loaded ones: one for a pose network,
            those of the bundle in the order of their classes for a locator.
        kind: What the network is for.
        architecture: A preset's name, a JSON file, or the thing itself.
        config: Settings.
        out: See `offline_search.training.loop.train`.
        cache: Folder of rendered layers; the user's cache folder by default.

    Raises:
        MeshError, ArchitectureError, TrainingError: With a message that says what to do.
    """
    things = [
        thing if isinstance(thing, RenderableObject) else load_object(thing) for thing in objects
    ]
    task, network = make_task(things, kind, architecture, config, cache)
    return train(task, network, config, out)


def make_task(
    things: Sequence[RenderableObject],
    kind: Kind,
    architecture: str | Path | Architecture,
    config: TrainConfig,
    cache: Path | None = None,
) -> tuple[Task, Architecture]:
    """The data and loss of a training, with its architecture."""
    if config.seed >= VALIDATION_SEED:
        raise TrainingError(f"training config: seed must be below {VALIDATION_SEED}")
    difficulty = Ramp(_EASY, 1.0, round(config.curriculum * config.images))
    length, held_out = config.steps * config.batch, 2 * config.validation
    if kind == "locator":
        network = load_architecture(architecture, len(things))
        shape = network.input_size
        frames = LocatorDataset(
            things,
            seed=config.seed,
            shape=shape,
            layers=config.layers,
            difficulty=difficulty,
            length=length,
            cache=cache,
        )
        unseen_frames = LocatorDataset(
            things, seed=VALIDATION_SEED, shape=shape, layers=held_out, cache=cache
        )
        return LocatorTask(frames, unseen_frames, network, config), network
    if len(things) != 1:
        raise TrainingError(f"a pose network is trained for one object, not for {len(things)}")
    thing = things[0]
    network = load_architecture(architecture, len(thing.model.keypoints))
    height, width = network.input_size
    if height != width:
        raise TrainingError(f"a pose network needs a square input, not {width}x{height}")
    crops = PoseDataset(
        thing,
        seed=config.seed,
        resolution=width,
        layers=config.layers,
        difficulty=difficulty,
        length=length,
        margin=CROP_MARGIN,
        cache=cache,
    )
    unseen_crops = PoseDataset(
        thing,
        seed=VALIDATION_SEED,
        resolution=width,
        layers=held_out,
        margin=CROP_MARGIN,
        cache=cache,
    )
    return PoseTask(thing.model, crops, unseen_crops, network, config, CROP_MARGIN), network


def load_architecture(source: str | Path | Architecture, outputs: int) -> Architecture:
    """A preset by name with that many outputs, or an architecture from a JSON file.

    Raises:
        ArchitectureError: There is no such preset or file, or it does not fit.
    """
    if isinstance(source, Architecture):
        return source
    path = Path(source)
    if path.suffix != ".json":
        return preset(str(source), outputs)
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArchitectureError(f"{path}: no architecture can be read from it ({error})") from error
    # architecture.json of a training or a search wraps it together with its cost
    return Architecture.from_json(document.get("architecture", document))
