# SPDX-License-Identifier: Apache-2.0
"""`fpg-pose calibrate`: make scores probabilities and covariances true, on held-out renders.

Locator, pose network and solver are judged together, as the robot runs them, on frames that show
the object. The figures are measured on other frames than those that the calibration is fitted to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from scipy.optimize import isotonic_regression

from fpg_pose_ros.bundle import Bundle, read_bundle, write_bundle
from fpg_pose_ros.calibration import (
    SCALES,
    calibrated_covariance,
    calibrated_score,
    misfit_settings,
    score_settings,
    without_calibration,
)
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.geometry import Array, Symmetries
from offline_search.data.objects import RenderableObject, load_object
from offline_search.evaluation import without_nan
from offline_search.judged_renders import judge_renders
from offline_search.metrics.trust import (
    Judged,
    degrees_of_freedom,
    describe,
    nees,
    trust,
)

#: Scenes of the calibration; those of training, validation and test have smaller seeds.
CALIBRATION_SEED: Final = 1_000_000_000
CHECK_SEED: Final = 2_000_000_000
_SCENES: Final = 100_000
#: Poses, and right ones among them, that a calibration needs at least.
LEAST_POSES: Final = 30
_POSES_A_KNOT: Final = 25
_MOST_PARTS: Final = 20
_POWERS: Final = (0.0, 0.5, 1.0, 1.5, 2.0)


class CalibrationError(FpgPoseError):
    """There is not enough to calibrate on; the message says what to do."""


def calibrate_bundle(
    bundle: Path, objects: Sequence[str], *, images: int, out: Path, seed: int = 0, threads: int = 1
) -> Bundle:
    """The command: calibrates objects of a bundle and writes it anew.

    Args:
        bundle: path of the bundle.
        objects: names or files of the objects to calibrate; the others stay as they are.
        images: see `calibrate`.
        out: where to; may be the same path.
        seed: see `calibrate`.
        threads: of one inference.

    Raises:
        CalibrationError: too few poses are right.
        FpgPoseError: bundle or object cannot be used.
    """
    opened = read_bundle(bundle)
    for name in objects:
        opened = calibrate(opened, name, images=images, seed=seed, threads=threads)
    return write_bundle(out, opened.manifest, opened.files)


def calibrate(bundle: Bundle, name: str, *, images: int, seed: int = 0, threads: int = 1) -> Bundle:
    """Calibrates one object of a bundle, measures the outcome on other frames, and prints it.

    Args:
        bundle: must hold the object.
        name: of the object, or its file.
        images: rendered frames to fit to; half as many others give the figures.
        seed: which renders; no scene of training, validation or judgement is among them.
        threads: of one inference.

    Returns:
        The bundle in memory; its manifest's `calibration` holds the figures. Its hash is still
        that of what was given.

    Raises:
        CalibrationError: too few poses are right.
        EvaluationError: the bundle lacks the object.
    """
    item = load_object(name)
    checks = max(images // 2, 1)
    first, other = CALIBRATION_SEED + seed * _SCENES, CHECK_SEED + seed * _SCENES
    plain = uncalibrated(bundle)
    settings = fit(judge_renders(plain, item, images, first, threads), item)
    held_out = judge_renders(plain, item, checks, other, threads)
    model = item.model
    network = next(o.network for o in bundle.objects if o.model.name == model.name)
    figures: dict[str, Any] = {
        "data": f"fitted to {images} rendered frames of {model.name}, scenes from seed "
        f"{first}; figures on {checks} others, from seed {other}",
    }
    for when, extra in (("before", network.extra), ("after", settings)):
        told = calibrated(held_out, extra, model.symmetries)
        measured = trust(told, degrees_of_freedom(model.symmetries))
        print(describe(f"{model.name} {when}", measured))
        figures[when] = without_nan(asdict(measured))
    return _with_settings(bundle, model.name, settings, figures)


def uncalibrated(bundle: Bundle) -> Bundle:
    """The same bundle without the calibration of scores and covariances, in its manifest too."""
    objects, entries = [], []
    for item, entry in zip(bundle.objects, bundle.manifest["objects"], strict=True):
        extra = without_calibration(item.network.extra)
        objects.append(replace(item, network=replace(item.network, extra=extra)))
        entries.append({**entry, "network": {**entry["network"], "extra": extra}})
    manifest = {key: value for key, value in bundle.manifest.items() if key != "calibration"}
    return replace(bundle, manifest={**manifest, "objects": entries}, objects=tuple(objects))


def calibrated_objects(bundle: Bundle) -> list[str]:
    """Names of a bundle's objects whose scores or covariances are calibrated."""
    return [
        item.model.name
        for item in bundle.objects
        if without_calibration(item.network.extra) != dict(item.network.extra)
    ]


def fit(judged: Sequence[Judged], item: RenderableObject) -> dict[str, float]:
    """Settings for `NetworkSpec.extra` that make uncalibrated claims true.

    Raises:
        CalibrationError: too few poses are right.
    """
    right = [one for one in judged if one.right]
    if len(right) < LEAST_POSES:
        raise CalibrationError(
            f"{item.model.name}: {len(judged)} poses were found and {len(right)} of them are "
            f"right; {LEAST_POSES} are needed: give more --images, or a better bundle"
        )
    symmetries = item.model.symmetries
    return {**fit_covariance(right, symmetries), **score_settings(fit_scores(judged))}


