# SPDX-License-Identifier: Apache-2.0
"""What a pose node publishes: of several bundles and instances, and after a change of bundle."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from fpg_pose_ros.msg import ModelInfo, ObjectPoseArray
from geometry_msgs.msg import PoseStamped, Transform
from ros_processes import Peer
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.estimator import PoseEstimate, StageTimes
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.names import NameClashError
from fpg_pose_ros.nodes.outputs import PoseOutputs
from fpg_pose_ros.nodes.stamps import stamp_from_ns

STAMP = 5 * 10**9
HEADER = Header(stamp=stamp_from_ns(STAMP), frame_id="camera")
TIMES = StageTimes(1.0, 2.0, 3.0, 4.0, 11.0)
COUNTS = {"received": 1, "dropped": 0, "with_tf": True}
PICTURE = np.zeros((480, 640, 3), np.uint8)


def estimate(name: str, instance: int, score: float) -> PoseEstimate:
    return PoseEstimate(
        object_name=name,
        instance_id=instance,
        T_camera_object=marks_world.pose(float(instance)),
        covariance=np.eye(6) * 1e-6,
        score=score,
        reprojection_error=1.0,
        box=(0.0, 0.0, 10.0, 10.0),
        stamp_ns=STAMP,
        frame_id="camera",
    )


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Bundles of one object each, by its name."""
    folder = tmp_path_factory.mktemp("outputs")
    return {
        name: read_bundle(marks_world.write(folder / name, object_name=name))
        for name in ("cup", "cup_1", "plate", "spoon")
    }


@pytest.fixture
def outputs(peer: Peer, bundles: dict[str, Bundle]) -> Iterator[PoseOutputs]:
    made = PoseOutputs(peer.node, [bundles["cup"], bundles["plate"]], tf_prefix="cell/")
    yield made
    made.destroy()


def pose_topics(peer: Peer) -> set[str]:
    names = [n for n, _ in peer.node.get_publisher_names_and_types_by_node("peer", "/")]
    return {name.split("/")[2] for name in names if name.endswith("/pose")}


def test_objects_of_all_bundles_have_topics_frames_and_a_description(
    peer: Peer, outputs: PoseOutputs
) -> None:
    outputs.announce()
    arrays = peer.collect(ObjectPoseArray, "/peer/poses")
    of = {name: peer.collect(PoseStamped, f"/peer/{name}/pose") for name in ("cup", "plate")}
    tf = peer.collect(TFMessage, "/tf", qos.TF)
    infos = peer.collect(ModelInfo, "/peer/model_info", qos.latched(9))
    peer.spin_until(lambda: len(infos) == 2)
    assert [info.object_ids for info in infos] == [["cup"], ["plate"]]
    seen = [estimate("cup", 1, 0.9), estimate("plate", 0, 0.8), estimate("cup", 0, 0.7)]
    placed = outputs.publish_poses(HEADER, seen, TIMES, **COUNTS)
    assert placed is seen
    peer.spin_until(lambda: bool(arrays and tf and of["cup"] and of["plate"]))
    found = [(pose.object_id, pose.instance_id) for pose in arrays[0].poses]
    assert found == [("cup", 1), ("plate", 0), ("cup", 0)]
    frames = {transform.child_frame_id for transform in tf[0].transforms}
    assert frames == {"cell/cup", "cell/cup_1", "cell/plate"}
    # A PoseStamped does not say whose it is: it is always that of the lowest number.
    peer.spin(0.1)
    (single,) = of["cup"]
    assert single.pose == arrays[0].poses[2].pose.pose


def test_other_bundles_are_taken_up_without_a_break_and_what_was_shown_goes(
    peer: Peer, outputs: PoseOutputs, bundles: dict[str, Bundle]
) -> None:
    arrays = peer.collect(ObjectPoseArray, "/peer/poses")
    cups = peer.collect(PoseStamped, "/peer/cup/pose")
    markers = peer.collect(MarkerArray, "/peer/markers")
    peer.spin_until(lambda: peer.node.count_subscribers("/peer/markers") > 0)
    seen = [estimate("cup", 0, 0.9)]
    outputs.publish_pictures(PICTURE, marks_world.CAMERA, HEADER, seen, seen, lifetime=2.0)
    peer.spin_until(lambda: len(markers) == 2)
    markers.clear()

    outputs.use([bundles["cup"], bundles["spoon"]])
    outputs.announce()
    outputs.publish_poses(HEADER, seen, TIMES, **COUNTS)
    peer.spin_until(lambda: bool(arrays and cups and markers))
    assert markers[0].markers[0].action == Marker.DELETEALL
    peer.spin_until(lambda: pose_topics(peer) == {"cup", "spoon"})
    infos = peer.collect(ModelInfo, "/peer/model_info", qos.latched(9))
    peer.spin_until(lambda: len(infos) == 2)
    peer.spin(0.1)
    assert [info.object_ids for info in infos] == [["cup"], ["spoon"]]


def test_bundles_whose_frames_would_meet_are_refused_and_the_old_ones_stay(
    peer: Peer, outputs: PoseOutputs, bundles: dict[str, Bundle]
) -> None:
    with pytest.raises(NameClashError, match="tf_instances"):
        outputs.use([bundles["cup"], bundles["cup_1"]])
    arrays = peer.collect(ObjectPoseArray, "/peer/poses")
    peer.spin_until(lambda: peer.node.count_subscribers("/peer/poses") > 0)
    outputs.publish_poses(HEADER, [estimate("plate", 0, 0.9)], TIMES, **COUNTS)
    peer.spin_until(lambda: bool(arrays))
    assert pose_topics(peer) == {"cup", "plate"}


def test_nothing_seen_is_said_in_the_target_frame_without_asking_for_a_transform(
    peer: Peer, outputs: PoseOutputs
) -> None:
    arrays = peer.collect(ObjectPoseArray, "/peer/poses")
    peer.spin_until(lambda: peer.node.count_subscribers("/peer/poses") > 0)
    assert not outputs.publish_poses(HEADER, [], TIMES, **COUNTS, target_frame="base")
    # The camera's own frame needs no transform either.
    seen = [replace(estimate("cup", 0, 0.9), frame_id="camera")]
    assert outputs.publish_poses(HEADER, seen, TIMES, **COUNTS, target_frame="camera") is seen
    peer.spin_until(lambda: len(arrays) == 2)
    assert [array.header.frame_id for array in arrays] == ["base", "camera"]


def test_tf2_is_listened_to_while_poses_are_wanted_in_another_frame_and_no_longer(
    peer: Peer, outputs: PoseOutputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a buffer that knows one transform; tf2's own is tried where it is installed."""
    found = SimpleNamespace(transform=Transform())
    buffer = SimpleNamespace(can_transform=lambda *_: True, lookup_transform=lambda *_: found)
    tf2 = SimpleNamespace(
        Buffer=lambda: buffer, TransformListener=lambda *_: None, TransformException=KeyError
    )
    monkeypatch.setitem(sys.modules, "tf2_ros", tf2)

    def listening() -> tuple[bool, bool]:
        threads = [thread.name for thread in threading.enumerate()]
        return "tf" in threads, "peer_tf" in peer.node.get_node_names()

    seen = [estimate("cup", 0, 0.9)]
    for _ in range(2):
        (placed,) = outputs.publish_poses(HEADER, seen, TIMES, **COUNTS, target_frame="base")
        assert placed.frame_id == "base"
        peer.spin_until(lambda: listening() == (True, True))
        outputs.leave_target_frame()
        peer.spin_until(lambda: listening() == (False, False))
