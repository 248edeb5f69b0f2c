# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose retrain`: trains one network from scratch, on renders or a dataset, or goes on."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal

from offline_search.data.datasets import FRAME_LAYER_PX, LocatorDataset, Ramp, as_ramp
from offline_search.data.film_poses import FilmFrames
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.open_source import pose_source
from offline_search.data.renderers import make_renderer
from offline_search.data.sources import PoseSamples, PoseSource, RenderedPoses, Split
from offline_search.space.architecture import Architecture, ArchitectureError
from offline_search.space.presets import preset
from offline_search.training.config import TrainConfig, TrainingError
from offline_search.training.film_features import FilmFeatures
from offline_search.training.locator_task import LocatorTask
from offline_search.training.loop import TrainResult, train
from offline_search.training.pose_task import PoseTask
from offline_search.training.seed_network import SeedNetwork, load_seed_network
from offline_search.training.task import Task
from offline_search.training.temporal_task import TemporalTask

Kind = Literal["pose", "locator"]

VALIDATION_SEED: Final = 900_001
"""Of held-out renders and samples; training seeds are smaller."""
CROP_MARGIN: Final = 1.28
"""Side of the crop in sides of the object's box, in training as on the robot."""
_EASY: Final = 0.15
"""Difficulty with which a curriculum starts."""
_FILMS_ALONE: Final = "a temporal cell learns from films: give --data films"


def retrain(
    objects: Sequence[str | Path | RenderableObject],
    *,
    kind: Kind,
    architecture: str | Path | Architecture,
    config: TrainConfig,
    out: Path,
    data: str | None = None,
    cache: Path | None = None,
    seed_network: str | Path | None = None,
) -> TrainResult:
    """Trains in the folder `out`; run again, it goes on where it was stopped.

    Args:
        objects: Names of built-in objects, object files, or loaded ones: one for a pose network,
            those of the bundle in the order of their classes for a locator. With `data` see
            `offline_search.data.open_source.pose_source`.
        kind: What the network is for.
        architecture: A preset's name, a JSON file, or the thing itself; see `load_architecture`.
        config: Settings.
        out: See `offline_search.training.loop.train`.
        data: `bop:PATH`, `speed:PATH` or `films`, for a pose network; renders where not given.
        cache: Folder of rendered layers; the user's cache folder by default.
        seed_network: Folder or weights of another training, whose weights this one starts from as
            far as they fit (see `offline_search.space.remap`); fresh ones by default.

    Raises:
        MeshError, DatasetError, ArchitectureError, TrainingError: With a message that says what
            to do.
    """
    seed = load_seed_network(seed_network) if seed_network is not None else None
    if data is not None:
        if kind != "pose":
            raise TrainingError(f"--data {data}: a {kind} is trained on renders; leave it out")
        names = [thing for thing in objects if isinstance(thing, str | Path)]
        source = pose_source(names, data, cache)
        network = load_architecture(architecture, len(source.model.keypoints))
        if network.cell is not None:
            temporal = make_temporal_task(source, network, config, seed, cache)
            return train(temporal, network, config, out, seed)
        return train(make_pose_task(source, network, config), network, config, out, seed)
    things = [
        thing if isinstance(thing, RenderableObject) else load_object(thing) for thing in objects
    ]
    task, network = make_task(things, kind, architecture, config, cache)
    return train(task, network, config, out, seed)


def make_task(
    things: Sequence[RenderableObject],
    kind: Kind,
    architecture: str | Path | Architecture,
    config: TrainConfig,
    cache: Path | None = None,
) -> tuple[Task, Architecture]:
    """The data and loss of a training, with its architecture."""
    if kind == "locator":
        _check_seed(config)
        network = load_architecture(architecture, len(things))
        shape, side = network.input_size, config.layer_px or FRAME_LAYER_PX
        frames = LocatorDataset(
            things,
            seed=config.seed,
            shape=shape,
            layers=config.layers,
            difficulty=curriculum(config),
            length=config.steps * config.batch,
            layer_px=side,
            renderer=make_renderer(config.renderer),
            cache=cache,
        )
        unseen_frames = LocatorDataset(
            things,
            seed=VALIDATION_SEED,
            shape=shape,
            layers=2 * config.validation,
            difficulty=config.difficulty,
            layer_px=side,
            cache=cache,
        )
        return LocatorTask(frames, unseen_frames, network, config), network
    if len(things) != 1:
        raise TrainingError(f"a pose network is trained for one object, not for {len(things)}")
    source = RenderedPoses(things[0], cache)
    network = load_architecture(architecture, len(source.model.keypoints))
    if network.cell is not None:
        raise TrainingError(_FILMS_ALONE)
    return make_pose_task(source, network, config), network


