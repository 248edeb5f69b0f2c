# SPDX-License-Identifier: Apache-2.0
"""Meshes of objects as markers for rviz."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from geometry_msgs.msg import Point, Quaternion
from rclpy.serialization import serialize_message
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from fpg_pose_ros.estimator import PoseEstimate
from fpg_pose_ros.nodes.messages import header_of, pose_from_transform
from fpg_pose_ros.objects import Mesh, ObjectModel

_OPACITY = 0.7


def mesh_marker(estimate: PoseEstimate) -> Marker:
    """Returns the marker of an estimate, still without its triangles."""
    marker = Marker(
        header=header_of(estimate),
        ns=estimate.object_name,
        id=estimate.instance_id,
        type=Marker.TRIANGLE_LIST,
        action=Marker.ADD,
        pose=pose_from_transform(estimate.T_camera_object),
    )
    marker.scale.x = marker.scale.y = marker.scale.z = 1.0
    marker.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=_OPACITY)
    return marker


def mesh_points(mesh: Mesh) -> list[Point]:
    """Returns the corners of a mesh's triangles (m), three a triangle."""
    corners = mesh.vertices[mesh.faces].reshape(-1, 3).tolist()
    return [Point(x=x, y=y, z=z) for x, y, z in corners]


def mesh_colors(mesh: Mesh) -> list[ColorRGBA]:
    """Returns the colours of a mesh's triangles' corners, three a triangle."""
    corners = (mesh.colors[mesh.faces].reshape(-1, 3) / 255.0).tolist()
    return [ColorRGBA(r=r, g=g, b=b, a=_OPACITY) for r, g, b in corners]


class MeshMarkers:
    """The marker messages of some objects, frame by frame.

    A mesh is thousands of points, which take 7 ms to serialise from Python. They never change, so
    each marker is serialised once, and a frame's message is a copy with stamp and pose put in.
    """

    def __init__(self, objects: Sequence[ObjectModel]) -> None:
        """Makes the points and colours of each mesh."""
        self._geometry = {
            model.name: (mesh_points(model.mesh), mesh_colors(model.mesh)) for model in objects
        }
        self._templates: dict[tuple[str, int], _Template] = {}
        self._frame_id = ""
        self._shown: dict[tuple[str, int], PoseEstimate] = {}

    def frame(self, estimates: Sequence[PoseEstimate]) -> list[bytes]:
        """Returns serialised MarkerArrays: one for each object seen, one to delete those gone."""
        seen = {(estimate.object_name, estimate.instance_id): estimate for estimate in estimates}
        gone = [estimate for key, estimate in self._shown.items() if key not in seen]
        self._shown = seen
        messages = [self._template(key, estimate).at(estimate) for key, estimate in seen.items()]
        if gone:
            messages.append(serialize_message(MarkerArray(markers=[_deletion(e) for e in gone])))
        return messages

    def _template(self, key: tuple[str, int], estimate: PoseEstimate) -> _Template:
        if estimate.frame_id != self._frame_id:
            self._templates.clear()
            self._frame_id = estimate.frame_id
        if key not in self._templates:
            self._templates[key] = _Template(estimate, *self._geometry[estimate.object_name])
        return self._templates[key]


class _Template:
    """A serialised MarkerArray of one marker, whose stamp and pose can be replaced.

    Their places are found by looking for the bytes of values that occur nowhere else.
    """

    _STAMP = struct.Struct("=iI")
    _POSE = struct.Struct("=7d")
    _ODD_STAMP = (0x5AFE57A3, 123_456_789)
    _ODD_POSE = (1.234567e123, 2.345678e123, 3.456789e123, 0.1234567, 0.2345678, 0.3456789, 0.4567)

    def __init__(
        self, estimate: PoseEstimate, points: list[Point], colors: list[ColorRGBA]
    ) -> None:
        marker = mesh_marker(estimate)
        marker.points, marker.colors = points, colors
        x, y, z, qx, qy, qz, qw = self._ODD_POSE
        marker.pose.position = Point(x=x, y=y, z=z)
        marker.pose.orientation = Quaternion(x=qx, y=qy, z=qz, w=qw)
        marker.header.stamp.sec, marker.header.stamp.nanosec = self._ODD_STAMP
        self._bytes = bytearray(serialize_message(MarkerArray(markers=[marker])))
        self._stamp_at = self._bytes.index(self._STAMP.pack(*self._ODD_STAMP))
        self._pose_at = self._bytes.index(self._POSE.pack(*self._ODD_POSE))

    def at(self, estimate: PoseEstimate) -> bytes:
        """Returns the message with the stamp and pose of an estimate."""
        pose = pose_from_transform(estimate.T_camera_object)
        p, q = pose.position, pose.orientation
        stamp = divmod(estimate.stamp_ns, 1_000_000_000)
        self._STAMP.pack_into(self._bytes, self._stamp_at, *stamp)
        self._POSE.pack_into(self._bytes, self._pose_at, p.x, p.y, p.z, q.x, q.y, q.z, q.w)
        return bytes(self._bytes)


def deletion_of_all() -> MarkerArray:
    """Returns what takes every marker of the topic away."""
    return MarkerArray(markers=[Marker(action=Marker.DELETEALL)])


def _deletion(estimate: PoseEstimate) -> Marker:
    return Marker(
        header=header_of(estimate),
        ns=estimate.object_name,
        id=estimate.instance_id,
        action=Marker.DELETE,
    )
