# SPDX-License-Identifier: Apache-2.0
"""Every parameter of every node, declared once.

The nodes declare their parameters from these tables, docs/parameters.md is generated from them, and
config/pose.yaml is checked against them. This module knows no ROS, so that the documentation can be
made without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from fpg_pose_ros.nodes.parameter import Parameter, When
from fpg_pose_ros.nodes.pose_parameters import POSE_NODE, RELIABILITY

_WHEN: Final[dict[When, str]] = {
    "live": "at once",
    "configure": "while unconfigured",
    "start": "at start only",
}

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
        choices=RELIABILITY,
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
