# SPDX-License-Identifier: Apache-2.0
"""What a bundle is judged on, behind one form, and the judging itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.estimator import EstimateResult, Estimator, Limits, PoseEstimate
from fpg_pose_ros.geometry import Array, Camera
from fpg_pose_ros.localise import Detection
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings
from offline_search.data.meshes import TexturedMesh
from offline_search.evaluation import Evaluation, EvaluationError, claim_of, make_evaluation
from offline_search.metrics.scores import ObjectGeometry, Target, score, stack_poses
from offline_search.metrics.speed import SpeedFigures, speed_figures
from offline_search.metrics.trust import Judged, judge
from offline_search.report.case import Case, cases_of
from offline_search.surfaces import Surfaces

Image = NDArray[np.uint8]
_UP = np.array([0.0, 0.0, 1.0])


@dataclass(frozen=True, eq=False)
class Wanted:
    """The instances of an object that have to be found in an image.

    Attributes:
        name: the bundle's name of it.
        truth: (G, 4, 4) true T_camera_object, m, at least one.
        visible: (G,) share of each that is to be seen, 0 to 1; NaN where it is not known.
    """

    name: str
    truth: Array
    visible: Array


@dataclass(frozen=True, eq=False)
class Sight:
    """An image, and what has to be found in it.

    Attributes:
        label: of the image, for people.
        image: (H, W, 3) RGB.
        camera: of it.
        wanted: by object.
        again: gives the image once more, for pictures of a few.
        depth: (H, W) along z, m, 0 where nothing was measured; None where there is none.
        stamp_ns: time of the image; of a film.
    """

    label: str
    image: Image
    camera: Camera
    wanted: tuple[Wanted, ...]
    again: Callable[[], Image]
    depth: Array | None = None
    stamp_ns: int = 0


@dataclass(frozen=True, eq=False)
class Exam:
    """What a bundle is judged on.

    Attributes:
        data: in words.
        sights: one after another, each read when it is its turn.
        count: how many.
        geometries: what errors depend on, by the bundle's object names.
        meshes: for VSD, of the same objects; empty: there is no depth.
        up: what points upwards in an object's frame; z where it is not named.
        limits: of the estimator.
        spacecraft: whether the SPEED score is asked for.
    """

    data: str
    sights: Iterable[Sight]
    count: int
    geometries: Mapping[str, ObjectGeometry]
    meshes: Mapping[str, TexturedMesh] = field(default_factory=dict)
    up: Mapping[str, Array] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    spacecraft: bool = False


@dataclass(frozen=True, eq=False)
class Verdict:
    """What came of it.

    Attributes:
        evaluation: the figures.
        cases: each instance that had to be found.
        results: what the estimator gave, by image.
    """

    evaluation: Evaluation
    cases: tuple[Case, ...]
    results: tuple[EstimateResult, ...]


class _Counting(Estimator):
    """Counts what its pose networks compute, whatever comes of it."""

    macs = 0

    def follow_up(
        self, image: Image, camera: Camera, detection: Detection, *further: Any, **named: Any
    ) -> PoseEstimate:
        """See `Estimator`."""
        self.macs += self.bundle.objects[detection.class_index].network.macs
        return super().follow_up(image, camera, detection, *further, **named)


def examine(
    bundle: Bundle,
    exam: Exam,
    *,
    backend: str = "onnxruntime",
    threads: int = 1,
    device: str = "cpu",
    track: bool = False,
) -> Verdict:
    """Judges a bundle by the very estimator that runs on the robot.

    Args:
        bundle: holds the objects.
        exam: what on.
        backend: what runs the networks, see `fpg_pose_ros.backends`.
        threads: of one inference.
        device: cpu or cuda.
        track: whether the images are one film, through which things are followed as the node does;
            else each stands alone.

    Raises:
        EvaluationError: none of the images shows what is to be found.
    """
    estimator = _Counting(
        bundle, backend=backend, threads=threads, device=device, limits=exam.limits
    )
    tracker = PoseTracker([estimator], TrackingSettings(enabled=track))
    surfaces = Surfaces(exam.meshes, {n: g.diameter for n, g in exam.geometries.items()})
    targets: dict[str, list[Target]] = {name: [] for name in exam.geometries}
    judged: dict[str, list[Judged]] = defaultdict(list)
    cases: list[Case] = []
    results: list[EstimateResult] = []
    images = tqdm(exam.sights, "evaluate", exam.count, unit="image", dynamic_ncols=True)
    for sight in images:
        result = tracker.estimate(sight.image, sight.camera, sight.stamp_ns)
        results.append(result)
        for wanted in sight.wanted:
            name, geometry = wanted.name, exam.geometries[wanted.name]
            found = [one for one in result.estimates if one.object_name == name]
            targets[name].append(_target(sight, wanted, found, surfaces, exam))
            judged[name] += judge([claim_of(one) for one in found], wanted.truth, geometry)
            cases += cases_of(
                sight.label,
                sight.camera,
                sight.again,
                found,
                wanted.truth,
                wanted.visible,
                geometry,
                name=name,
                up=exam.up.get(name, _UP),
            )
    if not cases:
        raise EvaluationError(
            f"{exam.data}: there is nothing to judge, none of its {len(results)} images shows "
            f"{' or '.join(exam.geometries)}: give another split, target file or object"
        )
    scores = {name: score(targets[name], exam.geometries[name]) for name in targets}
    speed = {name: _speed(cases, name) for name in targets} if exam.spacecraft else {}
    data = f"{exam.data}, tracked" if track else exam.data
    evaluation = make_evaluation(bundle, data, scores, judged, results, speed, estimator.macs)
    return Verdict(evaluation, tuple(cases), tuple(results))


def _target(
    sight: Sight, wanted: Wanted, found: list[PoseEstimate], surfaces: Surfaces, exam: Exam
) -> Target:
    poses = stack_poses([one.T_camera_object for one in found])
    errors = None
    if sight.depth is not None and wanted.name in exam.meshes:
        errors = surfaces.errors(wanted.name, poses, wanted.truth, sight.depth, sight.camera)
    return Target(
        truth=wanted.truth,
        estimates=poses,
        K=sight.camera.K,
        image_width=sight.camera.width,
        surfaces=errors,
    )


def _speed(cases: Iterable[Case], name: str) -> SpeedFigures:
    of_object = [case for case in cases if case.object_name == name]
    pairs = [(c.estimate.T_camera_object, c.truth) for c in of_object if c.estimate is not None]
    return speed_figures(
        stack_poses([estimate for estimate, _ in pairs]),
        stack_poses([truth for _, truth in pairs]),
        len(of_object) - len(pairs),
    )
