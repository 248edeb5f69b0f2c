# SPDX-License-Identifier: Apache-2.0
"""The parts of the nodes that know no ROS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fpg_pose_ros.errors import BundleError, FpgPoseError
from fpg_pose_ros.nodes import bundles
from fpg_pose_ros.nodes.bundles import find_bundle
from fpg_pose_ros.nodes.frame_source import SourceRequest, frames_of
from fpg_pose_ros.nodes.names import (
    NameClashError,
    check_tf_frames,
    firsts,
    tf_frame,
    topic_token,
    unique_tokens,
)
from fpg_pose_ros.nodes.prefetch import Prefetch
from fpg_pose_ros.nodes.statistics import WINDOW, FrameStatistics
from fpg_pose_ros.sources import Frame, open_source


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("spot", "spot"),
        ("obj_000005", "obj_000005"),
        ("5", "o5"),
        ("tin can (large)", "tin_can_large"),
        ("a__b", "a_b"),
        ("ø", "object"),
    ],
)
def test_any_object_name_becomes_part_of_a_topic(name: str, token: str) -> None:
    assert topic_token(name) == token


def test_names_that_look_alike_get_topics_of_their_own() -> None:
    assert unique_tokens(["a b", "a_b", "a-b"]) == {"a b": "a_b", "a_b": "a_b_2", "a-b": "a_b_3"}


def test_tf_frames_are_prefix_object_and_the_number_of_a_further_instance() -> None:
    assert tf_frame("", "spot") == "spot"
    assert tf_frame("cell/", "spot", 2) == "cell/spot_2"
    assert tf_frame("/cell/", "tin can") == "cell/tin_can"


def test_with_always_the_first_instance_carries_its_number_too() -> None:
    assert tf_frame("cell/", "spot", 0, "always") == "cell/spot_0"


def test_an_objects_own_topic_tells_of_the_instance_with_the_lowest_number() -> None:
    seen = [("cup", 3), ("plate", 0), ("cup", 1), ("cup", 2)]
    assert firsts(seen, lambda one: one) == [("cup", 1), ("plate", 0)]


@pytest.mark.parametrize("names", [["can", "tin can"], ["can", "can_x", "can_1x"], ["7", "obj_7"]])
def test_objects_whose_frames_can_never_meet_pass(names: list[str]) -> None:
    check_tf_frames(names)


def test_objects_whose_frames_would_be_one_are_refused_with_the_remedy() -> None:
    with pytest.raises(NameClashError, match=r"'tin can' and 'tin_can'.*tin_can: rename"):
        check_tf_frames(["tin can", "tin_can"], "always")
    with pytest.raises(NameClashError, match=r"'can'.*'can_2': set tf_instances to always"):
        check_tf_frames(["can_2", "can"])
    check_tf_frames(["can_2", "can"], "always")


def test_a_stage_that_was_not_needed_does_not_count_among_its_times() -> None:
    statistics = FrameStatistics()
    for locate in (4.0, 0.0, 0.0, 6.0):
        statistics.process(1, {"locate": locate, "infer": 1.0})
    assert statistics.counts().located == 2
    assert statistics.percentiles(50) == {"locate": (5.0,), "infer": (1.0,)}


def test_percentiles_look_back_over_a_window() -> None:
    statistics = FrameStatistics()
    for value in [1000.0] * 50 + list(np.linspace(1.0, 101.0, WINDOW)):
        statistics.process(1, {"total": value})
    assert statistics.percentiles(50, 99)["total"] == pytest.approx((51.0, 100.0))
    assert statistics.processed == statistics.poses == 50 + WINDOW
    assert statistics.last_poses == 1


def test_drops_are_counted_by_cause_and_the_counts_do_not_change_afterwards() -> None:
    statistics = FrameStatistics()
    statistics.drop("image", "no such encoding")
    counts = statistics.counts()
    statistics.drop("image")
    assert counts.dropped == {"image": 1}
    assert statistics.dropped == {"image": 2}
    assert statistics.last_error == "no such encoding"


def test_a_bundle_is_found_by_path_or_by_the_name_of_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "models" / "spot").mkdir(parents=True)
    (tmp_path / "fpg_pose_ros").mkdir()
    monkeypatch.setattr(bundles.fpg_pose_ros, "__path__", [str(tmp_path / "fpg_pose_ros")])
    assert find_bundle("spot") == tmp_path / "models" / "spot"
    assert find_bundle(str(tmp_path / "models")) == tmp_path / "models"
    for name in ("", "cat", "../spot", str(tmp_path / "cat")):
        with pytest.raises(BundleError, match=r"installed: spot\): set the parameter bundle"):
            find_bundle(name)


def test_an_installed_bundle_is_found_under_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "python3.12" / "site-packages" / "fpg_pose_ros"
    package.mkdir(parents=True)
    shipped = tmp_path / "share" / "fpg_pose_ros" / "models" / "spot"
    shipped.mkdir(parents=True)
    monkeypatch.setattr(bundles.fpg_pose_ros, "__path__", [str(package)])
    assert find_bundle("spot") == shipped


def test_of_two_bundles_of_a_name_the_source_tree_s_then_the_nearest_installed_one_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "lib" / "fpg_pose_ros"
    outer, inner = tmp_path / "share", tmp_path / "lib" / "share"
    places = [tmp_path / "lib", inner / "fpg_pose_ros", outer / "fpg_pose_ros"]
    monkeypatch.setattr(bundles.fpg_pose_ros, "__path__", [str(package)])
    for nearest in reversed([place / "models" / "spot" for place in places]):
        nearest.mkdir(parents=True)
        assert find_bundle("spot") == nearest


def request(source: Path, *, loop: bool = False) -> SourceRequest:
    return SourceRequest(str(source), "", "", 0, 1.0, 30.0, loop)


def folder_source(wanted: SourceRequest) -> Iterator[Frame]:
    return open_source(wanted.source)


def no_frames(wanted: SourceRequest) -> Iterator[Frame]:
    return iter(())


def test_a_looped_source_begins_again(marks_folder: Path) -> None:
    frames = frames_of(folder_source, request(marks_folder, loop=True))
    names = [frame.name for frame, _ in zip(frames, range(70), strict=False)]
    assert names[:10] == names[30:40] == names[60:]


def test_a_source_without_frames_does_not_loop_for_ever(tmp_path: Path) -> None:
    with pytest.raises(FpgPoseError, match="holds no frames"):
        next(frames_of(no_frames, request(tmp_path, loop=True)))


def test_prefetched_frames_are_those_of_the_source_in_order(marks_folder: Path) -> None:
    prefetch = Prefetch(partial(open_source, marks_folder), ahead=4)
    direct = list(open_source(marks_folder))
    end = time.monotonic() + 30
    while not prefetch.filled:
        assert time.monotonic() < end
        time.sleep(0.01)
    fetched = list(prefetch)
    assert len(fetched) == len(direct) == 30
    for a, b in zip(fetched, direct, strict=True):
        assert isinstance(a, Frame)
        assert a.name == b.name
        np.testing.assert_array_equal(a.image, b.image)
    prefetch.close()


def test_the_error_of_a_source_arrives_with_its_message(tmp_path: Path) -> None:
    prefetch = Prefetch(partial(open_source, tmp_path / "none"), ahead=4)
    with pytest.raises(FpgPoseError, match="no such file"):
        next(iter(prefetch))
    prefetch.close()


def test_the_death_of_the_child_is_noticed(marks_folder: Path) -> None:
    prefetch = Prefetch(partial(frames_of, open_source, request(marks_folder)), ahead=4)
    # `open_source` does not take a request: the child ends with a traceback.
    with pytest.raises(FpgPoseError, match="the process that makes the frames ended with 1"):
        next(iter(prefetch))
    prefetch.close()
