# SPDX-License-Identifier: Apache-2.0
"""What a bundle is to be made of: a request, looked up, checked and given a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.datasets import FRAME_LAYER_PX, layer_resolution
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.renderers import DEFAULT_RENDERER, RendererName
from offline_search.prepare import Search, SharedTraining, Training
from offline_search.retrain import CROP_MARGIN, load_architecture
from offline_search.retrain_shared import pose_folder
from offline_search.search import SearchRequest
from offline_search.search_stages import check
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.space.shared import with_outputs
from offline_search.space.temporal_space import TemporalSpace
from offline_search.strategies.problem import Budget
from offline_search.training.claim import claim
from offline_search.training.config import TrainConfig

REQUEST_FILE: Final = "pipeline.json"


class PipelineError(FpgPoseError):
    """A request that cannot be carried out as it stands; the message says what to change."""


@dataclass(frozen=True)
class Request:
    """What a bundle is to be made of.

    Attributes:
        objects: names or files of objects; all of them share the locator.
        images: training samples of each pose network.
        locator_images: training samples of the locator.
        architecture: preset or JSON file of the pose networks; None: each object's is searched for.
        budget_macs: most MACs a pose network may cost; a search needs it.
        space: name or YAML file of the space that is searched.
        strategy: name of the strategy that searches it.
        strategy_settings: the strategy's own settings.
        search_images: compute of a search: that of training a network of the budget on so many.
        locator_architecture: preset or JSON file of the locator.
        seed: of everything that is random.
        layers: different renders of each object.
        renderer: of the renders that are trained on, see `TrainConfig`.
        frames: held-out frames the finished bundle is judged on.
        name: of the bundle; the objects' names where empty.
        settings: further fields of `TrainConfig`, for all searches and trainings.
        locator_settings: those that are others for the locator.
        shared_backbone: the pose networks come from one training, see `retrain_shared`; without
            `architecture` that of the first object is searched for, and serves all.
    """

    objects: tuple[str, ...]
    images: int
    locator_images: int
    architecture: str | None = None
    budget_macs: int | None = None
    space: str = "small"
    strategy: str = "fpg"
    strategy_settings: Mapping[str, Any] = field(default_factory=dict)
    search_images: int = 8000
    locator_architecture: str = "locator"
    seed: int = 0
    layers: int = 6000
    renderer: RendererName = DEFAULT_RENDERER
    frames: int = 200
    name: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    locator_settings: Mapping[str, Any] = field(default_factory=dict)
    shared_backbone: bool = False

    def config(self, images: int) -> TrainConfig:
        """The settings of a training on that many samples."""
        base = TrainConfig(
            images=images, seed=self.seed, layers=self.layers, renderer=self.renderer
        )
        return TrainConfig.from_json({**base.to_json(), **self.settings, "images": images})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


@dataclass(frozen=True, eq=False)
class Plan:
    """A request whose objects and architectures have been looked up and found to fit.

    Attributes:
        request: what was asked for.
        out: folder of everything.
        things: the objects.
        searches: one for each object, or for the first where the backbone is shared; none where
            the architecture is given.
        poses: trainings of the pose networks, one for each object.
        locator: training of the locator.
        shared: what takes the place of running `poses` where the backbone is shared.
    """

    request: Request
    out: Path
    things: tuple[RenderableObject, ...]
    searches: tuple[Search, ...]
    poses: tuple[Training, ...]
    locator: Training
    shared: SharedTraining | None = None

    @property
    def name(self) -> str:
        """The bundle's."""
        return self.request.name or "+".join(thing.model.name for thing in self.things)

    @property
    def trainings(self) -> tuple[Training | SharedTraining, ...]:
        """What is run to have all networks."""
        return (*([self.shared] if self.shared else self.poses), self.locator)

    @property
    def works(self) -> tuple[Search | Training | SharedTraining, ...]:
        """All that takes minutes."""
        return (*self.searches, *self.trainings)


