# SPDX-License-Identifier: Apache-2.0
"""Films on disk: what they show, and that it does not matter who renders them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import apply_affine, transform
from fpg_pose_ros.preprocess import resample
from offline_search.calibrate import CHECK_SEED
from offline_search.data.datasets import Ramp
from offline_search.data.film_poses import FilmFrames, FilmPoses
from offline_search.data.films import FPS, FilmStore
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject
from offline_search.retrain import VALIDATION_SEED

FRAMES, SIDE, SEED = 4, 64, 5


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory, spot: RenderableObject) -> FilmStore:
    return store(tmp_path_factory.mktemp("films"), spot)


def store(path: Path, thing: RenderableObject, **changes: int) -> FilmStore:
    settings = {"seed": SEED, "count": 3, "resolution": SIDE, "frames": FRAMES, **changes}
    return FilmStore(path, thing, margin=1.28, **settings)  # type: ignore[arg-type]


def test_a_film_depends_on_seed_and_index_alone_and_is_rendered_once(
    tmp_path: Path, films: FilmStore, spot: RenderableObject
) -> None:
    elsewhere = store(tmp_path, spot)
    assert elsewhere.ready() == 0
    for name, value in vars(elsewhere[1]).items():
        assert np.array_equal(value, getattr(films[1], name)), name
    assert elsewhere.ready() == 1
    assert store(tmp_path, spot).ready() == 1  # another process finds it
    assert not np.array_equal(films[1].images, films[0].images)


def test_no_film_is_of_a_scene_that_is_judged_on_or_of_another_film(
    tmp_path: Path, spot: RenderableObject
) -> None:
    count = 4
    seeds = [
        store(tmp_path, spot, seed=seed, count=count).scene_seed(index)
        for seed in (0, 1, VALIDATION_SEED)
        for index in range(count)
    ]
    # what is calibrated, judged or shown on has a plain number, a few thousand scenes on from it
    assert min(seeds) >= 1 << 32 > CHECK_SEED
    assert len(set(seeds)) == len(seeds)


def test_a_crop_is_what_the_robot_would_cut_out_of_the_frame(
    films: FilmStore, spot: RenderableObject
) -> None:
    film = films[0]
    live = LiveScene(spot, seed=films.scene_seed(0), fps=FPS, duration=FRAMES / FPS)
    for number in (0, FRAMES - 1):
        frame = live.frame(number)
        assert_allclose(film.T_camera_object[number], frame.ground_truth[spot.model.name])
        whole = resample(frame.image, film.A[number], (SIDE, SIDE))
        apart = np.abs(whole.astype(int) - film.images[number])
        assert apart.mean() < 4  # grey levels: the noise differs
        assert np.percentile(apart, 99) < 25


def test_the_object_fills_the_crops_and_its_labels_lie_on_it(
    films: FilmStore, spot: RenderableObject
) -> None:
    for number in range(FRAMES):
        sample = films.sample(0, number)
        pixels = transform(sample.T_camera_object, spot.model.keypoints) @ sample.K.T
        expected = apply_affine(sample.A, pixels[:, :2] / pixels[:, 2:])
        assert_allclose(sample.keypoints, expected, atol=1e-9)
        covered = np.argwhere(sample.mask > 127)[:, ::-1]
        low, high = covered.min(axis=0), covered.max(axis=0)
        assert (high - low).max() > 0.6 * SIDE
        assert (sample.keypoints > low - 2).all()
        assert (sample.keypoints < high + 2).all()
        assert 0 < sample.visible_fraction <= 1


def test_all_frames_are_shown_before_one_comes_again(films: FilmStore) -> None:
    count = len(films) * FRAMES
    frames = FilmFrames(films, seed=1, length=2 * count)
    for turn in range(2):
        places = {frames.place(index) for index in range(turn * count, (turn + 1) * count)}
        assert places == {(film, number) for film in range(3) for number in range(FRAMES)}
    with pytest.raises(IndexError, match="sample"):
        frames[2 * count]


def test_what_cannot_be_a_film_is_refused(tmp_path: Path, spot: RenderableObject) -> None:
    with pytest.raises(DatasetError, match="count 0"):
        store(tmp_path, spot, count=0)
    with pytest.raises(DatasetError, match="embree alone"):
        FilmPoses(spot, tmp_path).samples(
            "train",
            seed=0,
            resolution=SIDE,
            margin=1.28,
            layers=1,
            layer_px=None,
            difficulty=Ramp(),
            length=1,
            renderer="mitsuba",
        )
