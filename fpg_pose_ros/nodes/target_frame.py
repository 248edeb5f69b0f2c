# SPDX-License-Identifier: Apache-2.0
"""Poses in another frame than the camera's, by the transforms that tf2 knows."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future
from rclpy.time import Time

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, make_transform, rotation_from_quaternion_wxyz
from fpg_pose_ros.nodes.optional import import_optional

# Stamps that go back by more than this are another run of a bag or simulation (s).
_NEW_RUN_S: Final = 1.0
_LOOK_AGAIN_S: Final = 0.001


class TargetFrameError(FpgPoseError):
    """Poses cannot be given in the target frame; the message says which frame and why."""


class TransformSource(Protocol):
    """Whoever knows how frames lie to each other."""

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float) -> Array:
        """Returns T_target_source (4, 4), m, at a time (ns), waiting for it up to timeout (s).

        Raises:
            TargetFrameError: it is not known.
        """


def in_frame(
    estimates: Iterable[PoseEstimate], T_target_camera: Array, frame_id: str
) -> tuple[PoseEstimate, ...]:
    """Returns estimates as seen from another frame, which takes the camera's place in them.

    The covariance turns with the axes: of T_true = (exp(w) R, t + dt), both w and dt are vectors
    about the frame's axes.

    Args:
        estimates: in the camera's frame.
        T_target_camera: (4, 4), maps points of the camera's frame into the target frame, m.
        frame_id: name of the target frame.
    """
    turn = np.kron(np.eye(2), T_target_camera[:3, :3])
    return tuple(
        replace(
            estimate,
            T_camera_object=T_target_camera @ estimate.T_camera_object,
            covariance=turn @ estimate.covariance @ turn.T,
            frame_id=frame_id,
        )
        for estimate in estimates
    )


def import_tf2() -> Any:
    """Returns the module tf2_ros, which nothing needs unless a target frame is set.

    Raises:
        TargetFrameError: it is not installed.
    """
    return import_optional(
        "tf2_ros",
        TargetFrameError,
        parameter="target_frame",
        package="tf2_ros_py",
        without="leave target_frame empty",
    )


class Tf2Source:
    """Transforms from /tf and /tf_static, by tf2's own buffer.

    A node and a thread of its own listen, so that transforms still come while a frame waits for
    them.

    Args:
        node: whose context, namespace and remappings it shares.

    Raises:
        TargetFrameError: tf2_ros is not installed.
    """

    def __init__(self, node: Node) -> None:
        """Begins to listen."""
        self._tf2: Any = import_tf2()
        self._buffer = self._tf2.Buffer()
        self._last_ns = 0
        name = f"{node.get_name()}_tf"
        # The name is given as an argument of the node's own since those of the process, which hold
        # the remappings, may rename every node in it.
        self._node = Node(
            name,
            namespace=node.get_namespace(),
            context=node.context,
            cli_args=["--ros-args", "-r", f"__node:={name}"],
            start_parameter_services=False,
            enable_rosout=False,
        )
        self._listener = self._tf2.TransformListener(self._buffer, self._node)
        self._executor = SingleThreadedExecutor(context=node.context)
        self._executor.add_node(self._node)
        self._closed: Future = Future()
        self._thread = threading.Thread(target=self._listen, name="tf", daemon=True)
        self._thread.start()

    def lookup(self, target: str, source: str, stamp_ns: int, timeout: float) -> Array:
        """Returns T_target_source at a time; see `TransformSource`."""
        if stamp_ns < self._last_ns - _NEW_RUN_S * 1e9:
            self._buffer.clear()
        self._last_ns = stamp_ns
        stamp = Time(nanoseconds=stamp_ns)
        end = time.monotonic() + timeout
        # tf2's own waiting looks only every 20 ms.
        while not self._buffer.can_transform(target, source, stamp) and time.monotonic() < end:
            time.sleep(_LOOK_AGAIN_S)
        try:
            found = self._buffer.lookup_transform(target, source, stamp).transform
        except self._tf2.TransformException as error:
            raise TargetFrameError(
                f"no transform from {source!r} to target_frame {target!r} at the image's stamp "
                f"within {timeout:g} s: {error}"
            ) from None
        q, t = found.rotation, found.translation
        return make_transform(rotation_from_quaternion_wxyz([q.w, q.x, q.y, q.z]), [t.x, t.y, t.z])

    def _listen(self) -> None:
        with contextlib.suppress(ExternalShutdownException):
            self._executor.spin_until_future_complete(self._closed)

    def close(self) -> None:
        """Stops listening; to be called before the process ends, which the thread would abort."""
        # The thread leaves the executor before that is taken apart.
        self._closed.set_result(None)
        self._thread.join()
        self._executor.shutdown()
        self._node.destroy_node()
