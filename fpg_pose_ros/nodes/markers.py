# SPDX-License-Identifier: Apache-2.0
"""Objects as markers for rviz: mesh, axes, covariance ellipsoid and label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from geometry_msgs.msg import Point, Pose, Vector3
from rclpy.duration import Duration
from rclpy.serialization import serialize_message
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.geometry import Array, make_transform
from fpg_pose_ros.nodes.marker_template import MarkerTemplate, MarkerValues
from fpg_pose_ros.nodes.messages import header_of, pose_from_transform
from fpg_pose_ros.objects import Mesh, ObjectModel

# Namespaces of the markers of an object are `<object>/<part>`, so that rviz can hide each part.
PARTS: Final = ("mesh", "axes", "covariance", "label")
# Upwards in a camera's optical frame, and in any other (REP 103).
UP_CAMERA: Final = (0.0, -1.0, 0.0)
UP_WORLD: Final = (0.0, 0.0, 1.0)

# Half axes of the ellipsoid, in standard deviations of the position.
_SIGMAS: Final = 2.0
# rviz warns of a scale of zero.
_LEAST_SCALE_M: Final = 1e-6
_OPACITY: Final = 0.7
_WHITE: Final = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
_AMBER: Final = ColorRGBA(r=1.0, g=0.75, b=0.0, a=0.35)
_AXIS_COLORS: Final = (
    ColorRGBA(r=1.0, a=1.0),
    ColorRGBA(g=1.0, a=1.0),
    ColorRGBA(b=1.0, a=1.0),
)


def mesh_points(mesh: Mesh) -> list[Point]:
    """Returns the corners of a mesh's triangles (m), three a triangle."""
    corners = mesh.vertices[mesh.faces].reshape(-1, 3).tolist()
    return [Point(x=x, y=y, z=z) for x, y, z in corners]


def mesh_colors(mesh: Mesh) -> list[ColorRGBA]:
    """Returns the colours of a mesh's triangles' corners, three a triangle."""
    corners = (mesh.colors[mesh.faces].reshape(-1, 3) / 255.0).tolist()
    return [ColorRGBA(r=r, g=g, b=b, a=_OPACITY) for r, g, b in corners]


def position_ellipsoid(estimate: PoseEstimate) -> tuple[Array, Array]:
    """Returns the ellipsoid that holds the position within two standard deviations an axis.

    Returns:
        T (4, 4) of the ellipsoid's axes in the frame of the estimate, and its diameters (3,), m.
    """
    variances, axes = np.linalg.eigh(estimate.covariance[:3, :3])
    if np.linalg.det(axes) < 0:
        axes[:, 0] = -axes[:, 0]
    diameters = 2.0 * _SIGMAS * np.sqrt(np.maximum(variances, 0.0))
    return (
        make_transform(axes, estimate.T_camera_object[:3, 3]),
        np.maximum(diameters, _LEAST_SCALE_M),
    )


