# SPDX-License-Identifier: Apache-2.0
"""The pose node: a lifecycle around a bundle, an estimator and a camera."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from fpg_pose_ros.bundle import Bundle, read_bundle
from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.estimator import Estimator
from fpg_pose_ros.nodes import process, qos
from fpg_pose_ros.nodes.bundles import find_bundle
from fpg_pose_ros.nodes.diagnostics import NodeReport, diagnostic_array
from fpg_pose_ros.nodes.outputs import PoseOutputs
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.parameters import POSE_NODE
from fpg_pose_ros.nodes.session import Session
from fpg_pose_ros.nodes.statistics import Counts

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE


class PoseNode(LifecycleNode):
    """Finds the objects of a bundle in each image.

    Configuring loads the bundle and opens the outputs, activating opens the inputs. With the
    parameter `autostart` both happen when the node starts. When the bundle is refused the node
    stays unconfigured and says why, in the log and on /diagnostics; another bundle can then be set,
    and the node be configured again.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declares the parameters, and starts by itself if it is to."""
        super().__init__("pose_node", **node_arguments)
        self._state = "unconfigured"
        self._bundle: Bundle | None = None
        self._bundle_error = ""
        self._estimator: Estimator | None = None
        self._outputs: PoseOutputs | None = None
        self._session: Session | None = None
        self._values = ParameterValues(self, POSE_NODE, lambda: self._bundle is not None)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", qos.RESULTS)
        self._last_counts = Counts()
        self.create_timer(
            self._values.get("diagnostics_period", float),
            self._report,
            clock=Clock(clock_type=ClockType.STEADY_TIME),
        )
        if self._values.get("autostart", bool) and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the bundle and opens the outputs."""
        try:
            bundle = read_bundle(find_bundle(self._values.get("bundle", str)))
            self._estimator = Estimator(bundle, threads=self._values.get("threads", int))
        except FpgPoseError as error:
            return self._refuse(str(error))
        except Exception as error:  # whatever a bundle does to a runtime, the node lives
            self.get_logger().debug(traceback.format_exc())
            return self._refuse(f"the bundle could not be loaded: {type(error).__name__}: {error}")
        self._bundle, self._bundle_error = bundle, ""
        self._outputs = PoseOutputs(self, bundle, self._values.get("tf_prefix", str))
        self._state = "inactive"
        names = ", ".join(item.model.name for item in bundle.objects)
        self.get_logger().info(
            f"bundle {bundle.name} ({bundle.hash[:12]}) loaded; it finds: {names}"
        )
        return SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Announces the model and begins to listen."""
        assert self._estimator is not None
        assert self._outputs is not None
        self._outputs.announce()
        self._last_counts = Counts()
        self._session = Session(self, self._values, self._estimator, self._outputs)
        self._state = "active"
        self.get_logger().info("active")
        return SUCCESS

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops listening, and takes away what was shown."""
        self._stop()
        self._state = "inactive"
        return SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forgets the bundle and closes the outputs."""
        self._forget()
        self._state = "unconfigured"
        return SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Closes everything; the process goes on until it is told to end."""
        self._stop()
        self._forget()
        self._state = "finalized"
        return SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Goes back to unconfigured, from wherever a transition failed."""
        self.get_logger().error(
            f"a transition from {state.label} failed: starting over, unconfigured"
        )
        self._stop()
        self._forget()
        self._state = "unconfigured"
        return SUCCESS

    def _refuse(self, error: str) -> TransitionCallbackReturn:
        self._bundle_error = error
        self._estimator = None
        self.get_logger().error(f"not configured: {error}")
        return FAILURE

    def _stop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            if self._outputs is not None:
                self._outputs.clear()

    def _forget(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._estimator = self._bundle = None

    def _report(self) -> None:
        session = self._session
        counts = Counts() if session is None else session.statistics.counts()
        report = NodeReport(
            node=self.get_fully_qualified_name(),
            state=self._state,
            bundle="" if self._bundle is None else self._bundle.name,
            bundle_hash="" if self._bundle is None else self._bundle.hash,
            bundle_error=self._bundle_error,
            counts=counts,
            last_counts=self._last_counts,
        )
        if session is not None:
            image_at = session.image_at
            report = replace(
                report,
                image_age=None if image_at is None else time.monotonic() - image_at,
                image_timeout=self._values.get("camera_timeout", float),
                camera_error=session.camera_error,
                last_error=session.statistics.last_error,
                latency_ms=session.statistics.percentiles(50, 99),
            )
        self._last_counts = counts
        self._diagnostics.publish(diagnostic_array(self.get_clock().now().to_msg(), report))


def main() -> int:
    """Runs the node until it is told to end."""
    return process.run(PoseNode)
