# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import pickle
import sys

import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import CropBox, exp_so3, make_transform
from offline_search.data.appearance import random_lighting
from offline_search.data.mitsuba_renderer import MitsubaRenderer
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Material, Scene

K = np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]])
POSE = make_transform(exp_so3([0.4, 2.0, 0.3]), [0.05, 0.03, 0.7])

needs_mitsuba = pytest.mark.skipif(
    importlib.util.find_spec("mitsuba") is None,
    reason="Mitsuba is not installed: pip install '.[photorealistic]'",
)


def turned_crop(angle: float) -> np.ndarray:
    crop = CropBox(360.0, 262.0, 240.0).affine(96)
    c, s = np.cos(angle), np.sin(angle)
    middle = np.full(2, 47.5)
    turn = np.array([[c, -s], [s, c]])
    return np.column_stack([turn @ crop[:, :2], turn @ (crop[:, 2] - middle) + middle])


@needs_mitsuba
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_masks_depths_and_colours_agree_with_embrees(spot: RenderableObject, angle: float) -> None:
    lighting = random_lighting(np.random.default_rng(3), np.array([0.0, -0.8, -0.6]))
    matt = Material(specular=0.0)
    scene = Scene(
        (Instance(spot.open_mesh, POSE, matt, number=4),),
        lighting.lights,
        environment=lighting.environment,
    )
    A = turned_crop(angle)
    traced = MitsubaRenderer(paths=16).render(scene, K, A, (96, 96))
    ours = EmbreeRenderer().render(scene, K, A, (96, 96), 4)
    assert (traced.instance != ours.instance).mean() < 2e-3
    both = (traced.instance > 0) & (ours.instance > 0)
    assert both.sum() > 1000
    assert np.abs(traced.depth - ours.depth)[both].max() < 5e-3
    assert np.median(np.abs(traced.depth - ours.depth)[both]) < 1e-5
    assert np.abs(traced.alpha.astype(int) - ours.alpha).mean() < 2.0
    # the same texture, in the same places, in nearly the same light
    a, b = traced.rgb[both].astype(float), ours.rgb[both].astype(float)
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.93
    assert abs(a.mean() - b.mean()) < 15


@needs_mitsuba
def test_a_renderer_crosses_processes_and_says_what_it_is() -> None:
    assert pickle.loads(pickle.dumps(MitsubaRenderer(paths=8))).name == "mitsuba-8"


@needs_mitsuba
def test_a_stretched_window_is_refused(spot: RenderableObject) -> None:
    scene = Scene((Instance(spot.mesh, POSE),))
    with pytest.raises(DatasetError, match="square pixels"):
        MitsubaRenderer().render(scene, K, np.array([[0.2, 0, 0], [0, 0.1, 0]]), (48, 48))


def test_without_mitsuba_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(DatasetError, match=r"photorealistic.*embree"):
        MitsubaRenderer()
