# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import multiprocessing
import operator
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import apply_affine, transform
from offline_search.data.compose import PoseSample
from offline_search.data.datasets import (
    LocatorDataset,
    PoseDataset,
    Ramp,
    as_ramp,
    layer_resolution,
    shuffled,
)
from offline_search.data.frames import LocatorSample
from offline_search.data.objects import RenderableObject, Views, make_object
from offline_search.data.variety import MIN_VISIBLE
from offline_search.data.views import roll_of


@pytest.fixture(scope="module")
def crops(spot: RenderableObject, cache: Path) -> PoseDataset:
    return PoseDataset(spot, seed=5, layers=24, length=240, cache=cache)


@pytest.fixture(scope="module")
def frames(spot: RenderableObject, cache: Path) -> LocatorDataset:
    return LocatorDataset([spot], seed=5, layers=24, length=400, cache=cache)


def same(a: PoseSample, b: PoseSample) -> bool:
    return (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.keypoints, b.keypoints)
        and np.array_equal(a.A, b.A)
        and np.array_equal(a.T_camera_object, b.T_camera_object)
        and a.visible_fraction == b.visible_fraction
    )


def test_keypoints_are_the_models_projected_through_pose_camera_and_crop(
    crops: PoseDataset, spot: RenderableObject
) -> None:
    for i in range(20):
        sample = crops[i]
        points = transform(sample.T_camera_object, spot.model.keypoints) @ sample.K.T
        expected = apply_affine(sample.A, points[:, :2] / points[:, 2:])
        assert_allclose(sample.keypoints, expected, atol=1e-9)
        assert sample.image.shape == (128, 128, 3)
        assert sample.image.dtype == np.uint8


def test_the_object_is_drawn_where_its_labels_say(spot: RenderableObject, cache: Path) -> None:
    # the same crop with and without the object: they differ where it is
    data = PoseDataset(spot, seed=5, layers=24, difficulty=0.0, cache=cache)
    for i in range(8):
        sample = data[i]
        layer = data.layers[shuffled(i, 24, 5)]
        assert np.array_equal(layer.T_camera_object, sample.T_camera_object)
        points = transform(sample.T_camera_object, spot.mesh.vertices) @ sample.K.T
        pixels = apply_affine(sample.A, points[:, :2] / points[:, 2:])
        centre = (pixels.min(axis=0) + pixels.max(axis=0)) / 2
        assert_allclose(centre, 63.5, atol=data.config.shift_jitter * 128 + 1)
        side = np.ptp(pixels, axis=0).max()
        assert 128 / 1.28 / 1.13 < side < 128 / 1.28 / 0.87


def test_the_affine_is_a_turn_and_an_even_scale(crops: PoseDataset) -> None:
    angles = []
    for i in range(40):
        linear = crops[i].A[:, :2]
        scale = np.sqrt(np.linalg.det(linear))
        assert_allclose(linear @ linear.T, scale**2 * np.eye(2), atol=1e-9)
        angles.append(np.arctan2(linear[1, 0], linear[0, 0]))
    assert np.std(angles) > 1.0, "the full circle is used"


def test_limited_rolls_stay_limited_after_the_turn(spot: RenderableObject, cache: Path) -> None:
    views = Views((0.5, 1.0), up=(0, 1, 0), elevation_deg=(0, 60), roll_deg=(-15, 25))
    upright = make_object(
        name="upright", mesh=spot.mesh, keypoints=spot.model.keypoints, views=views
    )
    data = PoseDataset(upright, seed=0, layers=8, length=32, cache=cache)
    for i in range(32):
        sample = data[i]
        turn = np.arctan2(sample.A[1, 0], sample.A[0, 0])
        roll = np.degrees(roll_of(sample.T_camera_object, views) + turn)
        assert -20.001 <= roll <= 30.001, "five degrees of margin"


def test_a_sample_depends_on_seed_and_index_alone(
    crops: PoseDataset, spot: RenderableObject, cache: Path, tmp_path: Path
) -> None:
    again = PoseDataset(spot, seed=5, layers=24, length=240, cache=tmp_path)
    for i in (7, 3):
        assert same(crops[i], again[i])
        assert same(crops[i], crops[i])
    assert not same(crops[3], crops[3 + 24]), "the same layer, another picture"
    other = PoseDataset(spot, seed=6, layer_seed=5, layers=24, length=240, cache=cache)
    assert other.layers.folder == crops.layers.folder
    assert not same(other[3], crops[3])


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_make_the_same_samples(
    crops: PoseDataset, spot: RenderableObject, tmp_path: Path, method: str
) -> None:
    here = [crops[i] for i in range(4)]
    fresh = PoseDataset(spot, seed=5, layers=24, length=240, cache=tmp_path)
    fresh[20]  # the parent has rendered before it forks
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert pool.submit(os.getpid).result(timeout=120) != os.getpid()
        there = [pool.submit(operator.getitem, fresh, i).result(timeout=120) for i in range(4)]
    assert all(same(a, b) for a, b in zip(here, there, strict=True))