def make_plan(request: Request, out: Path, command: str | None = None) -> Plan:
    """Looks everything up, checks it, and claims the folder.

    Args:
        request: what is wanted.
        out: folder for everything.
        command: the command line that searches note; this process's by default.

    Raises:
        PipelineError: the folder holds another request, a network exceeds the budget or has a
            temporal cell, or objects cannot share a backbone.
        SearchError: space or strategy do not exist, or all networks exceed the budget.
        MeshError, ArchitectureError, TrainingError: see `offline_search.retrain`.
    """
    if not request.objects:
        raise PipelineError("no object is named; give --object NAME or --object FILE")
    things = tuple(load_object(name) for name in request.objects)
    names = [thing.model.name for thing in things]
    if len(set(names)) < len(names):
        raise PipelineError(f"objects {', '.join(names)}: two have the same name; rename one")
    if request.shared_backbone:
        _check_sharing(request, things)
    if request.architecture is None and isinstance(load_space(request.space), TemporalSpace):
        raise PipelineError(
            f"space {request.space}: a temporal cell is searched for a network that is trained "
            f"already: `fpg-pose search --space {request.space} --seed-network FOLDER`, then "
            "`fpg-pose export`"
        )
    config = _config(request)
    searches: list[Search] = []
    poses: list[Training] = []
    for source, thing in zip(request.objects, things, strict=True):
        network: Architecture | Search
        if request.architecture is not None:
            network = load_architecture(request.architecture, len(thing.model.keypoints))
            if request.shared_backbone:
                network = with_outputs(network, len(thing.model.keypoints))
            _check_given(network, request)
        elif request.shared_backbone and searches:
            network = searches[0]
        else:
            network = _search(request, source, thing, config, out, command)
            searches.append(network)
        folder = pose_folder(out, thing.model.name)
        poses.append(Training("pose", (source,), network, config, folder))
    shared = SharedTraining(tuple(poses)) if request.shared_backbone else None
    locator = Training(
        "locator",
        request.objects,
        load_architecture(request.locator_architecture, len(things)),
        replace(config, images=request.locator_images, **request.locator_settings),
        out / "locator",
    )
    # A folder from before an option existed goes on.
    defaults = Request((), images=0, locator_images=0).to_json()
    claim(out / REQUEST_FILE, request.to_json(), "run", PipelineError, defaults)
    return Plan(request, out, things, tuple(searches), tuple(poses), locator, shared)


def _config(request: Request) -> TrainConfig:
    """Of the pose networks' trainings.

    Where they are searched for, renders are as large as suits all networks of the space, and the
    locator's frames, so that searches and trainings draw from the same ones.
    """
    config = request.config(request.images)
    if request.architecture is not None or config.layer_px is not None:
        return config
    crops = layer_resolution(load_space(request.space).largest_input, CROP_MARGIN)
    return replace(config, layer_px=max(crops, FRAME_LAYER_PX))


def _search(
    request: Request,
    source: str,
    thing: RenderableObject,
    config: TrainConfig,
    out: Path,
    command: str | None,
) -> Search:
    """The search for an object's network, after a check that it can find one."""
    if request.budget_macs is None:
        raise PipelineError(
            "a search needs a budget: give --budget 30M, or a network by --architecture"
        )
    check(
        load_space(request.space),
        len(thing.model.keypoints),
        Budget(request.budget_macs, MacsMeter()),
        request.strategy,
        request.strategy_settings,
        request.seed,
    )
    wanted = SearchRequest(
        objects=(source,),
        budget=request.budget_macs,
        space=request.space,
        strategy=request.strategy,
        strategy_settings=request.strategy_settings,
        seed=request.seed,
        renderer=config.renderer,
        images=request.search_images,
        retrain_images=0,
        ranking=0,
        settings={**request.settings, "layers": config.layers, "layer_px": config.layer_px},
    )
    return Search(wanted, out / f"search-{thing.model.name}", command)


def _check_sharing(request: Request, things: Sequence[RenderableObject]) -> None:
    """Whether one architecture can be had for all objects, within the budget."""
    first, *others = things
    if not others:
        raise PipelineError(
            f"only {first.model.name} is named: a backbone is shared by two or more objects; name "
            "them by --object, or leave --shared-backbone out"
        )
    most = max(things, key=lambda thing: len(thing.model.keypoints)).model
    if request.architecture is None and load_space(request.space).keypoints:
        raise PipelineError(
            f"space {request.space} leaves open how many keypoints a network finds, and with a "
            "shared backbone each object's head finds all of its own: choose another --space, or "
            "leave --shared-backbone out"
        )
    if request.architecture is None and len(most.keypoints) > len(first.model.keypoints):
        raise PipelineError(
            f"a network that is searched for {first.model.name} could exceed the budget for "
            f"{most.name}, which has more keypoints ({len(most.keypoints)}); name {most.name} "
            "first, or give --architecture"
        )


def _check_given(network: Architecture, request: Request) -> None:
    """Whether a given architecture can be trained here, within the budget."""
    if network.cell is not None:
        raise PipelineError(
            f"architecture {request.architecture} has a temporal cell, which is trained on films "
            "after its network: `fpg-pose search --space temporal --seed-network FOLDER`, or "
            "`fpg-pose retrain --data films --seed-network FOLDER`, then `fpg-pose export`"
        )
    macs, budget = cost(network).macs, request.budget_macs
    if budget is not None and macs > budget:
        raise PipelineError(
            f"architecture {request.architecture} costs {macs / 1e6:.1f} million MACs, more than "
            f"the budget of {budget / 1e6:.1f}; choose a smaller one or raise --budget"
        )
