# SPDX-License-Identifier: Apache-2.0
"""The subscriptions to a camera, and what may be set about them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from rcl_interfaces.msg import SetParametersResult
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSPolicyKind, QoSProfile, qos_policy_name_from_kind
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.nodes import qos
from fpg_pose_ros.nodes.image_transports import ImageTransport

# An image may be 64 megapixels: more than so many of them are a memory leak.
_MAX_DEPTH: Final = 1000
_OVERRIDDEN: Final = (QoSPolicyKind.RELIABILITY, QoSPolicyKind.DEPTH, QoSPolicyKind.HISTORY)


class QosError(FpgPoseError):
    """A qos_overrides parameter that cannot be used; the message names the topic."""


class CameraInputs:
    """Listens to the images and the camera_info of a camera.

    The user's `qos_overrides` parameters of the two topics come before `reliability` and `depth`.

    Args:
        node: whose subscriptions they are.
        transport: how the images come.
        reliability: "best_effort" or "reliable".
        depth: how many images wait while one is processed.
        on_image, on_camera_info: take the messages.

    Attributes:
        mismatch: says which publisher cannot be heard for its quality of service; empty if all can.

    Raises:
        QosError: an override cannot be used.
    """

    def __init__(
        self,
        node: Node,
        transport: ImageTransport,
        reliability: str,
        depth: int,
        *,
        on_image: Callable[[Any], None],
        on_camera_info: Callable[[CameraInfo], None],
    ) -> None:
        """Begins to listen."""
        self.mismatch = ""
        self._node = node
        self._subscriptions: list[Subscription] = []
        # camera_info comes first, so that of two messages that are both there it is taken first. It
        # is small: a few more may wait, for images that come later than theirs. Simulated cameras
        # may publish it once and for all, which an override of the durability can catch.
        self._subscribe(
            CameraInfo,
            node.resolve_topic_name("camera_info"),
            on_camera_info,
            qos.images(reliability, depth + 9),
            (*_OVERRIDDEN, QoSPolicyKind.DURABILITY),
        )
        # The suffix follows the topic's name as remapped, as image_transport has it.
        self._subscribe(
            transport.message_type,
            node.resolve_topic_name("image") + transport.suffix,
            on_image,
            qos.images(reliability, depth),
            _OVERRIDDEN,
        )

    def close(self) -> None:
        """Stops listening."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(
        self,
        message_type: type[Any],
        topic: str,
        callback: Callable[[Any], None],
        profile: QoSProfile,
        overridden: tuple[QoSPolicyKind, ...],
    ) -> None:
        def mismatch(event: Any) -> None:
            policy = qos_policy_name_from_kind(event.last_policy_kind)
            self.mismatch = f"a publisher of {topic} cannot be heard, its QoS differs in {policy}"
            self._node.get_logger().warning(self.mismatch)

        try:
            self._subscriptions.append(
                self._node.create_subscription(
                    message_type,
                    topic,
                    callback,
                    profile,
                    event_callbacks=SubscriptionEventCallbacks(incompatible_qos=mismatch),
                    qos_overriding_options=QoSOverridingOptions(overridden, callback=_check),
                )
            )
        except (ParameterException, InvalidQosOverridesError, RuntimeError) as error:
            self.close()
            raise QosError(f"qos_overrides of {topic}: {error}") from None


def _check(profile: QoSProfile) -> SetParametersResult:
    if profile.history != HistoryPolicy.KEEP_LAST:
        return SetParametersResult(successful=False, reason="history must be keep_last")
    if not 1 <= profile.depth <= _MAX_DEPTH:
        return SetParametersResult(successful=False, reason=f"depth must be in 1 to {_MAX_DEPTH}")
    return SetParametersResult(successful=True)
