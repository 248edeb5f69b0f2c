# SPDX-License-Identifier: Apache-2.0
"""The rasteriser against the Embree renderer; on a GPU, or drawn by Mesa on the CPU."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import pickle
import subprocess
import sys
from dataclasses import replace
from types import ModuleType

import cv2
import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import CropBox, exp_so3, make_transform
from offline_search.data.appearance import random_lighting
from offline_search.data.moderngl_renderer import ModernglRenderer
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Light, Material, Render, Scene

K = np.array([[600.0, 0.0, 301.5], [0.0, 590.0, 249.5], [0.0, 0.0, 1.0]])
POSE = make_transform(exp_so3([0.4, 2.0, 0.3]), [0.05, 0.03, 0.7])
CROP = CropBox(344.0, 274.0, 240.0).affine(96)
SHEARED = np.array([[0.4, 0.08, -112.0], [-0.05, 0.33, -25.0]])
SHAPE = (96, 96)


@pytest.fixture(scope="module")
def renderer() -> ModernglRenderer:
    try:
        made = ModernglRenderer()
        made.driver  # noqa: B018 - opens it
    except DatasetError as missing:
        pytest.skip(str(missing))
    return made


def inside(picture: Render) -> np.ndarray:
    """Pixels all of whose neighbours show the same instance."""
    kernel = np.ones((3, 3), np.uint8)
    same = cv2.erode(picture.instance, kernel) == cv2.dilate(picture.instance, kernel)
    return np.asarray(same & (picture.instance > 0))


@pytest.mark.parametrize("samples", [1, 2, 3])
@pytest.mark.parametrize("A", [CROP, SHEARED], ids=["square", "sheared"])
def test_masks_depths_and_colours_are_embrees(
    renderer: ModernglRenderer, spot: RenderableObject, A: np.ndarray, samples: int
) -> None:
    lighting = random_lighting(np.random.default_rng(3), np.array([0.0, -0.8, -0.6]))
    lacquer = Material((0.9, 1.1, 0.7), contrast=1.2, specular=0.08, sharpness=6, metallic=0.4)
    scene = Scene(
        (Instance(spot.open_mesh, POSE, lacquer, number=4),),
        lighting.lights,
        environment=lighting.environment,
    )
    drawn = renderer.render(scene, K, A, SHAPE, samples)
    traced = EmbreeRenderer().render(scene, K, A, SHAPE, samples)
    assert (drawn.instance != traced.instance).mean() < 1e-3
    within = inside(traced) & inside(drawn)
    assert within.sum() > 1500
    error = np.abs(drawn.depth - traced.depth)[within] / traced.depth[within]
    assert (error < 1e-4).mean() > 0.995  # the others lie across a fold of the surface
    assert np.median(error) < 1e-6
    assert np.abs(drawn.alpha.astype(int) - traced.alpha).mean() < 0.5
    assert (drawn.rgb[drawn.alpha == 0] == 0).all()
    apart = np.abs(drawn.rgb.astype(float) - traced.rgb)[within]
    assert apart.mean() < 4
    assert abs(float(drawn.rgb[within].mean()) - float(traced.rgb[within].mean())) < 1


def test_things_hide_and_shade_one_another_as_with_embree(
    renderer: ModernglRenderer, spot: RenderableObject
) -> None:
    lamp = Light(np.array([0.0, -0.8, -0.6]), np.full(3, 0.8), radius=0.1)
    plain = replace(spot.mesh, texture=None)
    nearer = make_transform(exp_so3([1.4, 1.0, 0.3]), [0.02, -0.06, 0.62])
    scene = Scene(
        (Instance(spot.mesh, POSE, number=4), Instance(plain, nearer, number=2)),
        (lamp,),
        ambient=np.array([[0.2, 0.2, 0.3], [0.1, 0.2, 0.1]]),
        up=np.array([0.0, -1.0, 0.0]),
    )
    lit = replace(scene, lights=(replace(lamp, shadow=False),))
    drawn, traced = (made.render(scene, K, CROP, SHAPE, 1) for made in (renderer, EmbreeRenderer()))
    assert set(np.unique(drawn.instance)) == {0, 2, 4}
    assert (drawn.instance != traced.instance).mean() < 1e-3
    without = renderer.render(lit, K, CROP, SHAPE, 1)
    wanted = EmbreeRenderer().render(lit, K, CROP, SHAPE, 1)
    dark = (without.rgb.mean(axis=2) - drawn.rgb.mean(axis=2)) > 20
    truly = (wanted.rgb.mean(axis=2) - traced.rgb.mean(axis=2)) > 20
    assert truly.sum() > 100
    assert (dark & truly).sum() / (dark | truly).sum() > 0.9


def test_a_scene_with_nothing_in_it_is_empty(renderer: ModernglRenderer) -> None:
    empty = renderer.render(Scene(()), K, CROP, SHAPE)
    assert not any(part.any() for part in (empty.rgb, empty.alpha, empty.instance, empty.depth))


def test_too_many_lamps_are_refused(renderer: ModernglRenderer) -> None:
    lamps = (Light(np.array([0.0, -1.0, 0.0]), np.ones(3)),) * 9
    with pytest.raises(DatasetError, match=r"at most 8 lamps.*embree"):
        renderer.render(Scene((), lamps), K, CROP, SHAPE)


def test_a_renderer_crosses_to_other_processes_but_not_by_fork(
    renderer: ModernglRenderer,
) -> None:
    assert pickle.loads(pickle.dumps(renderer)).name == "moderngl"
    with multiprocessing.get_context("fork").Pool(1) as pool:
        answer = pool.apply_async(renderer.render, (Scene(()), K, CROP, SHAPE))
        with pytest.raises(DatasetError, match="spawn"):
            answer.get(timeout=60)


def test_without_a_driver_the_remedy_is_named(renderer: ModernglRenderer) -> None:
    code = (
        "from offline_search.data.moderngl_renderer import ModernglRenderer\n"
        "ModernglRenderer().driver\n"
    )
    nowhere = {**os.environ, "__EGL_VENDOR_LIBRARY_DIRS": "/nonexistent"}
    nowhere.pop("__EGL_VENDOR_LIBRARY_FILENAMES", None)
    ended = subprocess.run(
        [sys.executable, "-c", code], env=nowhere, capture_output=True, text=True
    )
    assert ended.returncode != 0
    last = ended.stderr.splitlines()[-1]
    assert "DatasetError" in last
    assert "libgl1-mesa-dri" in last


def test_without_moderngl_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(DatasetError, match=r"rasteriser.*embree"):
        ModernglRenderer()


def test_without_egl_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(name)

    monkeypatch.setitem(sys.modules, "moderngl", ModuleType("moderngl"))
    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(DatasetError, match=r"libegl1.*embree"):
        ModernglRenderer()