def test_clean_samples_hide_nothing_and_cluttered_ones_some(
    crops: PoseDataset, spot: RenderableObject, cache: Path
) -> None:
    clean = PoseDataset(spot, seed=5, layers=24, difficulty="clean", cache=cache)
    assert all(clean[i].visible_fraction == 1.0 for i in range(10))
    visible = np.array([crops[i].visible_fraction for i in range(60)])
    assert visible.min() >= MIN_VISIBLE
    assert 0.3 < (visible < 1.0).mean() < 0.8


def test_every_run_through_the_layers_uses_each_once() -> None:
    for turn in range(3):
        used = [shuffled(turn * 30 + i, 30, seed=4) for i in range(30)]
        assert sorted(used) == list(range(30))
    assert [shuffled(i, 30, 4) for i in range(30)] != [shuffled(30 + i, 30, 4) for i in range(30)]


def test_a_ramp_rises_with_the_index() -> None:
    ramp = Ramp(0.2, 1.0, samples=100)
    assert [ramp.at(i) for i in (0, 50, 100, 1000)] == pytest.approx([0.2, 0.6, 1.0, 1.0])
    assert as_ramp("clean").at(5) == 0.0
    assert as_ramp("cluttered").at(5) == 1.0
    assert as_ramp(0.3).at(5) == 0.3


@pytest.mark.parametrize("difficulty", ["hard", -0.1, 1.5, Ramp(0.0, 2.0, 10)])
def test_a_difficulty_out_of_range_is_refused(difficulty: str | float | Ramp) -> None:
    with pytest.raises(DatasetError, match="say clean, cluttered or 0 to 1"):
        as_ramp(difficulty)


@pytest.mark.parametrize(("resolution", "margin"), [(64, 1.2), (128, 1.28), (192, 1.3)])
def test_layers_are_finer_than_crops(resolution: int, margin: float) -> None:
    shown = layer_resolution(resolution, margin) / 1.06
    assert 1.1 < shown / (resolution / margin) < 1.7


def test_indices_out_of_range_are_refused(crops: PoseDataset, frames: LocatorDataset) -> None:
    for data in (crops, frames):
        with pytest.raises(IndexError):
            data[len(data)]


def test_a_locator_needs_an_object() -> None:
    with pytest.raises(DatasetError, match="at least one object"):
        LocatorDataset([], seed=0)


def test_frames_show_the_object_as_large_as_its_views_allow_or_not_at_all(
    frames: LocatorDataset, spot: RenderableObject
) -> None:
    samples = [frames[i] for i in range(120)]
    empty = np.mean([len(sample.boxes) == 0 for sample in samples])
    assert 0.08 < empty < 0.3
    heights = np.concatenate(
        [np.ptp(s.boxes.reshape(-1, 2, 2), axis=1).max(axis=1) for s in samples]
    )
    near, far = spot.views.distance_m
    shrunk, jitter = 224 / 640, np.exp(0.25)
    # 480 to 760 px of focal length; near parts look larger, and no view is thinner than a third
    assert heights.max() <= 1.3 * jitter * shrunk * 760 * spot.model.diameter / near
    assert heights.min() >= shrunk / jitter * 480 * spot.model.diameter / 3 / far
    assert heights.max() > 2 * heights.min()
    assert all(sample.image.shape == (168, 224, 3) for sample in samples)
    assert all(len(sample.classes) == len(sample.boxes) for sample in samples)


def test_a_frame_depends_on_seed_and_index_alone(
    frames: LocatorDataset, spot: RenderableObject, cache: Path
) -> None:
    again = LocatorDataset([spot], seed=5, layers=24, length=400, cache=cache)

    def equal(a: LocatorSample, b: LocatorSample) -> bool:
        return np.array_equal(a.image, b.image) and np.array_equal(a.boxes, b.boxes)

    assert equal(frames[11], again[11])
    assert not equal(frames[11], again[12])


def test_frames_of_several_objects_tell_them_apart(spot: RenderableObject, cache: Path) -> None:
    other = make_object(
        name="other", mesh=spot.mesh, keypoints=spot.model.keypoints, views=Views((0.5, 0.6))
    )
    data = LocatorDataset([spot, other], seed=1, layers=8, length=60, cache=cache)
    classes = [tuple(sorted(data[i].classes.tolist())) for i in range(60)]
    assert set(classes) >= {(), (0,), (1,), (0, 1)}


def test_crops_and_frames_share_layers(spot: RenderableObject, tmp_path: Path) -> None:
    crops = PoseDataset(spot, seed=1, layers=8, cache=tmp_path)
    frames = LocatorDataset([spot], seed=1, layers=8, cache=tmp_path)
    assert crops.layers.folder == frames.layers[0].folder
    assert crops.clutter.folder == frames.clutter.folder
