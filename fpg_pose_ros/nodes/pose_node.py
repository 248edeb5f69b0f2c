# SPDX-License-Identifier: Apache-2.0
"""The pose node: a lifecycle around a tracker and a camera, and services to steer it."""

from __future__ import annotations

import traceback
from functools import partial
from typing import Any, Final, cast

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.nodes import process
from fpg_pose_ros.nodes.background import Background
from fpg_pose_ros.nodes.loading import LoadRequest, load
from fpg_pose_ros.nodes.names import Instances
from fpg_pose_ros.nodes.outputs import PoseOutputs
from fpg_pose_ros.nodes.parameter import Value
from fpg_pose_ros.nodes.parameter_values import ParameterValues
from fpg_pose_ros.nodes.pose_parameters import POSE_NODE
from fpg_pose_ros.nodes.reporter import Condition, Reporter
from fpg_pose_ros.nodes.session import Session
from fpg_pose_ros.nodes.settings import settings_of
from fpg_pose_ros.nodes.target_frame import TargetFrameError, import_tf2
from fpg_pose_ros.nodes.transitions import logged
from fpg_pose_ros.srv import LoadBundle
from fpg_pose_ros.tracking import PoseTracker

SUCCESS = TransitionCallbackReturn.SUCCESS
FAILURE = TransitionCallbackReturn.FAILURE
# How long the end of the process waits for a bundle that is being loaded (s).
_LOADING_ENDS_S: Final = 5.0


class PoseNode(LifecycleNode):
    """Finds the objects of one or several bundles in each image.

    Configuring loads the bundles and opens the outputs, activating opens the inputs. With the
    parameter `autostart` both happen when the node starts. When a bundle is refused the node
    stays unconfigured and says why, in the log and on /diagnostics; another bundle can then be set,
    and the node be configured again.
    """

    def __init__(self, **node_arguments: Any) -> None:
        """Declares the parameters, and starts by itself if it is to."""
        super().__init__("pose_node", **node_arguments)
        self._state = "unconfigured"
        self._bundle_error = ""
        self._tracker: PoseTracker | None = None
        self._outputs: PoseOutputs | None = None
        self._session: Session | None = None
        self._values = ParameterValues(
            self, POSE_NODE, lambda: self._tracker is not None, _not_installed
        )
        self._settings = settings_of(self._values)
        self._values.on_change(self._take_settings)
        self._background = Background(self)
        self._reporter = Reporter(
            self, self._values.get("diagnostics_period", float), self._condition
        )
        self.create_service(
            LoadBundle,
            "~/load_bundle",
            self._on_load_bundle,
            callback_group=MutuallyExclusiveCallbackGroup(),
        )
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/reset", self._on_reset)
        if self._values.get("autostart", bool) and self.trigger_configure() == SUCCESS:
            self.trigger_activate()

    def destroy_node(self) -> None:
        """Ends what goes on beside it as well."""
        self._background.wait(_LOADING_ENDS_S)
        self._forget()
        super().destroy_node()

    @logged
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Loads the bundles and opens the outputs."""
        try:
            tracker, loaded = load(self._load_request(self._values.get("bundle", str)))
            self._outputs = self._open_outputs(tracker)
        except FpgPoseError as error:
            self._bundle_error = str(error)
            self.get_logger().debug(traceback.format_exc())
            self.get_logger().error(f"not configured: {error}")
            return FAILURE
        self._tracker, self._bundle_error = tracker, ""
        self._state = "inactive"
        self.get_logger().info(loaded)
        return SUCCESS

    @logged
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Announces the model and begins to listen."""
        assert self._tracker is not None
        assert self._outputs is not None
        try:
            self._session = Session(
                self, self._values, self._settings, self._tracker, self._outputs
            )
        except FpgPoseError as error:
            self.get_logger().error(f"not activated: {error}")
            return FAILURE
        self._tracker.reset()
        self._outputs.announce()
        self._state = "active"
        self.get_logger().info("active")
        return SUCCESS

    @logged
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stops listening, and takes away what was shown."""
        self._stop()
        self._state = "inactive"
        return SUCCESS

    @logged
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Forgets the bundle and closes the outputs."""
        self._forget()
        self._state = "unconfigured"
        return SUCCESS

    @logged
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

    async def _on_load_bundle(
        self, request: LoadBundle.Request, response: LoadBundle.Response
    ) -> LoadBundle.Response:
        """Loads a bundle while frames go on being processed, and changes to it between two."""
        outputs = self._outputs
        if outputs is None:
            response.message = f"the node is {self._state}: set the parameter bundle, and configure"
            return response
        try:
            work = partial(load, self._load_request(request.bundle))
            tracker, loaded = await self._background.run(work)
            if outputs is not self._outputs:
                response.message = f"not taken: the node has become {self._state} meanwhile"
                return response
            outputs.use(tracker.bundles)
        except Exception as error:  # a robot's node outlives any one bundle
            reason = str(error) if isinstance(error, FpgPoseError) else repr(error)
            response.message = f"not taken, the old one goes on: {reason}"
            self.get_logger().debug(traceback.format_exc())
            self.get_logger().error(f"bundle {response.message}")
            return response
        self._tracker = tracker
        self._values.replace("bundle", request.bundle)
        if self._session is not None:
            self._session.use(tracker, self._settings)
            outputs.announce()
        response.success, response.message = True, loaded
        self.get_logger().info(response.message)
        return response

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Lets images be processed or pass by, without a change of the subscriptions."""
        response.success = self._session is not None
        if self._session is None:
            response.message = f"the node is {self._state}: activate it first"
        else:
            self._session.enable(request.data)
            response.message = "enabled" if request.data else "disabled"
            self.get_logger().info(response.message)
        return response

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Forgets all tracks."""
        response.success = self._tracker is not None
        if self._tracker is None:
            response.message = f"the node is {self._state}: there is nothing to forget"
        else:
            self._tracker.reset()
            response.message = "all tracks are forgotten"
        return response

    def _condition(self) -> Condition:
        return Condition(
            self._state, self._bundle_error, self._settings, self._tracker, self._session
        )

    def _take_settings(self) -> None:
        self._settings = settings_of(self._values)
        if self._outputs is not None and not self._settings.target_frame:
            self._outputs.leave_target_frame()
        if self._session is not None and self._tracker is not None:
            self._session.use(self._tracker, self._settings)

    def _load_request(self, bundles: str) -> LoadRequest:
        return LoadRequest(
            bundles,
            backend=self._values.get("backend", str),
            device=self._values.get("device", str),
            threads=self._values.get("threads", int),
            settings=self._settings,
        )

    def _open_outputs(self, tracker: PoseTracker) -> PoseOutputs:
        """Opens the outputs; an error says which parameter asks for what is not there."""
        if self._settings.target_frame:
            import_tf2()
        return PoseOutputs(
            self,
            tracker.bundles,
            tf_prefix=self._values.get("tf_prefix", str),
            tf_instances=cast(Instances, self._values.get("tf_instances", str)),
            detections=self._values.get("publish_detections", bool),
        )

    def _stop(self) -> None:
        if self._session is not None:
            self._session.close()
            self._session = None
            if self._outputs is not None:
                self._outputs.clear()

    def _forget(self) -> None:
        if self._outputs is not None:
            self._outputs.destroy()
        self._outputs = self._tracker = None


def _not_installed(name: str, value: Value) -> str | None:
    """Says what a live parameter needs and is not there."""
    if name == "target_frame" and value:
        try:
            import_tf2()
        except TargetFrameError as error:
            return str(error)
    return None


def main() -> int:
    """Runs the node until it is told to end."""
    return process.run(PoseNode)
