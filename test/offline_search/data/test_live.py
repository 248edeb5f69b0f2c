# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Camera, rotation_angle
from offline_search.data.live import LiveScene, default_camera
from offline_search.data.objects import RenderableObject, Views, make_object
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.views import roll_of

WHOLE = np.eye(3)[:2]


@pytest.fixture(scope="module")
def scene(spot: RenderableObject) -> LiveScene:
    return LiveScene(spot, seed=2, fps=10.0, duration=6.0)


def test_frames_are_numbered_stamped_and_have_the_true_pose(scene: LiveScene) -> None:
    assert len(scene) == 60
    frames = [frame for frame, _ in zip(scene, range(3), strict=False)]
    assert [frame.stamp_ns for frame in frames] == [0, 100_000_000, 200_000_000]
    assert [frame.name for frame in frames] == ["000000", "000001", "000002"]
    for frame in frames:
        assert frame.image.shape == (480, 640, 3)
        assert frame.image.dtype == np.uint8
        assert frame.camera is not None
        assert set(frame.ground_truth) == {"spot"}
        assert frame.ground_truth["spot"].shape == (4, 4)


def test_the_same_seed_gives_the_same_frames_in_any_order(
    scene: LiveScene, spot: RenderableObject
) -> None:
    again = LiveScene(spot, seed=2, fps=10.0, duration=6.0)
    for number in (31, 4):
        assert np.array_equal(scene.frame(number).image, again.frame(number).image)
    other = LiveScene(spot, seed=3, fps=10.0, duration=6.0)
    assert not np.array_equal(other.frame(4).image, scene.frame(4).image)


def test_the_true_pose_is_where_the_object_is_drawn(
    scene: LiveScene, spot: RenderableObject
) -> None:
    renderer = EmbreeRenderer()
    K = scene.camera.K
    seen = 0
    for number in range(0, 60, 12):
        pose = scene.frame(number).ground_truth["spot"]
        state, _ = scene.scene(number / 10.0)
        picture = renderer.render(state, K, WHOLE, (480, 640), 1)
        points = (spot.model.keypoints @ pose[:3, :3].T + pose[:3, 3]) @ K.T
        for (x, y), z in zip(np.round(points[:, :2] / points[:, 2:]), points[:, 2], strict=True):
            if 1 <= x < 639 and 1 <= y < 479:
                cut = (slice(int(y) - 1, int(y) + 2), slice(int(x) - 1, int(x) + 2))
                near = picture.depth[cut][picture.instance[cut] == 1]
                assert len(near) == 0 or near.min() < z + 3e-3
                seen += len(near) > 0 and np.abs(near - z).min() < 3e-3
    assert seen > 15


def test_the_object_moves_smoothly_and_tumbles(spot: RenderableObject) -> None:
    scene = LiveScene(spot, seed=0, fps=30.0, duration=60.0, distractors=0)
    poses = np.stack([scene._path.at(i / 30.0) for i in range(1800)])
    steps = np.linalg.norm(np.diff(poses[:, :3, 3], axis=0), axis=1)
    assert steps.max() < 0.03, "less than 0.9 m/s"
    turns = [rotation_angle(a[:3, :3], b[:3, :3]) for a, b in pairwise(poses)]
    assert np.degrees(max(turns)) < 6
    views = -np.einsum("nij,ni->nj", poses[:, :3, :3], poses[:, :3, 3])
    views /= np.linalg.norm(views, axis=1, keepdims=True)
    octants = {tuple(sign) for sign in (views > 0).tolist()}
    assert len(octants) >= 7, "it is seen from nearly everywhere"
    distances = np.linalg.norm(poses[:, :3, 3], axis=1)
    assert distances.min() > 0.45
    assert distances.max() < 1.2
    assert np.ptp(distances) > 0.5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_object_is_in_the_image_and_rarely_hidden(spot: RenderableObject, seed: int) -> None:
    scene = LiveScene(spot, seed=seed, fps=1.0, duration=30.0)
    renderer = EmbreeRenderer()
    A = np.array([[0.25, 0.0, 0.0], [0.0, 0.25, 0.0]])
    shares = []
    for second in range(0, 30, 2):
        state, _ = scene.scene(float(second))
        seen = (renderer.render(state, scene.camera.K, A, (120, 160), 1).instance == 1).sum()
        alone = type(state)(state.instances[:1])
        wide = np.array([[0.25, 0.0, 40.0], [0.0, 0.25, 40.0]])
        whole = (renderer.render(alone, scene.camera.K, wide, (200, 240), 1).instance == 1).sum()
        shares.append(seen / whole)
    assert np.mean(np.array(shares) > 0.75) > 0.65
    assert np.mean(np.array(shares) < 0.1) < 0.15


