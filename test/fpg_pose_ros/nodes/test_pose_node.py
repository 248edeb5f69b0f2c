# SPDX-License-Identifier: Apache-2.0
"""The pose node as its users meet it: a process that is spoken to over DDS."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from diagnostic_msgs.msg import DiagnosticArray
from fpg_pose_ros.msg import ModelInfo, ObjectPoseArray
from geometry_msgs.msg import PoseStamped
from ros_processes import Camera, NodeProcess, Peer, poses_of, status_of, values_of
from sensor_msgs.msg import Image
from tf2_msgs.msg import TFMessage
from visualization_msgs.msg import Marker, MarkerArray

from fpg_pose_ros.geometry import rotation_angle
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.messages import transform_from_pose
from fpg_pose_ros.nodes.stamps import stamp_ns


@pytest.mark.parametrize("reliability", ["best_effort", "reliable"])
def test_the_true_pose_comes_back_with_the_images_own_stamp_and_frame(
    peer: Peer, shared_pose_node: NodeProcess, reliability: str
) -> None:
    arrays = poses_of(peer)
    single = peer.collect(PoseStamped, "/pose_node/marks/pose")
    tf = peer.collect(TFMessage, "/tf", qos.TF)
    camera = Camera(peer, reliability)
    camera.wait_for_subscribers()
    camera.send_until(lambda: len(tf) >= 5 and len(single) >= 5 and len(arrays) >= 5)
    for array in arrays:
        stamp = stamp_ns(array.header.stamp)
        assert stamp in camera.sent
        assert array.header.frame_id == "camera"
        (found,) = array.poses
        assert found.header == array.header
        assert found.object_id == "marks"
        truth = marks_world.pose(stamp * 1e-9)
        T = transform_from_pose(found.pose.pose)
        assert rotation_angle(T[:3, :3], truth[:3, :3]) < np.radians(3.0)
        assert np.linalg.norm(T[:3, 3] - truth[:3, 3]) < 0.01
        covariance = np.reshape(found.pose.covariance, (6, 6))
        assert np.all(np.linalg.eigvalsh(covariance) > 0)
        assert 0.5 < found.score <= 1.0
        assert 0.0 < found.reprojection_error < 2.0
        assert 0.0 < found.infer_ms < found.total_ms
    by_stamp = {stamp_ns(array.header.stamp): array.poses[0] for array in arrays}
    for message in single:
        found = by_stamp[stamp_ns(message.header.stamp)]
        assert message.header.frame_id == "camera"
        assert message.pose == found.pose.pose
    for message in tf:
        (transform,) = message.transforms
        assert (transform.header.frame_id, transform.child_frame_id) == ("camera", "marks")
        found = by_stamp[stamp_ns(transform.header.stamp)]
        assert transform.transform.translation.z == found.pose.pose.position.z
        assert transform.transform.rotation == found.pose.pose.orientation


def test_nothing_in_view_gives_an_empty_array_and_no_transform(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    arrays = poses_of(peer)
    single = peer.collect(PoseStamped, "/pose_node/marks/pose")
    tf = peer.collect(TFMessage, "/tf", qos.TF)
    camera = Camera(peer)
    camera.wait_for_subscribers()
    camera.send_until(lambda: len(arrays) >= 5, visible=False)
    assert all(array.poses == [] for array in arrays)
    assert all(stamp_ns(array.header.stamp) in camera.sent for array in arrays)
    assert single == []
    assert tf == []


def test_markers_show_the_object_and_are_deleted_when_it_is_gone(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    arrays = poses_of(peer)
    messages = peer.collect(MarkerArray, "/pose_node/markers")
    camera = Camera(peer)
    camera.wait_for_subscribers()
    camera.send_until(lambda: len(messages) >= 3)
    mesh, axes, covariance, label = messages[-1].markers
    assert (mesh.type, mesh.action) == (Marker.TRIANGLE_LIST, Marker.ADD)
    assert (mesh.ns, mesh.header.frame_id) == ("marks/mesh", "camera")
    triangles = marks_world.model().mesh
    corners = [(p.x, p.y, p.z) for p in mesh.points]
    np.testing.assert_allclose(
        corners, triangles.vertices[triangles.faces].reshape(-1, 3), atol=1e-6
    )
    assert len(mesh.colors) == len(corners)
    stamp = stamp_ns(mesh.header.stamp)
    peer.spin_until(lambda: any(stamp_ns(array.header.stamp) == stamp for array in arrays))
    found = next(a for a in arrays if stamp_ns(a.header.stamp) == stamp).poses[0]
    assert mesh.pose == axes.pose == found.pose.pose
    assert covariance.pose.position == found.pose.pose.position
    variance = np.reshape(found.pose.covariance, (6, 6))[:3, :3].trace()
    diameters = [covariance.scale.x, covariance.scale.y, covariance.scale.z]
    assert np.isclose(np.square(diameters).sum() / 16, variance)
    assert label.text == f"marks {found.instance_id} {found.score:.2f}"
    messages.clear()
    camera.send_until(
        lambda: any(m.action == Marker.DELETE for a in messages for m in a.markers), visible=False
    )


def test_the_overlay_is_drawn_only_while_someone_listens(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    arrays = poses_of(peer)
    camera = Camera(peer)
    camera.wait_for_subscribers()
    camera.send_until(lambda: len(arrays) >= 10)
    diagnostics.clear()
    camera.send_until(lambda: any(values_of(m, "frames").get("processed") for m in diagnostics))
    alone = float(values_of(diagnostics[-1], "frames")["pictures p50 (ms)"])
    overlays = peer.collect(Image, "/pose_node/overlay")
    camera.send_until(lambda: len(overlays) >= 3)
    assert alone < 0.2, "something was drawn for nobody"
    assert overlays[-1].encoding == "rgb8"
    assert (overlays[-1].width, overlays[-1].height) == (640, 480)
    stamp = stamp_ns(overlays[-1].header.stamp)
    assert stamp in camera.sent
    drawn = np.frombuffer(overlays[-1].data, np.uint8).reshape(480, 640, 3)
    plain = marks_world.image(marks_world.pose(stamp * 1e-9))
    assert (drawn != plain).any(axis=2).sum() > 200


def test_the_model_is_announced_to_those_who_come_later(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    infos = peer.collect(ModelInfo, "/pose_node/model_info", qos.latched(1))
    peer.spin_until(lambda: bool(infos))
    assert infos[0].bundle_name == "marks"
    assert len(infos[0].bundle_hash) == 64
    assert list(infos[0].object_ids) == ["marks"]
    assert infos[0].pose_macs == 128 * 128 * 6 * 8
    assert infos[0].training_command == "written by hand"
    assert dict(zip(infos[0].metric_names, infos[0].metric_values, strict=True)) == {"add01": 1.0}
    assert infos[0].metrics_data == "drawn marks"


def test_a_malformed_image_is_counted_under_its_cause_and_the_node_lives(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    camera = Camera(peer)
    camera.wait_for_subscribers()
    camera.send_until(lambda: bool(arrays))
    size = {"width": 640, "height": 480}
    broken = [
        Image(encoding="yuv9", step=1920, data=bytes(8), **size),
        Image(encoding="rgb8", step=1920, data=bytes(8), **size),
        Image(encoding="rgb8", step=3, data=bytes(640 * 480 * 3), **size),
    ]

    def counted() -> dict[str, str]:
        return values_of(diagnostics[-1], "frames") if diagnostics else {}

    for count, image in enumerate(broken, start=1):
        image.header = camera.header(10**9 * count)
        while int(counted().get("dropped: image", 0)) < count:
            before = len(diagnostics)
            camera.images.publish(image)
            peer.spin_until(lambda n=before: len(diagnostics) > n)
    assert "dropping frames (image" in status_of(diagnostics[-1], "frames").message
    assert "image encoding 'yuv9' is not supported" in shared_pose_node.output
    arrays.clear()
    camera.send_until(lambda: bool(arrays))
    assert len(arrays[0].poses) == 1
    assert arrays[0].frames_dropped >= 3
    assert shared_pose_node.process.poll() is None


@pytest.mark.parametrize(
    ("limit", "strict"),
    [("min_score", 1.0), ("min_detection_score", 1.0), ("max_reprojection_error", 0.001)],
)
def test_each_limit_changes_what_is_reported_at_once(
    peer: Peer, shared_pose_node: NodeProcess, limit: str, strict: float
) -> None:
    arrays = poses_of(peer)
    camera = Camera(peer)
    camera.wait_for_subscribers()

    def found(count: int) -> bool:
        """Sends a few frames; whether each of them shows that many objects."""
        first = len(camera.sent)

        def fresh() -> list[ObjectPoseArray]:
            stamps = set(camera.sent[first:])
            return [array for array in arrays if stamp_ns(array.header.stamp) in stamps]

        camera.send_until(lambda: len(fresh()) >= 3)
        return all(len(array.poses) == count for array in fresh())

    before = peer.get_parameter(limit)
    assert found(1)
    assert peer.set_parameter(limit, strict) is None
    assert found(0)
    assert peer.set_parameter(limit, before) is None
    assert found(1)


def test_a_parameter_is_not_set_when_it_could_have_no_effect(
    peer: Peer, shared_pose_node: NodeProcess
) -> None:
    reason = peer.set_parameter("threads", 2)
    assert reason == "threads takes effect when the node is configured: clean it up first"
    assert "read-only" in (peer.set_parameter("autostart", False) or "")
    assert peer.get_parameter("threads") == 1
    assert peer.get_parameter("autostart") is True
