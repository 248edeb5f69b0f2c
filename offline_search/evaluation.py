# SPDX-License-Identifier: Apache-2.0
"""The outcome of judging a bundle on some data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import EstimateResult, PoseEstimate
from offline_search.data.objects import RenderableObject
from offline_search.metrics.pose_error import bop_symmetry_transforms
from offline_search.metrics.scores import ObjectGeometry, Scores
from offline_search.metrics.speed import SpeedFigures
from offline_search.metrics.trust import (
    Claim,
    Judged,
    Trust,
    degrees_of_freedom,
    describe,
    trust,
)


class EvaluationError(FpgPoseError):
    """What is to be evaluated does not fit together; the message says how to name it."""


@dataclass(frozen=True)
class Evaluation:
    """Scores of a bundle on some data.

    Attributes:
        bundle: its name.
        bundle_hash: SHA-256 of its manifest.
        data: what it was judged on, in words.
        images: how many images the estimator saw.
        objects: scores by object name.
        trust: by object name, whether the poses' scores and covariances are true.
        macs_pose: multiply-accumulate operations of each object's pose network on one crop.
        macs_locator: of the locator, mean over the images: a tracker runs it in few of them.
        macs_image: mean over the images, of the locator and of the pose networks on all crops.
        speed: scores of SPEED by object name; empty where they are not asked for.
        ms_p50: median time of the estimator on one image, milliseconds.
        ms_p99: 99th percentile of that time.
    """

    bundle: str
    bundle_hash: str
    data: str
    images: int
    objects: Mapping[str, Scores]
    trust: Mapping[str, Trust]
    macs_pose: Mapping[str, int]
    macs_locator: int
    macs_image: float
    speed: Mapping[str, SpeedFigures]
    ms_p50: float
    ms_p99: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; a figure that nothing was there to measure is null."""
        return {key: without_nan(item) for key, item in asdict(self).items()}


def make_evaluation(
    bundle: Bundle,
    data: str,
    scores: Mapping[str, Scores],
    judged: Mapping[str, Sequence[Judged]],
    results: Sequence[EstimateResult],
    speed: Mapping[str, SpeedFigures],
    macs_crops: int,
) -> Evaluation:
    """Join a bundle and what came of its judgement.

    Args:
        bundle: that was judged.
        data: what on, in words.
        scores: by object name.
        judged: every pose beside the truth, by object name.
        results: of the images.
        speed: scores of SPEED, by object name.
        macs_crops: of the pose networks on all crops of all images.
    """
    times = [result.times.total_ms for result in results]
    macs = {item.model.name: item.network.macs for item in bundle.objects}
    located = sum(result.times.locate_ms > 0 for result in results)
    macs_locator = round(bundle.locator.macs * located / len(results))
    symmetries = {item.model.name: item.model.symmetries for item in bundle.objects}
    return Evaluation(
        bundle=bundle.name,
        bundle_hash=bundle.hash,
        data=data,
        images=len(results),
        objects=scores,
        trust={
            name: trust(judged.get(name, ()), degrees_of_freedom(symmetries[name]))
            for name in scores
        },
        macs_pose={name: macs[name] for name in macs if name in scores},
        macs_locator=macs_locator,
        macs_image=macs_locator + macs_crops / len(results),
        speed=speed,
        ms_p50=float(np.percentile(times, 50)),
        ms_p99=float(np.percentile(times, 99)),
    )


def geometry_of(item: RenderableObject) -> ObjectGeometry:
    """What errors of an object's pose depend on."""
    model = item.model
    return ObjectGeometry(
        item.mesh.vertices, bop_symmetry_transforms(model.symmetries), model.diameter
    )


def claim_of(estimate: PoseEstimate) -> Claim:
    """What an estimate says of itself."""
    x0, y0, x1, y1 = estimate.box
    misfit = estimate.reprojection_error / max(x1 - x0, y1 - y0)
    return Claim(estimate.T_camera_object, estimate.covariance, estimate.score, misfit)


def require_objects(bundle: Bundle, names: Iterable[str]) -> None:
    """Check that a bundle holds objects of these names.

    Raises:
        EvaluationError: it lacks one; the message says what it holds.
    """
    held = [item.model.name for item in bundle.objects]
    for name in names:
        if name not in held:
            raise EvaluationError(f"bundle {bundle.name} has no {name}; it holds {', '.join(held)}")


def format_table(evaluation: Evaluation) -> str:
    """The scores as a table for people, and below it what scores and covariances are worth."""
    heads = (
        "object",
        "targets",
        "missed",
        "ADD(-S) .1d",
        "AUC",
        "AR VSD",
        "AR MSSD",
        "AR MSPD",
        "AR",
        "rotation",
        "translation",
        "MMACs",
    )
    rows: list[tuple[str, ...]] = [heads]
    for name, scores in evaluation.objects.items():
        rows.append(
            (
                name,
                str(scores.targets),
                str(scores.misses),
                *map(_share, _shares(scores)),
                f"{scores.rotation_deg_median:.2f} deg",
                f"{scores.translation_mm_median:.1f} mm",
                f"{evaluation.macs_pose[name] / 1e6:.1f}",
            )
        )
    if len(evaluation.objects) > 1:
        rows.append(_mean_row(list(evaluation.objects.values())))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines += [describe_speed(name, figures) for name, figures in evaluation.speed.items()]
    lines += [describe(name, figures) for name, figures in evaluation.trust.items()]
    lines.append(
        f"{evaluation.data}: {evaluation.images} images, {evaluation.ms_p50:.1f} ms an image (99th "
        f"percentile {evaluation.ms_p99:.1f}) and {evaluation.macs_image / 1e6:.1f} MMACs, "
        f"{evaluation.macs_locator / 1e6:.1f} of them the locator's"
    )
    return "\n".join(lines)


def _shares(s: Scores) -> tuple[float, ...]:
    return s.add01, s.add_auc, s.vsd_ar, s.mssd_ar, s.mspd_ar, s.ar


def _share(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _mean_row(objects: Sequence[Scores]) -> tuple[str, ...]:
    """Over all objects: counts added, shares weighted by their targets, as BOP's recalls are."""
    weights = [scores.targets for scores in objects]
    shares = np.average([_shares(scores) for scores in objects], axis=0, weights=weights)
    misses = sum(scores.misses for scores in objects)
    return (
        "all",
        str(sum(weights)),
        str(misses),
        *map(_share, shares.tolist()),
        "",
        "",
        "",
    )


def describe_speed(name: str, figures: SpeedFigures) -> str:
    """One line for people."""
    return (
        f"{name}: SPEED score {figures.score:.4f}, with the testbed's thresholds "
        f"{figures.score_testbed:.4f} ({figures.images} images, {figures.misses} without a pose "
        f"at 1 + pi each); poses: translation {figures.translation:.4f} of the distance, rotation "
        f"{figures.rotation_deg:.2f} deg"
    )


def without_nan(value: Any) -> Any:
    """The same with null for every NaN in it."""
    if isinstance(value, dict):
        return {key: without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