def test_the_object_stays_above_the_floor(spot: RenderableObject) -> None:
    scene = LiveScene(spot, seed=4, fps=1.0, duration=60.0)
    floor = scene._room.planes[0].T_rest_plane
    for second in range(60):
        centre = scene._path.at(float(second))[:3, 3]
        height = (centre - floor[:3, 3]) @ floor[:3, 2]
        assert height > 0.5 * spot.model.diameter


def test_limited_views_stay_limited(spot: RenderableObject) -> None:
    views = Views((0.5, 0.9), up=(0, 1, 0), elevation_deg=(10, 60), roll_deg=(-10, 10))
    thing = make_object(name="s", mesh=spot.mesh, keypoints=spot.model.keypoints, views=views)
    scene = LiveScene(thing, seed=0, fps=2.0, duration=30.0)
    for number in range(60):
        pose = scene._path.at(number / 2.0)
        assert abs(np.degrees(roll_of(pose, views))) < 10.1
        eye = -pose[:3, :3].T @ pose[:3, 3]
        assert 9.9 < np.degrees(np.arcsin(eye[1] / np.linalg.norm(eye))) < 60.1


def test_shadows_fall_on_the_floor(spot: RenderableObject) -> None:
    darker = []
    for seed in range(6):
        scene = LiveScene(spot, seed=seed, fps=1.0, duration=10.0, distractors=0)
        state, rest = scene.scene(3.0)
        size = (640, 480)
        room = scene._room.picture(scene._renderer, state, rest, scene.camera.K, size)
        bare = type(state)((), state.lights, state.ambient, state.up)
        empty = scene._room.picture(scene._renderer, bare, rest, scene.camera.K, size)
        assert (room.astype(int) <= empty.astype(int) + 1).all()
        darker.append(int((room.sum(axis=2) * 1.1 + 6 < empty.sum(axis=2)).sum()))
    assert sum(count > 100 for count in darker) >= 3


def test_any_pinhole_camera_will_do(spot: RenderableObject) -> None:
    camera = Camera(320, 200, np.array([[250.0, 0, 150.0], [0, 255.0, 110.0], [0, 0, 1]]))
    frame = LiveScene(spot, seed=0, camera=camera, duration=1.0).frame(0)
    assert frame.image.shape == (200, 320, 3)
    assert frame.camera is camera


def test_a_lens_that_bends_is_refused(spot: RenderableObject) -> None:
    K = default_camera().K
    camera = Camera(640, 480, K, np.array([0.1, 0, 0, 0, 0]), "plumb_bob")
    with pytest.raises(CameraError, match="without distortion"):
        LiveScene(spot, seed=0, camera=camera)


@pytest.mark.parametrize("change", [{"fps": 0.0}, {"duration": -1.0}, {"distractors": -1}])
def test_values_out_of_range_are_refused(spot: RenderableObject, change: dict[str, float]) -> None:
    with pytest.raises(DatasetError, match="needs fps > 0"):
        LiveScene(spot, seed=0, **change)  # type: ignore[arg-type]


def test_a_frame_out_of_range_is_refused(scene: LiveScene) -> None:
    with pytest.raises(IndexError):
        scene.frame(60)


def test_two_samples_a_pixel_change_only_edges(spot: RenderableObject) -> None:
    rough = LiveScene(spot, seed=1, duration=1.0).frame(0).image.astype(int)
    fine = LiveScene(spot, seed=1, duration=1.0, samples=2).frame(0).image.astype(int)
    different = (np.abs(rough - fine).max(axis=2) > 3).mean()
    assert 0.0005 < different < 0.05
    assert_allclose(rough.mean(), fine.mean(), atol=0.3)
