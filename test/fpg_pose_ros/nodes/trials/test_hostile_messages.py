# SPDX-License-Identifier: Apache-2.0
"""Ten thousand messages that no honest camera sends, over DDS, to the node that robots run."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = [pytest.mark.ros, pytest.mark.timeout(600)]

import hostile_messages as hostile
import marks_world
from diagnostic_msgs.msg import DiagnosticArray
from fpg_pose_ros.msg import ObjectPoseArray
from rclpy.serialization import serialize_message
from ros_processes import NodeProcess, Peer, poses_of
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.cameras import camera_to_info
from fpg_pose_ros.nodes.messages import transform_from_pose
from fpg_pose_ros.nodes.stamps import stamp_ns

#: Fewer than the node's queue holds, so that none has to make room for a later one.
BATCH = 40
QUEUE = 100
IMAGES, CAMERA_INFOS, COMPRESSED, ON_THE_WIRE = 6000, 2000, 2000, 500


class Flow:
    """A camera that waits until the node has counted everything it sent."""

    def __init__(self, peer: Peer, node: NodeProcess, kind: type, topic: str) -> None:
        self._peer, self._node = peer, node
        profile = qos.images("reliable", 2 * QUEUE)
        self.pictures = peer.node.create_publisher(kind, topic, profile)
        self.infos = peer.node.create_publisher(CameraInfo, "camera_info", profile)
        self._diagnostics: list[DiagnosticArray] = peer.collect(DiagnosticArray, "/diagnostics")
        self.arrays: list[ObjectPoseArray] = poses_of(peer)
        self.sent = 0
        self.now = 10**9
        peer.spin_until(
            lambda: all(p.get_subscription_count() for p in (self.pictures, self.infos))
        )
        peer.spin(0.5)

    def time(self) -> int:
        """Returns the stamp of the next frame (ns)."""
        self.now += 33_333_333
        return self.now

    def send(self, message: Any) -> None:
        """Publishes an image, and waits if as many are on the way as may be."""
        self.pictures.publish(message)
        self.sent += 1
        if self.sent % BATCH == 0:
            self.wait()

    def send_info(self, stamp_ns: int) -> None:
        """Publishes an honest CameraInfo."""
        self.infos.publish(camera_to_info(hostile.CAMERA, hostile.header({}, stamp_ns)))

    def send_info_for(self, message: Any) -> None:
        """Publishes a CameraInfo that goes with an image, whatever that claims to be."""
        info = camera_to_info(hostile.CAMERA, message.header)
        info.width, info.height = message.width, message.height
        self.infos.publish(info)

    def wait(self) -> None:
        """Waits until the node says that it has received all that was sent."""

        def arrived() -> bool:
            assert self._node.process.poll() is None, f"the node died:\n{self._node.output}"
            return self.counts()["received"] >= self.sent

        self._peer.spin_until(arrived)

    def counts(self) -> Counter[str]:
        """Returns the node's own counts as they were last reported."""
        counts: Counter[str] = Counter()
        for status in self._diagnostics[-1].status if self._diagnostics else []:
            for item in status.values:
                if item.key in ("received", "processed") or item.key.startswith("dropped: "):
                    counts[item.key] = int(item.value)
        del self._diagnostics[:-1]
        return counts

    def settle(self, build: Callable[[Any, int], Any]) -> Counter[str]:
        """Sends honest frames until one gives the right pose, and returns the final counts."""
        self.arrays.clear()
        for _ in range(5):
            stamp = self.time()
            self.send_info(stamp)
            self.send(build({}, stamp))
            self.wait()
        self._peer.spin_until(lambda: bool(self.arrays))
        self._peer.spin(0.5)  # so that the last report is of the last frame
        (found,) = self.arrays[-1].poses
        T = transform_from_pose(found.pose.pose)
        assert np.linalg.norm(T[:3, 3] - marks_world.pose()[:3, 3]) < 0.05
        return self.counts()


