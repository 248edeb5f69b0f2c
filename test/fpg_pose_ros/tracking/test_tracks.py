# SPDX-License-Identifier: Apache-2.0
"""Tracks of one object, from measurements made by hand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from cube_world import cube_model

from fpg_pose_ros.estimates import PoseEstimate
from fpg_pose_ros.geometry import Camera, Symmetries, exp_so3, make_transform, rotation_angle
from fpg_pose_ros.tracking import TrackingSettings
from fpg_pose_ros.tracking.tracks import ObjectTracks

CAMERA = Camera(640, 480, np.array([[600.0, 0.0, 320.0], [0.0, 600.0, 240.0], [0.0, 0.0, 1.0]]))
SIGMAS = np.array([0.002, 0.002, 0.008, 0.02, 0.02, 0.02])
STEP = 1 / 30
SETTINGS = TrackingSettings()
NONE = Symmetries()


class World:
    """Sends measurements through the tracks of a cube, image by image."""

    def __init__(
        self,
        symmetries: Symmetries = NONE,
        settings: TrackingSettings = SETTINGS,
        count: int = 2,
    ) -> None:
        self.things = ObjectTracks(replace(cube_model(), symmetries=symmetries))
        self.settings = settings
        self.count = count
        self.rng = np.random.default_rng(0)
        self.stamp_ns = 0

    def image(self, poses: Iterable[np.ndarray], sigmas=SIGMAS) -> dict[int, PoseEstimate]:
        """What is reported by number, after an image in which noisy poses were measured."""
        self.stamp_ns += round(STEP * 1e9)
        self.things.predict(STEP, self.settings.noise, CAMERA)
        measured = [self.measure(T, sigmas) for T in poses]
        for estimate in self.things.assign(measured, self.settings.gate):
            near = min(
                self.things.tracks,
                key=lambda track: np.linalg.norm(place(track.state) - place(estimate)),
                default=None,
            )
            if near is not None and np.linalg.norm(place(near.state) - place(estimate)) < 0.1:
                near.refused = estimate
            else:
                self.things.begin(estimate, 0.9, self.settings.noise)
        found = self.things.settle(self.stamp_ns, self.settings, self.count)
        return {item.instance_id: item for item in found}

    def measure(self, T: np.ndarray, sigmas: np.ndarray) -> PoseEstimate:
        error = self.rng.normal(size=6) * sigmas
        T = make_transform(exp_so3(error[3:]) @ T[:3, :3], T[:3, 3] + error[:3])
        covariance, score = np.diag(sigmas**2), self.rng.uniform(0.6, 0.9)
        for axis, _ in self.things.model.symmetries.continuous:
            # A turn about the axis cannot be seen, and the estimator says so.
            turn = np.r_[np.zeros(3), T[:3, :3] @ axis]
            covariance += np.pi**2 / 3 * np.outer(turn, turn)
        return PoseEstimate("cube", 0, T, covariance, score, 1.0, (0, 0, 9, 9), self.stamp_ns)


def place(item) -> np.ndarray:
    return item.T_camera_object[:3, 3]


def at(x: float, y: float = 0.0, z: float = 1.0, turn=(0, 0, 0)) -> np.ndarray:
    return make_transform(exp_so3(turn), [x, y, z])


def test_a_track_is_reported_from_its_second_measurement_on_and_only_where_measured():
    world = World()
    assert world.image([at(0)]) == {}
    assert list(world.image([at(0)])) == [0]
    assert world.image([]) == {}
    assert list(world.image([at(0)])) == [0]


def test_the_first_measurement_is_enough_where_one_hit_is_asked_for():
    world = World(settings=replace(SETTINGS, hits=1))
    assert list(world.image([at(0)])) == [0]


def test_what_was_measured_once_and_not_again_is_forgotten():
    world = World()
    world.image([at(0)])
    world.image([])
    assert world.things.tracks == []


def test_a_track_dies_after_the_time_out_and_its_number_rests():
    world = World()
    for _ in range(5):
        world.image([at(0)])
    for _ in range(14):
        world.image([])
    assert len(world.things.tracks) == 1
    for _ in range(3):
        world.image([])
    assert world.things.tracks == []
    for _ in range(2):
        found = world.image([at(0.4)])
    assert list(found) == [1]


@pytest.mark.parametrize("offset", [(0.0, 0.2), (0.09, 0.0)], ids=["behind", "beside"])
@pytest.mark.parametrize("hidden", [0, 3], ids=["seen", "hidden"])
def test_two_equal_things_that_cross_keep_their_numbers(offset, hidden):
    """For some images about the middle only one of them is seen."""
    world, number_of_first = World(), None
    for index in range(61):
        x = 0.3 * (1 - index / 30)
        first, second = at(x, 0.0, 0.9), at(-x, offset[0], 0.9 + offset[1])
        found = world.image([first] if abs(index - 30) < hidden else [second, first])
        if not found:
            continue
        if number_of_first is None:
            number_of_first = min(
                found, key=lambda n: np.linalg.norm(place(found[n]) - first[:3, 3])
            )
        for number, estimate in found.items():
            truth = first if number == number_of_first else second
            assert np.linalg.norm(place(estimate) - truth[:3, 3]) < 0.04
    assert sorted(found) == [0, 1]


def test_a_thing_measured_twice_in_an_image_is_one():
    world = World()
    for _ in range(4):
        found = world.image([at(0), at(0.01)])
    assert list(found) == [0]
    assert len(world.things.tracks) == 1


def test_measurements_beyond_the_gate_are_refused_until_they_insist():
    world = World()
    for _ in range(20):
        world.image([at(0)])
    moved = at(0, turn=(0, 1.2, 0))
    assert world.image([moved]) == {}
    assert world.image([moved]) == {}
    found = world.image([moved])
    assert list(found) == [0]
    assert rotation_angle(found[0].T_camera_object[:3, :3], moved[:3, :3]) < 0.1
    assert list(world.image([moved])) == [0]


def test_a_single_outlier_leaves_the_track_where_it_was():
    world = World()
    for _ in range(20):
        world.image([at(0)])
    assert world.image([at(0, turn=(1.5, 0, 0))]) == {}
    found = world.image([at(0)])
    assert rotation_angle(found[0].T_camera_object[:3, :3], np.eye(3)) < 0.05


def test_the_filtered_pose_is_steadier_than_the_measured_and_says_so():
    calm = World(settings=replace(SETTINGS, acceleration=0.1, angular_acceleration=0.4))
    for _ in range(30):
        calm.image([at(0)])
    depths = np.array([place(calm.image([at(0)])[0])[2] for _ in range(150)])
    (track,) = calm.things.tracks
    assert depths.std() < 0.7 * SIGMAS[2]
    assert 0.4 < np.mean((depths - 1.0) ** 2) / track.state.pose_covariance[2, 2] < 2.5


def symmetric(kind: str) -> Symmetries:
    axis = (np.array([0.0, 0.0, 1.0]), np.zeros(3))
    quarters = tuple(at(0, 0, 0, (0, 0, k * np.pi / 2)) for k in (1, 2, 3))
    return Symmetries(quarters) if kind == "discrete" else Symmetries((), (axis,))


@pytest.mark.parametrize("kind", ["discrete", "continuous"])
def test_a_symmetric_thing_has_a_steady_pose(kind):
    """Measured in any of the poses that look alike, it does not jump, and follows a real turn."""
    symmetries = symmetric(kind)
    world, equivalents = World(symmetries), symmetries.transforms(12)
    last, tilt = None, np.radians(20)
    for index in range(150):
        truth = at(0, 0, 1.0, (tilt * index / 60, 0, 0))
        disguised = truth @ equivalents[world.rng.integers(len(equivalents))]
        found = world.image([disguised])
        if last is not None:
            step = rotation_angle(found[0].T_camera_object[:3, :3], last)
            assert step < 0.1
        if found:
            last = found[0].T_camera_object[:3, :3]
    axis, true_axis = last[:, 2], truth[:3, 2]
    assert np.arccos(axis @ true_axis) < 0.04
    (track,) = world.things.tracks
    about, across = track.state.velocity[3:] @ axis, track.state.velocity[3] - tilt / 60 / STEP
    assert abs(across) < 1.0
    assert abs(about) < (1e-9 if kind == "continuous" else 1.0)
    # What cannot be seen is held in the filter, but not claimed to be known.
    turn = found[0].covariance[3:, 3:] @ axis
    assert (axis @ turn > 3) == (kind == "continuous")


def test_no_more_tracks_live_than_are_looked_for():
    world = World(count=3)
    poses = [at(-0.3), at(0.0), at(0.3)]
    for _ in range(3):
        found = world.image(poses)
    assert sorted(found) == [0, 1, 2]
    world.count = 1
    found = world.image(poses)
    assert len(found) == 1
