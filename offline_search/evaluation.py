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
from offline_search.metrics.scores import Scores


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
        macs_pose: multiply-accumulate operations of each object's pose network on one crop.
        macs_locator: of the locator, on one image.
        ms_p50: median time of the estimator on one image, milliseconds.
        ms_p99: 99th percentile of that time.
    """

    bundle: str
    bundle_hash: str
    data: str
    images: int
    objects: Mapping[str, Scores]
    macs_pose: Mapping[str, int]
    macs_locator: int
    ms_p50: float
    ms_p99: float

    def to_json(self) -> dict[str, Any]:
        """Plain values; a figure that nothing was there to measure is null."""
        return {key: _without_nan(item) for key, item in asdict(self).items()}


def make_evaluation(
    bundle: Bundle, data: str, scores: Mapping[str, Scores], times: Sequence[float]
) -> Evaluation:
    """Join a bundle, its scores by object name, and the times of its images in milliseconds."""
    return Evaluation(
        bundle=bundle.name,
        bundle_hash=bundle.hash,
        data=data,
        images=len(times),
        objects=scores,
        macs_pose={o.model.name: o.network.macs for o in bundle.objects if o.model.name in scores},
        macs_locator=bundle.locator.macs,
        ms_p50=float(np.percentile(times, 50)),
        ms_p99=float(np.percentile(times, 99)),
    )


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
    """The scores as a table for people."""
    heads = (
        "object",
        "targets",
        "missed",
        "ADD(-S) .1d",
        "AUC",
        "AR MSSD",
        "AR MSPD",
        "rotation",
        "translation",
        "MMACs",
    )
    rows = [heads]
    for name, scores in evaluation.objects.items():
        rows.append(
            (
                name,
                str(scores.targets),
                str(scores.misses),
                f"{scores.add01:.3f}",
                f"{scores.add_auc:.3f}",
                f"{scores.mssd_ar:.3f}",
                f"{scores.mspd_ar:.3f}",
                f"{scores.rotation_deg_median:.2f} deg",
                f"{scores.translation_mm_median:.1f} mm",
                f"{evaluation.macs_pose[name] / 1e6:.1f}",
            )
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    lines.append(
        f"{evaluation.data}: {evaluation.images} images, {evaluation.ms_p50:.1f} ms an image (99th "
        f"percentile {evaluation.ms_p99:.1f}); locator {evaluation.macs_locator / 1e6:.1f} MMACs"
    )
    return "\n".join(lines)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