def fit_scores(judged: Sequence[Judged]) -> list[tuple[float, float]]:
    """Knots (raw score, probability of being right), rising in both, from 0 to 1.

    Isotonic regression over parts of equal count; a run of equal probabilities becomes one knot.
    """
    order = sorted(judged, key=lambda one: one.claim.score)
    count = min(_MOST_PARTS, max(len(order) // _POSES_A_KNOT, 1))
    parts = np.array_split(np.arange(len(order)), count)
    scores = np.array([np.mean([order[i].claim.score for i in part]) for part in parts])
    # Half a pose more of either kind, so that no finite number of them makes a certainty.
    shares = np.array([(sum(order[i].right for i in p) + 0.5) / (len(p) + 1) for p in parts])
    sizes = np.array([len(part) for part in parts], dtype=np.float64)
    blocks = isotonic_regression(shares, weights=sizes).blocks
    knots = [(0.0, 0.0)]
    for begin, end in pairwise(blocks):
        weights = sizes[begin:end]
        score = float(np.average(scores[begin:end], weights=weights))
        knots.append((score, float(np.average(shares[begin:end], weights=weights))))
    return [*knots, (1.0, knots[-1][1])] if knots[-1][0] < 1.0 else knots


def fit_covariance(right: Sequence[Judged], symmetries: Symmetries) -> dict[str, float]:
    """Settings that make the NEES of right poses what it should be.

    First the power of the misfit that makes these errors likeliest, then a factor for each
    group of axes by its own mean, then one for all by that of the whole pose.
    """
    errors = np.stack([one.error for one in right])
    misfits = np.array([one.claim.misfit for one in right])
    usual = float(np.clip(np.median(misfits), 1e-6, 1.0))
    turns = np.stack([_ray_frame(one.claim.T_camera_object[:3, 3]) for one in right])
    along = np.einsum("nij,nj->ni", turns, errors)

    def scaled(settings: Mapping[str, float]) -> Array:
        told = calibrated(right, settings, symmetries)
        return np.stack([one.claim.covariance for one in told])

    def fitted(power: float) -> tuple[float, dict[str, float]]:
        settings = misfit_settings(usual, power)
        turned = turns @ scaled(settings) @ turns.transpose(0, 2, 1)
        for name, group in zip(SCALES, ([0, 1], [2], [3, 4, 5]), strict=True):
            squares = nees(turned[:, group][:, :, group], along[:, group])
            settings[name] = _usable(float(squares.mean()) / len(group))
        whole = float(nees(scaled(settings), errors).mean()) / degrees_of_freedom(symmetries)
        for name in SCALES:
            settings[name] = _usable(settings[name] * whole)
        covariances = scaled(settings)
        surprise = np.linalg.slogdet(covariances)[1] + nees(covariances, errors)
        return float(surprise.mean()), settings

    return min((fitted(power) for power in _POWERS), key=lambda outcome: outcome[0])[1]


def _ray_frame(translation: Array) -> Array:
    """(6, 6) turn of translations into two axes across the ray and the ray; not of rotations."""
    ray = translation / np.linalg.norm(translation)
    across = np.cross(ray, np.eye(3)[int(np.argmin(np.abs(ray)))])
    across /= np.linalg.norm(across)
    turn = np.eye(6)
    turn[:3, :3] = across, np.cross(ray, across), ray
    return turn


def _usable(scale: float) -> float:
    return float(np.clip(scale, 1e-3, 1e3))


def calibrated(
    judged: Sequence[Judged], settings: Mapping[str, float], symmetries: Symmetries
) -> list[Judged]:
    """The same poses with scores and covariances as a bundle with these settings has them."""
    told = []
    for one in judged:
        claim = one.claim
        covariance = calibrated_covariance(
            claim.covariance, settings, symmetries, claim.T_camera_object, claim.misfit
        )
        score = calibrated_score(claim.score, settings)
        told.append(replace(one, claim=replace(claim, score=score, covariance=covariance)))
    return told


def _with_settings(
    bundle: Bundle, name: str, settings: Mapping[str, float], figures: Mapping[str, Any]
) -> Bundle:
    """The bundle with a calibration of one object in place of what it had."""
    entries, objects = [], []
    for item, entry in zip(bundle.objects, bundle.manifest["objects"], strict=True):
        if item.model.name == name:
            extra = {**without_calibration(item.network.extra), **settings}
            item = replace(item, network=replace(item.network, extra=extra))
            entry = {**entry, "network": {**entry["network"], "extra": extra}}
        objects.append(item)
        entries.append(entry)
    held = dict(bundle.manifest.get("calibration", {}))
    manifest = {**bundle.manifest, "objects": entries, "calibration": {**held, name: figures}}
    return replace(bundle, manifest=manifest, objects=tuple(objects))