class ObjectMarkers:
    """The marker messages of some objects, frame by frame.

    A mesh is thousands of points, which take 7 ms to serialise from Python. They never change, so
    the markers of each instance are serialised once, and a frame's message is a copy with stamp,
    poses and score put in. The first message takes away what another run may have left; what this
    one leaves when no more frames come, since the camera is silent or the node has ended, viewers
    take away after the lifetime.
    """

    def __init__(self, objects: Sequence[ObjectModel]) -> None:
        """Makes nothing before it is asked for."""
        self._objects = {model.name: model for model in objects}
        self._geometry: dict[str, tuple[list[Point], list[ColorRGBA]]] = {}
        self._templates: dict[tuple[str, int], MarkerTemplate] = {}
        self._template_of: tuple[str, float] = "", 0.0
        self._shown: dict[tuple[str, int], PoseEstimate] | None = None

    def frame(
        self,
        estimates: Sequence[PoseEstimate],
        lifetime: float,
        up: Sequence[float] = UP_CAMERA,
    ) -> list[bytes]:
        """Returns serialised MarkerArrays: one for each instance seen, one to delete those gone.

        Args:
            estimates: all in one frame.
            lifetime: how long a marker shows unless it is sent again (s).
            up: (3,) direction in that frame in which labels stand away from their objects.
        """
        seen = {(estimate.object_name, estimate.instance_id): estimate for estimate in estimates}
        messages = []
        if self._shown is None:
            messages.append(serialize_message(deletion_of_all()))
        gone = [estimate for key, estimate in (self._shown or {}).items() if key not in seen]
        if gone:
            deletions = [_deletion(estimate, part) for estimate in gone for part in PARTS]
            messages.append(serialize_message(MarkerArray(markers=deletions)))
        self._shown = seen
        for key, estimate in seen.items():
            messages.append(
                self._template(key, estimate, lifetime).fill(self._values(estimate, up))
            )
        return messages

    def _values(self, estimate: PoseEstimate, up: Sequence[float]) -> MarkerValues:
        T_ellipsoid, diameters = position_ellipsoid(estimate)
        away = 0.6 * self._objects[estimate.object_name].diameter * np.asarray(up)
        return MarkerValues(
            stamp_ns=estimate.stamp_ns,
            pose=pose_from_transform(estimate.T_camera_object),
            ellipsoid=pose_from_transform(T_ellipsoid),
            diameters=diameters.tolist(),
            label=(estimate.T_camera_object[:3, 3] + away).tolist(),
            score=estimate.score,
        )

    def _template(
        self, key: tuple[str, int], estimate: PoseEstimate, lifetime: float
    ) -> MarkerTemplate:
        if self._template_of != (estimate.frame_id, lifetime):
            self._templates.clear()
            self._template_of = estimate.frame_id, lifetime
        if key not in self._templates:
            self._templates[key] = MarkerTemplate(
                lambda values: self._markers(estimate, values, lifetime)
            )
        return self._templates[key]

    def _markers(
        self, estimate: PoseEstimate, values: MarkerValues, lifetime: float
    ) -> MarkerArray:
        """Returns the markers of an instance, in the order of `PARTS`."""
        model = self._objects[estimate.object_name]
        if model.name not in self._geometry:
            self._geometry[model.name] = mesh_points(model.mesh), mesh_colors(model.mesh)
        mesh, axes, covariance, label = (
            _marker(estimate, part, values, lifetime) for part in PARTS
        )
        mesh.type = Marker.TRIANGLE_LIST
        mesh.points, mesh.colors = self._geometry[model.name]
        axes.type = Marker.LINE_LIST
        axes.scale.x = 0.02 * model.diameter
        axes.points, axes.colors = _axis_lines(0.6 * model.diameter)
        covariance.type = Marker.SPHERE
        covariance.pose = values.ellipsoid
        x, y, z = values.diameters
        covariance.scale = Vector3(x=x, y=y, z=z)
        covariance.color = _AMBER
        label.type = Marker.TEXT_VIEW_FACING
        x, y, z = values.label
        label.pose = Pose(position=Point(x=x, y=y, z=z))
        label.scale.z = 0.15 * model.diameter
        label.text = f"{model.name} {estimate.instance_id} {values.score_text}"
        return MarkerArray(markers=[mesh, axes, covariance, label])


def deletion_of_all() -> MarkerArray:
    """Returns what takes every marker of the topic away."""
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


def _marker(estimate: PoseEstimate, part: str, values: MarkerValues, lifetime: float) -> Marker:
    return Marker(
        header=Header(stamp=values.stamp, frame_id=estimate.frame_id),
        ns=f"{estimate.object_name}/{part}",
        id=estimate.instance_id,
        action=Marker.ADD,
        lifetime=Duration(seconds=lifetime).to_msg(),
        pose=values.pose,
        scale=Vector3(x=1.0, y=1.0, z=1.0),
        color=_WHITE,
    )


def _axis_lines(length: float) -> tuple[list[Point], list[ColorRGBA]]:
    ends = (Point(x=length), Point(y=length), Point(z=length))
    points = [point for end in ends for point in (Point(), end)]
    return points, [color for color in _AXIS_COLORS for _ in range(2)]


def _deletion(estimate: PoseEstimate, part: str) -> Marker:
    return Marker(
        header=header_of(estimate),
        ns=f"{estimate.object_name}/{part}",
        id=estimate.instance_id,
        action=Marker.DELETE,
    )
