# SPDX-License-Identifier: Apache-2.0
"""What a track remembers for its network: by itself, and in films of drawn cubes."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from remembering import Watched, effect, memory, with_memory

from fpg_pose_ros.backends import open_backends
from fpg_pose_ros.bundle import Bundle, write_bundle
from fpg_pose_ros.estimates import EstimateResult
from fpg_pose_ros.estimator import Estimator, Limits
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform
from fpg_pose_ros.memory import Glimpse, aligned
from fpg_pose_ros.steps import crop_affine
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings
from fpg_pose_ros.tracking.recollection import Recollection

CAMERA = Camera(640, 480, np.array([[600.0, 0.0, 319.5], [0.0, 600.0, 239.5], [0.0, 0.0, 1.0]]))
STEP_NS = 33_400_000
LAGS = (1, 2, 4)


def glimpse(camera: Camera = CAMERA) -> Glimpse:
    return Glimpse(np.zeros((1, 3, 8, 8), np.float32), np.eye(2, 3), camera)


def recalled(rate: float, count: int = 60, missing: tuple[int, ...] = ()) -> list[int | None]:
    """How many ms old what each lag gets is, in the last of some images a `rate`-th s apart."""
    recollection = Recollection(memory(LAGS))
    stamps: dict[int, int] = {}
    for number in range(count):
        now = round(number * 1e9 / rate)
        if number not in missing:
            seen = glimpse()
            stamps[id(seen)] = now
            recollection.keep(seen, now)
    now = round(count * 1e9 / rate)
    found = recollection.recall(now)
    return [None if item is None else round((now - stamps[id(item)]) * 1e-6) for item in found]


@pytest.mark.parametrize(
    ("rate", "ages"),
    [
        (30.0, [33, 67, 133]),
        (28.0, [36, 71, 143]),
        (60.0, [33, 67, 133]),
        (200.0, [35, 65, 135]),
        (15.0, [None, 67, 133]),
        (5.0, [None, None, None]),
    ],
)
def test_each_lag_gets_what_is_nearest_to_its_time_whatever_the_cameras_rate(rate, ages):
    found = recalled(rate)
    assert [item is None for item in found] == [age is None for age in ages]
    for item, age in zip(found, ages, strict=True):
        assert item is None or abs(item - age) <= 8  # a quarter of 1/30 s


def test_an_image_without_the_thing_leaves_a_gap():
    assert recalled(30.0, 10, missing=(9,)) == [None, 67, 133]
    assert recalled(30.0, 10, missing=(6, 8)) == [33, None, None]
    assert recalled(30.0, 10, missing=tuple(range(6, 10))) == [None, None, None]


@pytest.mark.parametrize(
    "steps_ns",
    [[0], [1_000], [1_000_000], [STEP_NS], [1_000, 16_666_000]],
    ids=["stopped", "us", "ms", "", "in pairs"],
)
def test_no_more_is_kept_than_a_bundle_is_allowed_however_fast_images_come(steps_ns):
    recollection, spec = Recollection(memory(LAGS)), memory(LAGS)
    alive: weakref.WeakSet[Glimpse] = weakref.WeakSet()
    now, most = 0, 0
    for number in range(1000):
        seen = glimpse()
        alive.add(seen)
        recollection.keep(seen, now)
        del seen
        most = max(most, len(alive))
        now += steps_ns[number % len(steps_ns)]
    gc.collect()
    assert len(alive) <= most <= spec.most_glimpses
    if len(steps_ns) > 1:  # the worst of all
        assert most >= 4 * (LAGS[-1] + 1)


class Film:
    """A tracker over drawn cubes, and what its pose network was given and gave."""

    def __init__(self, bundle: Bundle, take_photograph) -> None:
        self.bundle = bundle
        opened = open_backends(bundle)
        self.watched = Watched(opened["pose.onnx"])
        backends = {**opened, "pose.onnx": self.watched}
        settings = TrackingSettings(hits=1)
        self.tracker = PoseTracker([Estimator(bundle, backend=backends)], settings)
        self.photograph = take_photograph
        self.stamp_ns = 10**9
        self.watched.inputs.clear()
        self.watched.outputs.clear()

    def show(self, *poses: np.ndarray, camera: Camera = CAMERA, frame: str = "eye"):
        """The result for a picture, and what each run of the pose network was told."""
        self.stamp_ns += STEP_NS
        before = len(self.watched.inputs)
        result = self.tracker.estimate(
            self.photograph(camera, *poses), camera, self.stamp_ns, frame
        )
        return result, [past[0] for _, past in self.watched.inputs[before:]]

    def told(self, *poses: np.ndarray, **options) -> list[bool]:
        """For each lag whether the only run of the network was told anything."""
        _, (past,) = self.show(*poses, **options)
        return [bool(lag.any()) for lag in past]


@pytest.fixture(scope="module")
def bundle(cube_parts, tmp_path_factory) -> Bundle:
    place = tmp_path_factory.mktemp("bundle") / "cube"
    return write_bundle(place, *with_memory(*cube_parts))


@pytest.fixture
def film(bundle: Bundle, take_photograph) -> Film:
    return Film(bundle, take_photograph)


def at(x: float, y: float = 0.0, turn: float = 0.0) -> np.ndarray:
    return make_transform(exp_so3([0, turn, 0]) @ exp_so3([0.4, 0.5, 0.1]), [x, y, 0.85])


def crop_of(film: Film, result: EstimateResult) -> np.ndarray:
    (found,) = result.estimates
    assert found.glimpse is None  # what is told to others holds no features
    return crop_affine(found.box, film.bundle.objects[0].network)


def test_in_each_image_the_network_is_told_of_those_before_and_of_nothing_where_none_was(film):
    crops = []
    for number in range(7):
        result, (past,) = film.show(at(-0.1 + 0.01 * number, 0.003 * number, 0.03 * number))
        crops.append(crop_of(film, result))
        for lag, got in zip(LAGS, past, strict=True):
            if lag > number:
                assert not got.any()
                continue
            features = film.watched.outputs[number - lag][-1][0]
            wanted = aligned(features, crops[number - lag], crops[number], 16)
            np.testing.assert_array_equal(got, wanted)
            assert got.any()
        alone = film.watched.outputs[number][0] / effect(past)
        np.testing.assert_allclose(alone.min(), np.log(1e-4), rtol=1e-4)


def test_an_image_in_which_the_thing_was_not_found_leaves_zeros(film):
    for _ in range(4):
        film.show(at(0))
    film.show()
    assert film.told(at(0)) == [False, True, True]
    assert film.told(at(0)) == [True, False, True]


def test_a_reset_a_jump_in_time_and_another_frame_make_it_forget(film):
    nothing, everything = [False] * 3, [True] * 3
    assert film.told(at(0)) == nothing
    for _ in range(4):
        told = film.told(at(0))
    assert told == everything
    film.tracker.reset()
    assert film.told(at(0)) == nothing
    assert film.told(at(0)) == [True, False, False]
    film.stamp_ns -= 10 * STEP_NS
    assert film.told(at(0)) == nothing
    film.stamp_ns += 10 * 10**9
    assert film.told(at(0)) == nothing
    assert film.told(at(0), frame="other") == nothing


def test_with_another_calibration_the_track_goes_on_without_what_the_old_one_saw(film):
    for _ in range(5):
        film.show(at(0))
    other = Camera(640, 480, CAMERA.K + np.diag([3.0, 3.0, 0.0]))
    assert film.told(at(0), camera=other) == [False] * 3
    assert film.told(at(0), camera=other) == [True, False, False]


def test_without_tracking_every_image_stands_alone(film, bundle, take_photograph):
    film.tracker.settings = TrackingSettings(enabled=False)
    assert not any(film.told(at(0)) + film.told(at(0)))
    result, _ = film.show(at(0))
    single = Estimator(bundle).estimate(take_photograph(CAMERA, at(0)), CAMERA)
    np.testing.assert_array_equal(
        result.estimates[0].T_camera_object, single.estimates[0].T_camera_object
    )


def test_each_of_two_things_has_a_memory_of_its_own(film):
    film.tracker.limits = Limits(max_instances=2)
    places = at(-0.17), at(0.17, turn=0.6)
    for _ in range(3):
        film.show(*places)
    result, pasts = film.show(*places)
    assert len(result.estimates) == len(pasts) == 2
    before = [outputs[-1][0] for outputs in film.watched.outputs[-4:-2]]
    # The crops have hardly moved.
    apart = [[float(np.abs(past[0] - one).mean()) for one in before] for past in pasts]
    assert max(apart[0][0], apart[1][1]) < 0.3 * min(apart[0][1], apart[1][0])


def test_a_track_that_starts_anew_forgets_what_was_before(film):
    for _ in range(6):
        film.show(at(0))
    turned = at(0, turn=1.2)
    assert [len(film.show(turned)[0].estimates) for _ in range(3)] == [0, 0, 1]
    # Two refused, one taken up; the fourth image back was of another pose.
    assert film.told(turned) == [True, False, False]
