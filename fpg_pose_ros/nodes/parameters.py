# SPDX-License-Identifier: Apache-2.0
"""Every parameter of every node, declared once.

The nodes declare their parameters from these tables, docs/parameters.md is generated from them, and
config/pose.yaml is checked against them. This module knows no ROS, so that the documentation can be
made without one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal, get_args

Value = bool | int | float | str

When = Literal["live", "configure", "start"]
_WHEN: Final[dict[str, str]] = {
    "live": "at once",
    "configure": "while unconfigured",
    "start": "at start only",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter.

    Attributes:
        name: as ROS knows it.
        default: also gives the type, which never changes.
        description: what it does, for people.
        when: when it may change: "live" at any time; "configure" while the node is unconfigured,
            since it takes effect in the configure transition; "start" only when the node starts
            (read-only).
        low, high: inclusive range of a number; None for no limit.
        choices: the allowed values of a string; empty for any.

    Raises:
        ValueError: the declaration contradicts itself.
    """

    name: str
    default: Value
    description: str
    when: When = "live"
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Checks that the default is a value the parameter would accept."""
        if self.when not in get_args(When):
            raise ValueError(f"parameter {self.name}: when is {self.when!r}")
        problem = self.problem(self.default)
        if problem is not None:
            raise ValueError(f"the default of a parameter is refused by its own rule: {problem}")

    @property
    def type_name(self) -> str:
        """The type as ROS writes it."""
        return {bool: "bool", int: "integer", float: "double", str: "string"}[type(self.default)]

    @property
    def allowed(self) -> str:
        """The range or the choices, for people; empty if anything of the type goes."""
        if self.choices:
            return ", ".join(self.choices)
        if self.low is None and self.high is None:
            return ""
        low = "" if self.low is None else f"{self.low:.10g}"
        high = "" if self.high is None else f"{self.high:.10g}"
        return f"{low} to {high}".strip()

    def problem(self, value: object) -> str | None:
        """Says what is wrong with a value, naming what is allowed; None if nothing is."""
        if type(value) is not type(self.default):
            return f"{self.name} must be of type {self.type_name}, not {type(value).__name__}"
        if self.choices and value not in self.choices:
            return f"{self.name} is {value!r}; it must be one of: {self.allowed}"
        if isinstance(value, float) and not math.isfinite(value):
            return f"{self.name} is {value}; it must be a finite number"
        if isinstance(value, int | float) and not isinstance(value, bool):
            low = -math.inf if self.low is None else self.low
            high = math.inf if self.high is None else self.high
            if not low <= value <= high:
                return f"{self.name} is {value}; it must be in {self.allowed}"
        return None


_RELIABILITY = ("best_effort", "reliable")

POSE_NODE: Final[tuple[Parameter, ...]] = (
    Parameter(
        "autostart",
        True,
        "Configure and activate the node when it starts. Off: it waits for lifecycle transitions "
        "from outside.",
        when="start",
    ),
    Parameter(
        "bundle",
        "spot",
        "The model bundle: a path to a directory or zip, or the name of a bundle installed with "
        "the package "
        "(`share/fpg_pose_ros/models`).",
        when="configure",
    ),
    Parameter(
        "threads",
        1,
        "Threads of one network inference. More than one pays only on a quiet machine.",
        when="configure",
        low=1,
        high=64,
    ),
    Parameter(
        "min_detection_score",
        0.2,
        "Places where the locator sees an object with a lower score are not looked at.",
        low=0.0,
        high=1.0,
    ),
    Parameter(
        "min_score",
        0.3,
        "Poses with a lower score are not reported.",
        low=0.0,
        high=1.0,
    ),
    Parameter(
        "max_reprojection_error",
        0.12,
        "Poses that miss their keypoints by more than this are not reported: root mean square, in "
        "sides of the object's box.",
        low=0.0001,
        high=1000.0,
    ),
    Parameter(
        "image_reliability",
        "best_effort",
        "QoS reliability of the image and camera_info subscriptions. best_effort also receives "
        "from reliable cameras.",
        when="configure",
        choices=_RELIABILITY,
    ),
    Parameter(
        "image_queue_depth",
        1,
        "How many images wait while one is processed. With 1 the newest always wins, so poses are "
        "never late; "
        "more trades that for dropping fewer frames.",
        when="configure",
        low=1,
        high=100,
    ),
    Parameter(
        "camera_info_match",
        "latest",
        "Which camera_info belongs to an image. latest: the one with its stamp if it is there, "
        "else the last one of "
        "the same frame and size. exact: only the one with its stamp, waiting for it until the "
        "next image.",
        when="configure",
        choices=("latest", "exact"),
    ),
    Parameter(
        "rectified",
        False,
        "The images are rectified: use the projection matrix `p` of camera_info and no distortion, "
        "instead of "
        "the camera matrix `k` with `d`.",
        when="configure",
    ),
    Parameter(
        "tf_prefix",
        "",
        "Put before the object's name to make its TF frame.",
        when="configure",
    ),
    Parameter("publish_tf", True, "Publish the pose of each object on /tf."),
    Parameter(
        "camera_timeout",
        2.0,
        "Diagnostics warn when no image came for this long (s).",
        low=0.1,
        high=3600.0,
    ),
    Parameter(
        "diagnostics_period",
        1.0,
        "Time between two messages on /diagnostics (s).",
        when="start",
        low=0.1,
        high=60.0,
    ),
)

CAMERA_NODE: Final[tuple[Parameter, ...]] = (
    Parameter(
        "source",
        "render",
        "Where images come from: `render` (a moving object in a rendered scene, with ground "
        "truth), or the path of an "
        "image, a folder, a video, a BOP scene folder or a bag.",
        when="start",
    ),
    Parameter(
        "camera_file",
        "",
        "Calibration (JSON or YAML) for a source that brings none.",
        when="start",
    ),
    Parameter("object", "spot", "render: the object, by name or path of its file.", when="start"),
    Parameter("seed", 0, "render: which scene and motion.", when="start", low=0, high=999_999_999),
    Parameter(
        "duration",
        30.0,
        "render: length of the motion (s).",
        when="start",
        low=0.1,
        high=86400.0,
    ),
    Parameter("rate", 30.0, "Images per second.", when="start", low=0.1, high=240.0),
    Parameter(
        "loop", False, "Begin again at the end of the source, instead of ending.", when="start"
    ),
    Parameter(
        "frame_id", "camera", "TF frame of the camera (optical: z forward, y down).", when="start"
    ),
    Parameter(
        "encoding",
        "rgb8",
        "Encoding of the published images.",
        when="start",
        choices=("rgb8", "bgr8", "rgba8", "bgra8", "mono8"),
    ),
    Parameter(
        "stamp",
        "now",
        "Stamp of an image: the time at which it is published, or the one its source gives.",
        when="start",
        choices=("now", "source"),
    ),
    Parameter(
        "image_reliability",
        "best_effort",
        "QoS reliability of the published images and camera_info.",
        when="start",
        choices=_RELIABILITY,
    ),
    Parameter(
        "image_queue_depth",
        5,
        "History depth of the published images and camera_info.",
        when="start",
        low=1,
        high=100,
    ),
    Parameter(
        "wait_for_subscribers",
        0,
        "Publish nothing until the image topic has this many subscribers.",
        when="start",
        low=0,
        high=100,
    ),
    Parameter(
        "wait_timeout",
        60.0,
        "How long to wait for subscribers before the node ends with an error (s).",
        when="start",
        low=0.1,
        high=86400.0,
    ),
    Parameter(
        "prepared_frames",
        16,
        "How many frames are read or rendered ahead, in a process of their own.",
        when="start",
        low=1,
        high=256,
    ),
)

RECORDER: Final[tuple[Parameter, ...]] = (
    Parameter("output", "", "Folder of the bag; it must not exist yet.", when="start"),
    Parameter(
        "exclude",
        "",
        "Regular expression; topics that match it as a whole are not recorded.",
        when="start",
    ),
    Parameter(
        "discovery_period",
        0.2,
        "Time between two looks for new topics (s).",
        when="start",
        low=0.02,
        high=60.0,
    ),
    Parameter(
        "queue_depth",
        200,
        "Messages a topic may be ahead of the disk before any is lost.",
        when="start",
        low=1,
        high=10000,
    ),
)

TABLES: Final[dict[str, tuple[Parameter, ...]]] = {
    "pose_node": POSE_NODE,
    "camera_node": CAMERA_NODE,
    "recorder": RECORDER,
}


def parameters_markdown() -> str:
    """Returns docs/parameters.md, made from the tables."""
    return "\n".join(_markdown_lines()) + "\n"


def _markdown_lines() -> Iterator[str]:
    yield "# Parameters"
    yield ""
    yield "Generated from `fpg_pose_ros/nodes/parameters.py`; a test keeps the two equal."
    yield "To write it anew: `python -m fpg_pose_ros.nodes.parameters > docs/parameters.md`."
    yield ""
    yield "*Changes* says when a parameter may be set: at once (`ros2 param set` at any time),"
    yield "while unconfigured (it takes effect in the next configure transition), or at start only"
    yield "(read-only afterwards)."
    for node, table in TABLES.items():
        yield ""
        yield f"## {node}"
        yield ""
        yield from _markdown_table(table)


def _markdown_table(table: Iterable[Parameter]) -> Iterator[str]:
    yield "| name | type | default | allowed | changes | description |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for p in table:
        default = str(p.default).lower() if isinstance(p.default, bool) else p.default
        shown = '""' if default == "" else default
        yield (
            f"| `{p.name}` | {p.type_name} | `{shown}` | {p.allowed} "
            f"| {_WHEN[p.when]} | {p.description} |"
        )


if __name__ == "__main__":
    print(parameters_markdown(), end="")
