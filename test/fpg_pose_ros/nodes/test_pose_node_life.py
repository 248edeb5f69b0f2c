# SPDX-License-Identifier: Apache-2.0
"""The pose node from its start to its end, each test with a process of its own."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import marks_world
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from ros_processes import Camera, NodeProcess, Peer, levels_of, poses_of, status_of, values_of
from tf2_msgs.msg import TFMessage

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.images import rgb_to_image
from fpg_pose_ros.nodes.stamps import stamp_ns


def test_diagnostics_tell_of_the_model_the_camera_and_the_frames(
    peer: Peer, pose_node: NodeProcess
) -> None:
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    peer.spin_until(lambda: bool(diagnostics))
    assert levels_of(diagnostics[-1]) == {
        "model": DiagnosticStatus.OK,
        "camera": DiagnosticStatus.WARN,
        "frames": DiagnosticStatus.OK,
        "tracker": DiagnosticStatus.OK,
    }
    camera = Camera(peer)
    camera.wait_for_subscribers()
    camera.send_until(lambda: int(values_of(diagnostics[-1], "frames").get("processed", 0)) >= 10)
    values = values_of(diagnostics[-1], "frames")
    assert set(levels_of(diagnostics[-1]).values()) == {DiagnosticStatus.OK}
    assert int(values["received"]) == int(values["processed"]) == int(values["poses"])
    for stage in ("convert", "preprocess", "locate", "infer", "solve", "publish", "total"):
        assert 0.0 <= float(values[f"{stage} p50 (ms)"]) <= float(values[f"{stage} p99 (ms)"])
    assert float(values["total p50 (ms)"]) < 100.0
    assert "age p50 (ms)" in values
    assert float(values_of(diagnostics[-1], "tracker")["locator rate (Hz)"]) > 0.0


def test_images_without_a_usable_camera_info_are_counted(
    peer: Peer, pose_node: NodeProcess
) -> None:
    arrays = poses_of(peer)
    diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
    camera = Camera(peer)
    camera.wait_for_subscribers()
    infos, camera.infos = camera.infos, _Unplugged()
    camera.send_until(
        lambda: (
            bool(diagnostics)
            and int(values_of(diagnostics[-1], "frames").get("dropped: no camera_info", 0)) > 2
        )
    )
    assert status_of(diagnostics[-1], "camera").message == "no camera_info has come"
    assert status_of(diagnostics[-1], "camera").level == DiagnosticStatus.WARN
    assert arrays == []
    camera.infos = infos
    camera.send_until(lambda: bool(arrays))


class _Unplugged:
    """A publisher that publishes nothing."""

    def publish(self, message: object) -> None:
        pass


def test_the_tf_prefix_and_the_switch_for_tf_are_obeyed(peer: Peer, marks_bundle: Path) -> None:
    with NodeProcess("pose_node", bundle=marks_bundle, tf_prefix="seen/") as process:
        process.wait_for("active")
        tf = peer.collect(TFMessage, "/tf", qos.TF)
        arrays = poses_of(peer)
        camera = Camera(peer)
        camera.wait_for_subscribers()
        camera.send_until(lambda: bool(tf))
        assert tf[0].transforms[0].child_frame_id == "seen/marks"
        assert peer.set_parameter("publish_tf", False) is None
        peer.spin(0.2)
        tf.clear()
        count = len(arrays)
        camera.send_until(lambda: len(arrays) >= count + 5)
        assert tf == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_node_at_once_with_exit_code_0(
    peer: Peer, marks_bundle: Path, number: signal.Signals
) -> None:
    with NodeProcess("pose_node", bundle=marks_bundle) as process:
        process.wait_for("active")
        arrays = poses_of(peer)
        camera = Camera(peer)
        camera.wait_for_subscribers()
        camera.send_until(lambda: bool(arrays))
        assert process.stop(number) == 0
        assert "Traceback" not in process.output


def test_without_autostart_the_node_waits_for_its_transitions(
    peer: Peer, marks_bundle: Path
) -> None:
    with NodeProcess("pose_node", bundle=marks_bundle, autostart=False):
        assert peer.state() == "unconfigured"
        assert "/pose_node/poses" not in topics(peer)
        assert peer.change_state("configure")
        assert peer.state() == "inactive"
        arrays = poses_of(peer)
        camera = Camera(peer)
        peer.spin_until(lambda: "/pose_node/poses" in topics(peer))
        assert camera.images.get_subscription_count() == 0
        for _ in range(2):
            assert peer.change_state("activate")
            assert peer.state() == "active"
            camera.wait_for_subscribers()
            arrays.clear()
            camera.send_until(lambda: len(arrays) >= 2)
            assert arrays[0].frames_received <= len(camera.sent)
            assert peer.change_state("deactivate")
            peer.spin_until(lambda: camera.images.get_subscription_count() == 0)
        assert peer.change_state("cleanup")
        assert peer.state() == "unconfigured"
        peer.spin_until(lambda: arrays_have_no_publisher(peer))
        assert not peer.change_state("activate")
        assert peer.change_state("shutdown")
        assert peer.state() == "finalized"


def topics(peer: Peer) -> dict[str, list[str]]:
    return dict(peer.node.get_topic_names_and_types())


def arrays_have_no_publisher(peer: Peer) -> bool:
    return peer.node.count_publishers("/pose_node/poses") == 0


def test_a_bad_bundle_leaves_the_node_unconfigured_with_one_clear_error(
    peer: Peer, marks_bundle: Path, tmp_path: Path
) -> None:
    altered = tmp_path / "altered"
    shutil.copytree(marks_bundle, altered)
    (altered / "pose.onnx").write_bytes(b"\x00" * (marks_bundle / "pose.onnx").stat().st_size)
    with NodeProcess("pose_node", bundle=altered, diagnostics_period=0.2) as process:
        process.wait_for("not configured")
        diagnostics = peer.collect(DiagnosticArray, "/diagnostics")
        assert peer.state() == "unconfigured"
        assert process.output.count("ERROR") == 1
        assert "pose.onnx has been altered" in process.output
        assert "Traceback" not in process.output
        peer.spin_until(lambda: bool(diagnostics))
        model = status_of(diagnostics[-1], "model")
        assert model.level == DiagnosticStatus.ERROR
        assert "pose.onnx has been altered" in model.message
        # With a good one it can go on, without a new start.
        assert peer.set_parameter("bundle", str(marks_bundle)) is None
        assert peer.change_state("configure")
        assert peer.change_state("activate")
        diagnostics.clear()
        peer.spin_until(lambda: bool(diagnostics))
        assert status_of(diagnostics[-1], "model").level == DiagnosticStatus.OK
        arrays = poses_of(peer)
        camera = Camera(peer)
        camera.wait_for_subscribers()
        camera.send_until(lambda: bool(arrays))


def test_a_bundle_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with NodeProcess("pose_node", bundle=tmp_path / "none") as process:
        process.wait_for("is neither a path nor an installed bundle")
        assert process.stop() == 0


def test_a_parameter_out_of_its_range_ends_the_start_in_one_line_and_exit_code_2() -> None:
    with NodeProcess("pose_node", min_score=1.5) as process:
        assert process.wait() == 2
        assert process.output.startswith("error: parameter min_score takes a double (0 to 1)")
        assert process.output.count("\n") == 1


def test_exact_matching_pairs_images_with_a_camera_info_that_comes_later(
    peer: Peer, marks_bundle: Path
) -> None:
    with NodeProcess(
        "pose_node",
        bundle=marks_bundle,
        camera_info_match="exact",
        image_reliability="reliable",
    ) as process:
        process.wait_for("active")
        arrays = poses_of(peer)
        camera = Camera(peer, "reliable")
        camera.wait_for_subscribers()
        for number in range(1, 4):
            stamp = number * 10**9
            header = camera.header(stamp)
            picture = marks_world.image(marks_world.pose(number))
            camera.images.publish(rgb_to_image(picture, header))
            peer.spin(0.1)
            assert len(arrays) == number - 1
            camera.infos.publish(camera_to_info(marks_world.CAMERA, header))
            peer.spin_until(lambda n=number: len(arrays) == n)
            assert stamp_ns(arrays[-1].header.stamp) == stamp


def test_after_a_delay_the_newest_frame_wins(peer: Peer, marks_bundle: Path) -> None:
    with NodeProcess("pose_node", bundle=marks_bundle, image_reliability="reliable") as process:
        process.wait_for("active")
        arrays = poses_of(peer)
        camera = Camera(peer, "reliable")
        camera.wait_for_subscribers()
        camera.send_until(lambda: bool(arrays))
        peer.spin(0.3)
        arrays.clear()
        process.process.send_signal(signal.SIGSTOP)
        late = [10**10 + number * 10**7 for number in range(12)]
        for stamp in late:
            camera.send(stamp)
        process.process.send_signal(signal.SIGCONT)
        peer.spin_until(lambda: bool(arrays) and stamp_ns(arrays[-1].header.stamp) == late[-1])
        stamps = [stamp_ns(array.header.stamp) for array in arrays]
        assert stamps == sorted(stamps)
        assert len(stamps) < len(late)
