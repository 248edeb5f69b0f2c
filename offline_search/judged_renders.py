# SPDX-License-Identifier: Apache-2.0
"""What a bundle says of an object on renders of many scenes, beside the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Final

from tqdm import tqdm

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.estimator import Estimator, Limits
from fpg_pose_ros.memory import MemorySpec
from fpg_pose_ros.solve import SolveError
from fpg_pose_ros.sources import Frame
from fpg_pose_ros.steps import RejectedError
from fpg_pose_ros.tracking.recollection import Recollection
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject
from offline_search.evaluation import claim_of, geometry_of, require_objects
from offline_search.metrics.trust import Judged, judge

_FRAMES_A_SCENE: Final = 3
_SECONDS_APART: Final = 3.0


def judge_renders(
    bundle: Bundle, item: RenderableObject, images: int, seed: int, threads: int = 1
) -> list[Judged]:
    """What a bundle says of an object on renders of many scenes, whatever its score.

    A network with a memory is told of the images just before, as while it is tracked.

    Args:
        bundle: must hold the object.
        item: the object.
        images: how many are judged; three of a scene, seconds apart.
        seed: of the first scene; the others count on from it.
        threads: of one inference.
    """
    name = item.model.name
    require_objects(bundle, [name])
    geometry = geometry_of(item)
    names = [one.model.name for one in bundle.objects]
    memory = bundle.objects[names.index(name)].network.memory
    estimator = Estimator(bundle, threads=threads, limits=Limits(min_score=0.0))
    found: list[Judged] = []
    films = _films(item, images, seed, memory)
    for film in tqdm(films, "calibrate", images, unit="frame", dynamic_ncols=True):
        said = _said_of_last(estimator, film, names.index(name), memory)
        found += judge([claim_of(one) for one in said], film[-1].ground_truth[name][None], geometry)
    return found


def _films(
    item: RenderableObject, images: int, seed: int, memory: MemorySpec | None
) -> Iterator[list[Frame]]:
    """Each image to be judged, after those that the network is told of."""
    lags = () if memory is None else memory.lags
    fps = 1 / _SECONDS_APART if memory is None else memory.fps
    apart, first = round(_SECONDS_APART * fps), max(lags, default=0)
    count = first + (_FRAMES_A_SCENE - 1) * apart + 1
    for number in range(images):
        scene_number, place = divmod(number, _FRAMES_A_SCENE)
        if place == 0:
            scene = LiveScene(item, seed=seed + scene_number, fps=fps, duration=count / fps)
        at = first + place * apart
        yield [scene.frame(at - lag) for lag in (*reversed(lags), 0)]


def _said_of_last(
    estimator: Estimator, film: Sequence[Frame], index: int, memory: MemorySpec | None
) -> list[PoseEstimate]:
    """The pose of an object in a film's last image; empty where none is found."""
    recollection = None if memory is None else Recollection(memory)
    said: list[PoseEstimate] = []
    for frame in film:
        assert frame.camera is not None
        remembered = None if recollection is None else recollection.recall(frame.stamp_ns)
        said = []
        for detection in estimator.locate(frame.image, frame.camera):
            if detection.class_index == index:
                with suppress(SolveError, RejectedError):
                    said.append(
                        estimator.follow_up(
                            frame.image,
                            frame.camera,
                            detection,
                            frame.stamp_ns,
                            remembered=remembered,
                        )
                    )
        if recollection is not None and said and said[0].glimpse is not None:
            recollection.keep(said[0].glimpse, frame.stamp_ns)
    return said
