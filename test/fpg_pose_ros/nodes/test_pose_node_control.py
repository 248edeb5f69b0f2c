# SPDX-License-Identifier: Apache-2.0
"""A pose node at work is steered: its model, its parameters, its state, its camera."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from fpg_pose_ros.msg import ModelInfo, ObjectPoseArray
from rclpy.serialization import serialize_message
from remembering import memory, with_memory
from ros_processes import Camera, NodeProcess, Peer, play, poses_of, status_of, values_of
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from fpg_pose_ros.bundle import read_bundle, write_bundle
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.messages import transform_from_pose
from fpg_pose_ros.nodes.recorder_node import BagThread
from fpg_pose_ros.nodes.stamps import stamp_from_ns, stamp_ns
from fpg_pose_ros.tracking import PoseTracker, TrackingSettings


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that finds the same marks, and calls them otherwise."""
    return marks_world.write(tmp_path_factory.mktemp("bundles") / "other", object_name="other")


@pytest.fixture(scope="module")
def node(ros: None, marks_bundle: Path) -> Iterator[NodeProcess]:
    """A node that may be slow, but loses no frame."""
    with NodeProcess(
        "pose_node",
        bundle=marks_bundle,
        image_reliability="reliable",
        image_queue_depth=30,
        diagnostics_period=0.2,
        camera_timeout=0.5,
        track_hits=1,
        use_sim_time=True,
    ) as process:
        process.wait_for("active")
        yield process


@pytest.fixture
def camera(peer: Peer, node: NodeProcess) -> Camera:
    made = Camera(peer, "reliable", depth=30)
    made.wait_for_subscribers()
    return made


def names_of(array: ObjectPoseArray) -> list[str]:
    return sorted(pose.object_id for pose in array.poses)


def finds(arrays: list[ObjectPoseArray], *names: str) -> Callable[[], bool]:
    """Whether the last frame showed just these objects."""
    return lambda: bool(arrays) and names_of(arrays[-1]) == sorted(names)


def test_another_bundle_takes_over_without_a_lost_frame_and_a_bad_one_does_not(
    peer: Peer,
    node: NodeProcess,
    camera: Camera,
    marks_bundle: Path,
    other_bundle: Path,
    tmp_path: Path,
) -> None:
    arrays = poses_of(peer)
    with camera.streaming(rate=10.0):
        peer.spin_until(finds(arrays, "marks"))
        answer = peer.load_bundle(other_bundle)
        assert answer.success
        assert answer.message.startswith("bundle marks (")
        assert answer.message.endswith("it finds: other")
        peer.spin_until(finds(arrays, "other"))
        assert peer.get_parameter("bundle") == str(other_bundle)

        altered = tmp_path / "altered"
        shutil.copytree(marks_bundle, altered)
        (altered / "pose.onnx").write_bytes(bytes((marks_bundle / "pose.onnx").stat().st_size))
        for bad, complaint in (
            ([altered], "pose.onnx has been altered"),
            ([tmp_path / "none"], "is neither a path nor an installed bundle"),
            ([], "is neither a path nor an installed bundle"),
            ([marks_bundle, marks_bundle], "both have an object marks"),
        ):
            answer = peer.load_bundle(*bad)
            assert not answer.success
            assert answer.message.startswith("not taken, the old one goes on: ")
            assert complaint in answer.message
        assert peer.get_parameter("bundle") == str(other_bundle)
        count = len(arrays)
        peer.spin_until(lambda: len(arrays) > count + 2)
        assert names_of(arrays[-1]) == ["other"]

        assert peer.load_bundle(marks_bundle, other_bundle).success
        peer.spin_until(finds(arrays, "marks", "other"))
        infos = peer.collect(ModelInfo, "/pose_node/model_info", qos.latched(5))
        peer.spin_until(lambda: len(infos) == 2)
        assert [list(info.object_ids) for info in infos] == [["marks"], ["other"]]
        assert peer.load_bundle(marks_bundle).success
        peer.spin_until(finds(arrays, "marks"))
    answered = [stamp_ns(array.header.stamp) for array in arrays]
    sent = [stamp for stamp in camera.sent if answered[0] <= stamp <= answered[-1]]
    assert arrays[-1].frames_received - arrays[0].frames_received == len(sent) - 1
    assert answered == sent
    assert arrays[-1].frames_dropped == arrays[0].frames_dropped
    assert "Traceback" not in node.output


