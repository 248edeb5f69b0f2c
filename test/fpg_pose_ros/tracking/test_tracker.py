# SPDX-License-Identifier: Apache-2.0
"""The tracker over drawn cubes, with real networks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from fpg_pose_ros.bundle import Bundle
from fpg_pose_ros.errors import BundleError, CameraError
from fpg_pose_ros.estimates import EstimateResult
from fpg_pose_ros.estimator import Estimator, Limits
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform, rotation_angle
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings

CAMERA = Camera(640, 480, np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]]))
STEP_NS = 33_400_000
RAW = TrackingSettings(enabled=False)
TURN = exp_so3([0.4, 0.5, 0.1])


@pytest.fixture(scope="module")
def estimator(cube_bundle: Bundle) -> Estimator:
    return Estimator(cube_bundle)


@pytest.fixture
def tracker(estimator: Estimator) -> PoseTracker:
    estimator.limits = Limits()
    return PoseTracker([estimator])


class Film:
    """Shows pictures of cubes to a tracker, one every thirtieth of a second."""

    def __init__(self, tracker: PoseTracker, take_photograph) -> None:
        self.tracker = tracker
        self.photograph = take_photograph
        self.stamp_ns = 10**9

    def show(self, *poses: np.ndarray) -> EstimateResult:
        self.stamp_ns += STEP_NS
        picture = self.photograph(CAMERA, *poses)
        return self.tracker.estimate(picture, CAMERA, self.stamp_ns, "eye")


@pytest.fixture
def film(tracker: PoseTracker, take_photograph) -> Film:
    return Film(tracker, take_photograph)


def at(x: float, y: float = 0.0, z: float = 0.85, turn: Sequence[float] = (0, 0, 0)) -> np.ndarray:
    return make_transform(exp_so3(turn) @ TURN, [x, y, z])


def numbers(result: EstimateResult) -> list[int]:
    return sorted(item.instance_id for item in result.estimates)


def test_between_two_searches_one_crop_is_all_the_work(film):
    searched = []
    for index in range(30):
        truth = at(-0.1 + 0.006 * index, 0.002 * index, turn=(0, 0.02 * index, 0))
        result = film.show(truth)
        searched.append(result.times.locate_ms > 0)
        assert searched[-1] == bool(result.detections)
        if index >= 1:
            (found,) = result.estimates
            assert (found.instance_id, found.frame_id) == (0, "eye")
            assert found.stamp_ns == film.stamp_ns
            assert np.linalg.norm(found.T_camera_object[:3, 3] - truth[:3, 3]) < 0.01
            assert rotation_angle(found.T_camera_object[:3, :3], truth[:3, :3]) < np.radians(3)
    # The first image, and one every half second.
    assert searched == [index % 15 == 0 for index in range(30)]


def test_with_no_period_every_image_is_searched(film):
    film.tracker.settings = replace(film.tracker.settings, locate_period=0.0)
    assert all(film.show(at(0)).times.locate_ms > 0 for _ in range(4))


def test_without_tracking_the_result_is_the_estimators_own(film, estimator):
    film.tracker.settings = RAW
    for x in (0.0, 0.05):
        result = film.show(at(x))
        raw = estimator.estimate(film.photograph(CAMERA, at(x)), CAMERA, film.stamp_ns, "eye")
        (found,), (own,) = result.estimates, raw.estimates
        np.testing.assert_array_equal(found.T_camera_object, own.T_camera_object)
        np.testing.assert_array_equal(found.covariance, own.covariance)
        assert (found.score, found.instance_id, found.box) == (own.score, 0, own.box)
        assert result.detections == raw.detections


def test_a_lost_thing_is_searched_for_at_once_and_in_every_image(film):
    for _ in range(5):
        film.show(at(0))
    for _ in range(20):
        result = film.show()
        assert result.estimates == ()
        assert result.times.locate_ms > 0
    film.show(at(0.1))
    assert len(film.show(at(0.1)).estimates) == 1


def test_a_thing_that_jumped_is_found_in_the_same_image(film):
    for _ in range(5):
        film.show(at(-0.15))
    film.show(at(0.15))
    # Where only one is looked for, the old track has to make way first.
    found = [film.show(at(0.15)) for _ in range(20)]
    assert len(found[-1].estimates) == 1
    assert found[-1].estimates[0].T_camera_object[0, 3] == pytest.approx(0.15, abs=0.01)


def test_two_things_keep_their_numbers_while_they_change_places(film):
    film.tracker.limits = Limits(max_instances=2)
    owner: dict[int, float] = {}
    for index in range(32):
        angle = 2 * np.pi * index / 62
        offset = 0.17 * np.array([np.cos(angle), np.sin(angle)])
        first, second = at(*offset, 0.9), at(*-offset, 0.9)
        result = film.show(first, second)
        if index < 1:
            continue
        assert numbers(result) == [0, 1]
        for item in result.estimates:
            side = float(item.T_camera_object[:2, 3] @ offset)
            assert np.sign(side) == owner.setdefault(item.instance_id, float(np.sign(side)))
    assert sum(owner.values()) == 0


def test_without_tracking_instances_are_ranked_by_score(film):
    film.tracker.settings, film.tracker.limits = RAW, Limits(max_instances=3)
    result = film.show(at(-0.17), at(0.17, turn=(0, 0, 0.4)))
    assert [item.instance_id for item in result.estimates] == [0, 1]
    assert result.estimates[0].score >= result.estimates[1].score


def test_a_second_thing_is_noticed_within_the_period_and_does_not_disturb_the_first(film):
    film.tracker.limits = Limits(max_instances=2)
    for _ in range(4):
        assert numbers(film.show(at(-0.17))) in ([], [0])
    results = [film.show(at(-0.17), at(0.17)) for _ in range(17)]
    assert numbers(results[-1]) == [0, 1]
    by_number = {item.instance_id: item for item in results[-1].estimates}
    assert by_number[0].T_camera_object[0, 3] < 0 < by_number[1].T_camera_object[0, 3]


def test_where_one_is_looked_for_a_second_equal_thing_does_not_take_its_number(film):
    for _ in range(4):
        film.show(at(-0.17))
    for _ in range(40):
        (found,) = film.show(at(-0.17), at(0.17)).estimates
        assert found.instance_id == 0
        assert found.T_camera_object[0, 3] < 0


@pytest.mark.parametrize("jump_ns", [-(10**9), 10 * 10**9], ids=["back", "ahead"])
def test_a_jump_in_time_is_a_new_beginning(film, jump_ns):
    for _ in range(4):
        film.show(at(0))
    film.stamp_ns += jump_ns
    assert film.show(at(0.1)).estimates == ()
    assert numbers(film.show(at(0.1))) == [0]


def test_another_camera_and_a_reset_are_new_beginnings(film):
    for _ in range(3):
        film.show(at(0))
    film.tracker.reset()
    assert film.show(at(0)).estimates == ()
    assert len(film.show(at(0)).estimates) == 1
    picture = film.photograph(CAMERA, at(0))
    other = film.tracker.estimate(picture, CAMERA, film.stamp_ns + STEP_NS, "other_eye")
    assert other.estimates == ()


def test_slow_images_are_tracked_as_well(tracker, take_photograph):
    """A time-out shorter than the time between two images does not end what each of them shows."""
    picture = take_photograph(CAMERA, at(0))
    found = [tracker.estimate(picture, CAMERA, second * 10**9).estimates for second in range(4)]
    assert [len(item) for item in found] == [0, 1, 1, 1]


def test_several_bundles_are_tracked_as_one(cube_bundle, take_photograph):
    (item,) = cube_bundle.objects
    die = replace(item, model=replace(item.model, name="die"))
    twin = replace(cube_bundle, name="twin", objects=(die,))
    tracker = PoseTracker([Estimator(cube_bundle), Estimator(twin)])
    assert tracker.bundles == (cube_bundle, twin)
    tracker.limits = Limits(min_score=0.25)
    assert tracker.limits.min_score == 0.25
    picture = take_photograph(CAMERA, at(0))
    first = tracker.estimate(picture, CAMERA, 1)
    assert {detection.class_index for detection in first.detections} == {0, 1}
    second = tracker.estimate(picture, CAMERA, STEP_NS)
    assert sorted(item.object_name for item in second.estimates) == ["cube", "die"]
    assert second.times.locate_ms == 0
    with pytest.raises(BundleError, match=r"cube by hand.*object cube"):
        PoseTracker([Estimator(cube_bundle), Estimator(cube_bundle)])


def test_what_cannot_be_tracked_is_refused(tracker):
    with pytest.raises(CameraError, match="320 x 240"):
        tracker.estimate(np.zeros((240, 320, 3), np.uint8), CAMERA)
    with pytest.raises(ValueError, match="estimator"):
        PoseTracker([])


@pytest.mark.parametrize(
    "wrong",
    [
        {"locate_period": -1.0},
        {"timeout": -0.1},
        {"hits": 0},
        {"gate": 1.0},
        {"acceleration": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        TrackingSettings(**wrong)