def make_pose_task(source: PoseSource, network: Architecture, config: TrainConfig) -> PoseTask:
    """The data and loss of a pose network's training.

    Raises:
        TrainingError: The network does not fit the object, or its input is not square.
    """
    _check_seed(config)
    height, width = network.input_size
    if height != width:
        raise TrainingError(f"a pose network needs a square input, not {width}x{height}")
    crops, unseen = (pose_samples(source, split, config, width) for split in ("train", "held_out"))
    return PoseTask(source.model, crops, unseen, network, config, CROP_MARGIN)


def make_temporal_task(
    source: PoseSource,
    network: Architecture,
    config: TrainConfig,
    seed_network: SeedNetwork | None,
    cache: Path | None = None,
) -> TemporalTask:
    """The data and loss of the training of a temporal cell, and of the head behind it.

    Raises:
        TrainingError: The source has no films, or none as long as the cell looks back, or there is
            no trained network of the same backbone.
    """
    task = make_pose_task(source, network, config)
    samples, unseen = task.samples, task.held_out
    if not (isinstance(samples, FilmFrames) and isinstance(unseen, FilmFrames)):
        raise TrainingError(_FILMS_ALONE)
    if seed_network is None or not _same_backbone(seed_network.network.architecture, network):
        raise TrainingError(
            "a temporal cell is trained on the features of its own network, trained before: give "
            "that as --seed-network"
        )
    return TemporalTask(
        source.model,
        samples,
        unseen,
        network,
        config,
        CROP_MARGIN,
        features=FilmFeatures(cache, samples.store, seed_network),
        unseen=FilmFeatures(cache, unseen.store, seed_network),
    )


def _same_backbone(one: Architecture, other: Architecture) -> bool:
    return replace(one, cell=None) == replace(other, cell=None)


def _check_seed(config: TrainConfig) -> None:
    if config.seed >= VALIDATION_SEED:
        raise TrainingError(f"training config: seed must be below {VALIDATION_SEED}")


def pose_samples(
    source: PoseSource,
    split: Split,
    config: TrainConfig,
    resolution: int,
    *,
    seed: int | None = None,
) -> PoseSamples:
    """Crops as a training draws them: a curriculum of difficulty in the training split.

    Args:
        source: Of the object.
        split: What is trained on, or what never is.
        config: The training's.
        resolution: Side of the crops, px.
        seed: Of the samples; by default the training's, or that of all validations.
    """
    training = split == "train"
    return source.samples(
        split,
        seed=seed if seed is not None else config.seed if training else VALIDATION_SEED,
        resolution=resolution,
        margin=CROP_MARGIN,
        layers=config.layers if training else 2 * config.validation,
        layer_px=config.layer_px,
        difficulty=curriculum(config) if training else as_ramp(config.difficulty),
        length=config.steps * config.batch if training else 2 * config.validation,
        renderer=config.renderer,
    )


def curriculum(config: TrainConfig) -> Ramp:
    """Difficulty over the samples of a training."""
    hardest = config.difficulty
    return Ramp(min(_EASY, hardest), hardest, round(config.curriculum * config.images))


def load_architecture(source: str | Path | Architecture, outputs: int) -> Architecture:
    """A preset by name with that many outputs, or an architecture from a JSON file.

    `NAME@SIDE` or `FILE.json@SIDE` is the same for an input of SIDE x SIDE px.

    Raises:
        ArchitectureError: There is no such preset or file, or it does not fit.
    """
    if not isinstance(source, str | Path):
        return source
    name, at, side = str(source).rpartition("@")
    if at and side.isdecimal():
        return replace(load_architecture(name, outputs), input_size=(int(side), int(side)))
    path = Path(source)
    if path.suffix != ".json":
        return preset(str(source), outputs)
    try:
        document = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ArchitectureError(f"{path}: no architecture can be read from it ({error})") from error
    # architecture.json of a training or a search wraps it together with its cost
    return Architecture.from_json(document.get("architecture", document))
