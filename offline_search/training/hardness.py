# SPDX-License-Identifier: Apache-2.0
"""How hard a sample is, measured: three figures from 0, easy, to 1.

hidden: the share of the object that something stands before.
small: R / (R + a), with a the pixels of the camera's image across the object's diameter and R those
    of a crop; one half where an object has just the pixels that its crop shows.
foreshortened: 1 - s1 s2 / (S1 S2), with s the two spreads (singular values) of the keypoints across
    the line of sight and S those of the best view: an object seen end-on shows least of itself.

That these measure "easy" for poses (DA-NAS, arXiv 2003.12563, has classes of images) is ours.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fpg_pose_ros.geometry import Array
from fpg_pose_ros.objects import ObjectModel
from offline_search.training.pose_labels import PoseSampleLike
from offline_search.training.task import Samples

HARDNESS: Final = ("hidden", "small", "foreshortened")


def hardness(sample: PoseSampleLike, model: ObjectModel) -> Array:
    """The figures (3,) of a sample, see the module."""
    R, t = sample.T_camera_object[:3, :3], sample.T_camera_object[:3, 3]
    across = float(np.sqrt(sample.K[0, 0] * sample.K[1, 1])) * model.diameter / float(t[2])
    side = sample.image.shape[0]
    centred = model.keypoints - model.keypoints.mean(axis=0)
    ray = R.T @ (t / np.linalg.norm(t))
    seen = np.linalg.svd(centred - np.outer(centred @ ray, ray), compute_uv=False)
    best = np.linalg.svd(centred, compute_uv=False)
    shown = seen[0] * seen[1] / max(best[0] * best[1], 1e-12)
    figures = [1.0 - sample.visible_fraction, side / (side + across), 1.0 - shown]
    return np.clip(np.asarray(figures), 0.0, 1.0)


def easiest(
    samples: Samples[PoseSampleLike], model: ObjectModel, index: int, of: int
) -> tuple[PoseSampleLike, Array]:
    """The easiest of the `of` samples from `index * of` on, by the sum of its figures; and these.

    With `of` 1 sample `index` itself.
    """
    drawn = [samples[number] for number in range(index * of, (index + 1) * of)]
    measured = [hardness(sample, model) for sample in drawn]
    first = int(np.argmin([figures.sum() for figures in measured]))
    return drawn[first], measured[first]