@pytest.fixture(scope="module")
def told_bundle(marks_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that finds the marks, by a network that is told of earlier images."""
    path = tmp_path_factory.mktemp("bundles") / "told"
    plain = read_bundle(marks_bundle)
    spec = replace(memory((1, 2)), fps=25.0)  # the rate of `Camera.streaming`
    write_bundle(path, *with_memory(plain.manifest, plain.files, spec))
    return path


def test_a_network_with_a_memory_comes_and_goes_and_a_reset_makes_it_forget(
    peer: Peer, node: NodeProcess, camera: Camera, marks_bundle: Path, told_bundle: Path
) -> None:
    arrays = poses_of(peer)
    expected: list[float] = []

    def look(bundle: Path, count: int = 4, **settings: bool) -> list[float]:
        """What the heart of the node says of some images that the node is shown too."""
        tracker = PoseTracker([Estimator(read_bundle(bundle))], TrackingSettings(hits=1))
        tracker.settings = replace(tracker.settings, **settings)
        scores = []
        for stamp in camera.sent[-count:]:
            picture = marks_world.image(marks_world.pose(stamp * 1e-9))
            (found,) = tracker.estimate(picture, marks_world.CAMERA, stamp, "camera").estimates
            scores.append(found.score)
        return scores

    def show(bundle: Path, count: int = 4) -> list[float]:
        for _ in range(count):
            camera.send(10**9 + 40_000_000 * len(camera.sent))
            peer.spin_until(lambda: len(arrays) == len(camera.sent))
        expected.extend(look(bundle))
        return expected[-count:]

    def reset() -> bool:
        return bool(peer.call("pose_node", "reset", Trigger, Trigger.Request()).success)

    answer = peer.load_bundle(told_bundle)
    assert answer.message.endswith("it finds: marks; earlier images help with: marks")
    told = show(told_bundle)
    alone = look(told_bundle, enabled=False)
    assert told[0] == alone[0]
    assert min(abs(a - b) for a, b in zip(told[1:], alone[1:], strict=True)) > 1e-3
    assert reset()
    show(told_bundle)
    assert peer.load_bundle(marks_bundle).message.endswith("it finds: marks")
    show(marks_bundle)
    assert peer.load_bundle(told_bundle).success
    show(told_bundle)
    assert peer.load_bundle(marks_bundle).success
    got = [pose.score for array in arrays for pose in array.poses]
    np.testing.assert_allclose(got, expected, rtol=1e-6)
    assert "Traceback" not in node.output


def test_disabled_it_lets_images_pass_and_enabled_it_looks_at_the_next(
    peer: Peer, node: NodeProcess, camera: Camera
) -> None:
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")

    def enable(on: bool) -> str:
        response = peer.call("pose_node", "enable", SetBool, SetBool.Request(data=on))
        assert response.success
        return response.message

    with camera.streaming():
        peer.spin_until(lambda: bool(arrays))
        assert enable(False) == "disabled"
        peer.spin(0.1)
        arrays.clear()
        peer.spin_until(
            lambda: (
                "disabled" in status_of(diagnostics[-1], "frames").message if diagnostics else False
            )
        )
        assert camera.images.get_subscription_count() == 1
        assert arrays == []
        assert status_of(diagnostics[-1], "frames").level != DiagnosticStatus.ERROR
        assert enable(True) == "enabled"
        peer.spin_until(lambda: bool(arrays))
        assert peer.call("pose_node", "reset", Trigger, Trigger.Request()).success


def test_parameters_that_are_set_together_take_effect_together_or_not_at_all(
    peer: Peer, node: NodeProcess, camera: Camera
) -> None:
    arrays = poses_of(peer)
    reason = peer.set_parameters(min_score=0.9, track_hits=5, max_instances=17)
    assert "max_instances" in (reason or "")
    assert (peer.get_parameter("min_score"), peer.get_parameter("track_hits")) == (0.3, 1)
    assert "image_transport takes effect" in (
        peer.set_parameters(image_transport="compressed") or ""
    )
    assert "read-only" in (peer.set_parameters(image_reliability="best_effort") or "")
    assert "tf2_ros" in (peer.set_parameters(target_frame="world", publish_tf=False) or "")
    assert peer.get_parameter("publish_tf") is True
    with camera.streaming():
        peer.spin_until(finds(arrays, "marks"))
        assert peer.set_parameters(min_score=1.0, tracking=False) is None
        peer.spin_until(finds(arrays))
        assert peer.set_parameters(min_score=0.3, tracking=True) is None
        peer.spin_until(finds(arrays, "marks"))


def test_a_camera_that_is_unplugged_is_reported_and_taken_up_again(
    peer: Peer, node: NodeProcess, camera: Camera
) -> None:
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")

    def state() -> tuple[bytes, str]:
        status = status_of(diagnostics[-1], "camera")
        return status.level, status.message

    with camera.streaming():
        peer.spin_until(lambda: bool(diagnostics) and bool(arrays))
        peer.spin_until(lambda: state() == (DiagnosticStatus.OK, "images come"))
    peer.spin_until(lambda: state()[0] == DiagnosticStatus.ERROR)
    assert state()[1].startswith("no image for")
    # It comes back as another publisher, and its clock has gone on.
    peer.node.destroy_publisher(camera.images)
    peer.node.destroy_publisher(camera.infos)
    arrays.clear()
    back = Camera(peer, "reliable")
    back.wait_for_subscribers()
    back.sent = [0] * 1000
    with back.streaming():
        peer.spin_until(finds(arrays, "marks"))
        peer.spin_until(lambda: state() == (DiagnosticStatus.OK, "images come"))
    assert arrays[0].poses[0].instance_id == 0


def test_a_calibration_that_is_bad_or_changes_in_mid_stream_is_noticed_and_followed(
    peer: Peer, node: NodeProcess, camera: Camera
) -> None:
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")

    def dropped(cause: str) -> int:
        return int(values_of(diagnostics[-1], "frames").get(f"dropped: {cause}", 0))

    good, stamp = marks_world.CAMERA, 10**9
    peer.spin_until(lambda: bool(diagnostics))
    for field, value, frame, cause in (
        ("k", [0.0] * 9, "camera", "camera_info"),
        ("k", [float("nan")] * 9, "camera", "camera_info"),
        ("width", 320, "camera", "camera_info"),
        ("width", 640, "elsewhere", "no camera_info"),
    ):
        before = dropped(cause)
        for _ in range(2):  # one that waits for its camera_info is given up for the next
            stamp += 40_000_000
            info = camera_to_info(good, camera.header(stamp, frame))
            setattr(info, field, value)
            camera.infos.publish(info)
            camera.images.publish(camera.picture(stamp))
            peer.spin(0.05)
        peer.spin_until(lambda cause=cause, before=before: dropped(cause) > before)
    assert arrays == []
    assert "of frame 'elsewhere'" in status_of(diagnostics[-1], "camera").message
    with camera.streaming():
        peer.spin_until(finds(arrays, "marks"))
    # Through a longer lens the same picture shows the object farther away.
    near = arrays[-1].poses[0].pose.pose.position.z
    peer.spin(0.3)
    arrays.clear()
    last = camera.sent[-1]
    for number in range(1, 12):
        info = camera_to_info(good, camera.header(last + 40_000_000 * number))
        info.k = (
            np.diag([1.5, 1.5, 1.0]) @ good.K
            - [[0, 0, 0.5 * good.K[0, 2]], [0, 0, 0.5 * good.K[1, 2]], [0, 0, 0]]
        ).ravel()
        camera.infos.publish(info)
        picture = camera.picture(last)
        picture.header = info.header
        camera.images.publish(picture)
        peer.spin(0.03)
    peer.spin_until(lambda: len(arrays) == 11)
    assert arrays[-1].poses[0].pose.pose.position.z == pytest.approx(1.5 * near, rel=0.1)


def write_recording(path: Path, stamps: range) -> Path:
    """An MCAP bag of the camera's topics, and of a clock that goes on every 10 ms."""
    bag = BagThread(path)
    kinds = {"/clock": Clock, "/camera_info": CameraInfo, "/image": Image}
    topics = {
        topic: bag.add_topic(topic, f"{kind.__module__.split('.')[0]}/msg/{kind.__name__}", [])
        for topic, kind in kinds.items()
    }

    def put(topic: str, now: int, message: object) -> None:
        bag.write(topics[topic], now, serialize_message(message))

    for now in range(stamps.start, stamps.stop, 10**7):
        put("/clock", now, Clock(clock=stamp_from_ns(now)))
        if now in stamps:
            header = Header(stamp=stamp_from_ns(now), frame_id="camera")
            picture = marks_world.image(marks_world.pose(now * 1e-9))
            put("/camera_info", now, camera_to_info(marks_world.CAMERA, header))
            put("/image", now, rgb_to_image(picture, header))
    bag.close()
    return path


def test_a_recording_at_twice_its_speed_gives_true_poses_by_its_own_clock(
    peer: Peer, node: NodeProcess, camera: Camera, tmp_path: Path
) -> None:
    stamps = range(10**10, 10**10 + 10**9, 4 * 10**7)  # all of them may wait at once
    bag = write_recording(tmp_path / "bag", stamps)
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    camera.send_until(lambda: bool(arrays))
    peer.spin_until(lambda: stamp_ns(arrays[-1].header.stamp) == camera.sent[-1])
    arrays.clear()
    play(peer, bag, rate=2.0)
    peer.spin_until(lambda: len(arrays) == len(stamps))
    assert [stamp_ns(array.header.stamp) for array in arrays] == list(stamps)
    errors = []
    for array in arrays:
        (found,) = array.poses
        truth = marks_world.pose(stamp_ns(array.header.stamp) * 1e-9)
        T = transform_from_pose(found.pose.pose)
        errors.append(np.linalg.norm(T[:3, 3] - truth[:3, 3]))
    assert np.median(errors) < 0.01
    assert max(errors) < 0.05
    # The node's own clock has stopped where the recording's has.
    diagnostics.clear()
    peer.spin_until(lambda: bool(diagnostics))
    assert stamp_ns(diagnostics[0].header.stamp) == stamps.stop - 10**7


def test_transitions_at_any_time_under_load_do_no_harm(
    peer: Peer, node: NodeProcess, camera: Camera, marks_bundle: Path
) -> None:
    arrays = poses_of(peer)
    with camera.streaming(rate=30.0):
        for _ in range(2):
            peer.spin_until(finds(arrays, "marks"))
            assert peer.change_state("deactivate")
            answer = peer.call("pose_node", "enable", SetBool, SetBool.Request(data=True))
            assert (answer.success, answer.message) == (
                False,
                "the node is inactive: activate it first",
            )
            assert peer.change_state("activate")
            assert peer.change_state("deactivate")
            assert peer.load_bundle(marks_bundle).success
            assert peer.change_state("cleanup")
            answer = peer.load_bundle(marks_bundle)
            assert not answer.success
            assert "the node is unconfigured" in answer.message
            assert peer.change_state("configure")
            assert peer.change_state("activate")
            arrays.clear()
        peer.spin_until(finds(arrays, "marks"))
    assert "Traceback" not in node.output
