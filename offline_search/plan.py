# SPDX-License-Identifier: Apache-2.0
"""What a bundle is to be made of: a request, looked up, checked and given a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from fpg_pose_ros.errors import FpgPoseError
from offline_search.data.objects import RenderableObject, load_object
from offline_search.prepare import Training
from offline_search.retrain import load_architecture
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.training.checkpoint import write_atomic
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
        architecture: preset or JSON file of the pose networks.
        locator_architecture: preset or JSON file of the locator.
        seed: of everything that is random.
        layers: different renders of each object.
        budget_macs: most MACs a pose network may cost, or None.
        frames: held-out frames the finished bundle is judged on.
        name: of the bundle; the objects' names where empty.
        settings: further fields of `TrainConfig`, for all trainings.
    """

    objects: tuple[str, ...]
    images: int
    locator_images: int
    architecture: str = "small"
    locator_architecture: str = "locator"
    seed: int = 0
    layers: int = 6000
    budget_macs: int | None = None
    frames: int = 200
    name: str = ""
    settings: Mapping[str, Any] | None = None

    def config(self, images: int) -> TrainConfig:
        """The settings of a training on that many samples."""
        base = TrainConfig(images=images, seed=self.seed, layers=self.layers)
        return TrainConfig.from_json({**base.to_json(), **(self.settings or {}), "images": images})

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        document: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return document


@dataclass(frozen=True, eq=False)
class Plan:
    """A request whose objects and architectures have been looked up and found to fit."""

    request: Request
    out: Path
    things: tuple[RenderableObject, ...]
    poses: tuple[Training, ...]
    locator: Training

    @property
    def name(self) -> str:
        """The bundle's."""
        return self.request.name or "+".join(thing.model.name for thing in self.things)


def make_plan(request: Request, out: Path) -> Plan:
    """Looks everything up, checks it, and claims the folder.

    Raises:
        PipelineError: the folder holds another request, or a network exceeds the budget.
        MeshError, ArchitectureError, TrainingError: see `offline_search.retrain`.
    """
    if not request.objects:
        raise PipelineError("no object is named; give --object NAME or --object FILE")
    things = tuple(load_object(name) for name in request.objects)
    names = [thing.model.name for thing in things]
    if len(set(names)) < len(names):
        raise PipelineError(f"objects {', '.join(names)}: two have the same name; rename one")
    poses = []
    for source, thing in zip(request.objects, things, strict=True):
        network = load_architecture(request.architecture, len(thing.model.keypoints))
        _check_budget(network, request)
        folder = out / f"pose-{thing.model.name}"
        config = request.config(request.images)
        poses.append(Training("pose", (source,), network, config, folder))
    locator = Training(
        "locator",
        request.objects,
        load_architecture(request.locator_architecture, len(things)),
        request.config(request.locator_images),
        out / "locator",
    )
    _claim(out, request)
    return Plan(request, out, things, tuple(poses), locator)


def _check_budget(network: Architecture, request: Request) -> None:
    macs, budget = cost(network).macs, request.budget_macs
    if budget is not None and macs > budget:
        raise PipelineError(
            f"architecture {request.architecture} costs {macs / 1e6:.1f} million MACs, more than "
            f"the budget of {budget / 1e6:.1f}; choose a smaller one or raise --budget"
        )


def _claim(out: Path, request: Request) -> None:
    place, wanted = out / REQUEST_FILE, request.to_json()
    if place.exists():
        try:
            held = json.loads(place.read_text())
        except ValueError as error:
            raise PipelineError(f"{place} is damaged ({error}); delete the folder") from None
        different = [key for key in wanted if held.get(key) != wanted[key]]
        if different:
            raise PipelineError(
                f"{out} belongs to a run with another {', '.join(different)}; "
                "choose another --out, or delete the folder to start again"
            )
        return
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(place, (json.dumps(wanted, indent=1) + "\n").encode())
