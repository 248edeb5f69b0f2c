# SPDX-License-Identifier: Apache-2.0
"""What is done with ROS packages that not every installation has, by those packages themselves.

Where one of them is absent, as in the sandbox, its tests are skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

# Not marked as tests that must run where ROS does: these need more than that.
pytest.importorskip("fpg_pose_ros.msg", exc_type=ImportError)

import marks_world
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from rclpy.serialization import deserialize_message, serialize_message
from ros_processes import PATIENCE, Camera, NodeProcess, Peer, poses_of
from security_policy import allowed, covers, only_with_optional_packages, opened
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import exp_so3, make_transform, quaternion_wxyz, transform
from fpg_pose_ros.nodes import messages, qos
from fpg_pose_ros.nodes.detections import detection_array
from fpg_pose_ros.nodes.stamps import stamp_from_ns, stamp_ns
from fpg_pose_ros.nodes.target_frame import TargetFrameError, Tf2Source

STAMP = 1_700_000_000_123_456_789
T = make_transform(exp_so3([0.3, -2.0, 1.0]), [0.1, -0.2, 0.7])
ESTIMATE = PoseEstimate(
    object_name="marks",
    instance_id=2,
    T_camera_object=T,
    covariance=np.arange(36, dtype=np.float64).reshape(6, 6),
    score=0.75,
    reprojection_error=1.5,
    box=(1.0, 2.0, 3.0, 4.0),
    stamp_ns=STAMP,
    frame_id="left",
)
HEADER = Header(stamp=stamp_from_ns(STAMP), frame_id="left")
MODEL = marks_world.model()


def test_a_detection_has_the_pose_the_box_of_the_mesh_and_a_lasting_id() -> None:
    package = pytest.importorskip("vision_msgs.msg")
    worse = replace(ESTIMATE, score=0.5, instance_id=0)
    made = detection_array(HEADER, [worse, ESTIMATE], {MODEL.name: MODEL}, package)
    array = deserialize_message(serialize_message(made), package.Detection3DArray)
    assert array.header == HEADER
    assert [d.id for d in array.detections] == ["marks_2", "marks_0"]
    first = array.detections[0]
    assert first.header == HEADER
    (result,) = first.results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("marks", 0.75)
    assert result.pose.pose == messages.pose_from_transform(T)
    np.testing.assert_array_equal(result.pose.covariance, np.arange(36.0))
    size = np.array([first.bbox.size.x, first.bbox.size.y, first.bbox.size.z])
    np.testing.assert_allclose(size, MODEL.bounds_max - MODEL.bounds_min)
    T_camera_box = messages.transform_from_pose(first.bbox.center)
    corners = transform(T_camera_box, [-size / 2, size / 2])
    np.testing.assert_allclose(corners, transform(T, [MODEL.bounds_min, MODEL.bounds_max]))


@pytest.fixture
def tf2_source(peer: Peer) -> Iterator[Tf2Source]:
    pytest.importorskip("tf2_ros")
    made = Tf2Source(peer.node)
    yield made
    made.close()


def tf_message(parent: str, child: str, T: np.ndarray, stamp_ns: int) -> TFMessage:
    w, x, y, z = quaternion_wxyz(T[:3, :3]).tolist()
    tx, ty, tz = T[:3, 3].tolist()
    return TFMessage(
        transforms=[
            TransformStamped(
                header=Header(stamp=stamp_from_ns(stamp_ns), frame_id=parent),
                child_frame_id=child,
                transform=Transform(
                    translation=Vector3(x=tx, y=ty, z=tz), rotation=Quaternion(w=w, x=x, y=y, z=z)
                ),
            )
        ]
    )


def test_tf2_gives_the_transform_at_the_image_s_stamp(peer: Peer, tf2_source: Tf2Source) -> None:
    static = peer.node.create_publisher(TFMessage, "/tf_static", qos.latched(1))
    moving = peer.node.create_publisher(TFMessage, "/tf", qos.TF)
    mount = make_transform(exp_so3([0.1, 0.2, 0.3]), [0.0, 0.0, 0.1])
    static.publish(tf_message("arm", "camera", mount, 0))
    peer.spin_until(lambda: moving.get_subscription_count() > 0)
    for second in range(1, 4):
        T = make_transform(np.eye(3), [float(second), 0.0, 0.0])
        moving.publish(tf_message("base", "arm", T, second * 10**9))
    found = tf2_source.lookup("base", "camera", 2_500_000_000, PATIENCE)
    np.testing.assert_allclose(found[:3, :3], mount[:3, :3], atol=1e-9)
    np.testing.assert_allclose(found[:3, 3], [2.5, 0.0, 0.1], atol=1e-9)
    # Later than anything known, and a frame that nobody knows.
    with pytest.raises(TargetFrameError, match=r"from 'camera' to target_frame 'base'"):
        tf2_source.lookup("base", "camera", 9 * 10**9, 0.05)
    with pytest.raises(TargetFrameError, match="target_frame 'nowhere'"):
        tf2_source.lookup("nowhere", "camera", 2 * 10**9, 0.0)
    # A bag that is played again: the old run's transforms are forgotten, those at rest are not.
    with pytest.raises(TargetFrameError):
        tf2_source.lookup("base", "camera", 10**9, 0.0)
    moving.publish(tf_message("base", "arm", np.eye(4), 10**9))
    found = tf2_source.lookup("base", "camera", 10**9, PATIENCE)
    np.testing.assert_allclose(found, mount, atol=1e-9)


def test_a_node_publishes_poses_and_detections_in_the_target_frame_and_tf_in_the_camera_s(
    peer: Peer, marks_bundle: Path
) -> None:
    pytest.importorskip("tf2_ros")
    package = pytest.importorskip("vision_msgs.msg")
    T_base_camera = make_transform(exp_so3([0.3, 0.2, 0.1]), [1.0, 2.0, 3.0])
    static = peer.node.create_publisher(TFMessage, "/tf_static", qos.latched(1))
    static.publish(tf_message("base", "camera", T_base_camera, 0))
    parameters = {"target_frame": "base", "publish_detections": True, "use_sim_time": True}
    with NodeProcess("pose_node", bundle=marks_bundle, tracking=False, **parameters) as node:
        node.wait_for("active")
        arrays = poses_of(peer)
        detections = peer.collect(package.Detection3DArray, "/pose_node/detections")
        tf = peer.collect(TFMessage, "/tf", qos.TF)
        camera = Camera(peer)
        camera.wait_for_subscribers()
        camera.send_until(lambda: len(arrays) > 3 and len(detections) > 3 and len(tf) > 3)
        uses = opened(peer.node, "pose_node") | opened(peer.node, "pose_node_tf")
        assert peer.set_parameter("target_frame", "") is None
        arrays_before = len(arrays)
        camera.send_until(lambda: len(arrays) > arrays_before + 3)
        peer.spin_until(lambda: "pose_node_tf" not in peer.node.get_node_names())
        assert node.stop() == 0
    found = arrays[0]
    assert found.header.frame_id == found.poses[0].header.frame_id == "base"
    T_base_object = messages.transform_from_pose(found.poses[0].pose.pose)
    truth = marks_world.pose(stamp_ns(found.header.stamp) * 1e-9)
    np.testing.assert_allclose(T_base_object[:3, 3], (T_base_camera @ truth)[:3, 3], atol=0.01)
    assert detections[0].header.frame_id == "base"
    assert {t.header.frame_id for message in tf for t in message.transforms} == {"camera"}
    assert arrays[-1].poses[0].header.frame_id == arrays[-1].header.frame_id == "camera"
    # What the policy allows for this, which elsewhere cannot be opened; the camera's topics are not
    # named here as they are there.
    rules = allowed()
    opened_beyond = {use.name for use in uses if not any(covers(rule, use) for rule in rules)}
    assert opened_beyond == {"/image", "/camera_info"}
    optional = {rule for rule in rules if only_with_optional_packages(rule)}
    assert {rule for rule in optional if not any(covers(rule, use) for use in uses)} == set()