def all_accounted(counts: Counter[str], sent: int, node: NodeProcess) -> dict[str, int]:
    """Returns the counts by cause; every message must be among them."""
    causes = {key: value for key, value in counts.items() if key.startswith("dropped: ")}
    assert counts["received"] == sent
    assert counts["processed"] + sum(causes.values()) == sent
    assert "dropped: internal" not in causes, f"an error it does not know:\n{node.output}"
    return {"sent": sent, "received": counts["received"], "processed": counts["processed"]} | {
        key.replace(": ", "_").replace(" ", "_"): value for key, value in causes.items()
    }


@pytest.fixture
def node(marks_bundle: Path, request: pytest.FixtureRequest) -> Any:
    """A node whose queue holds a batch, and which tells often what it has counted."""
    with NodeProcess(
        "pose_node",
        bundle=marks_bundle,
        image_reliability="reliable",
        image_queue_depth=QUEUE,
        diagnostics_period=0.1,
        **getattr(request, "param", {}),
    ) as process:
        process.wait_for("active")
        yield process


def test_malformed_images(
    peer: Peer, node: NodeProcess, count: Callable[..., None], share: float
) -> None:
    flow = Flow(peer, node, Image, "image")
    for recipe in hostile.draw(hostile.IMAGES, round(share * IMAGES)):
        message = hostile.image(recipe, flow.time())
        flow.send_info_for(message)
        flow.send(message)
    count(**all_accounted(flow.settle(hostile.image), flow.sent, node))


def test_malformed_camera_infos(
    peer: Peer, node: NodeProcess, count: Callable[..., None], share: float
) -> None:
    """Each comes with an honest image, under whose count it falls."""
    flow = Flow(peer, node, Image, "image")
    for recipe in hostile.draw(hostile.CAMERA_INFOS, round(share * CAMERA_INFOS)):
        stamp = flow.time()
        flow.infos.publish(hostile.camera_info(recipe, stamp))
        flow.send(hostile.image({}, stamp))
    count(**all_accounted(flow.settle(hostile.image), flow.sent, node))


@pytest.mark.parametrize(
    "node", [{"image_transport": "compressed"}], indirect=True, ids=["compressed"]
)
def test_malformed_compressed_images(
    peer: Peer, node: NodeProcess, count: Callable[..., None], share: float
) -> None:
    flow = Flow(peer, node, CompressedImage, "image/compressed")
    for recipe in hostile.draw(hostile.COMPRESSED_IMAGES, round(share * COMPRESSED)):
        message = hostile.compressed_image(recipe, flow.time())
        flow.infos.publish(camera_to_info(hostile.CAMERA, message.header))
        flow.send(message)
    count(**all_accounted(flow.settle(hostile.compressed_image), flow.sent, node))


def test_bytes_that_are_no_messages(
    peer: Peer, node: NodeProcess, count: Callable[..., None], share: float, trial_seed: int
) -> None:
    """DDS refuses most of them before the node sees them; an honest one behind each shows it."""
    flow = Flow(peer, node, Image, "image")
    rng = np.random.default_rng(trial_seed)
    honest: set[int] = set()
    for number in range(round(share * ON_THE_WIRE)):
        stamp = flow.time()
        flow.send_info(stamp)
        content = serialize_message(hostile.image({}, flow.time()))
        flow.pictures.publish(hostile.mutated_bytes(content, rng))
        flow.send(hostile.image({}, stamp))
        honest.add(stamp)
        if number % 5 == 4:
            # Fails when a broken message takes an honest one with it.
            peer.spin_until(lambda: honest <= {stamp_ns(a.header.stamp) for a in flow.arrays})
    counts = flow.settle(hostile.image)
    causes = sum(value for key, value in counts.items() if key.startswith("dropped: "))
    assert counts["processed"] + causes == counts["received"]
    assert "dropped: internal" not in counts
    reached = counts["received"] - flow.sent
    count(
        sent=len(honest),
        reached_the_node=reached,
        refused_by_dds=len(honest) - reached,
        dropped=causes,
        honest_answered=len(honest),
    )
