# SPDX-License-Identifier: Apache-2.0
"""The parameters of the pose node; knows no ROS."""

from __future__ import annotations

from typing import Final

from fpg_pose_ros.nodes.parameter import Parameter

RELIABILITY: Final = ("best_effort", "reliable")

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
        "the package (`share/fpg_pose_ros/models`). Several, separated by commas, find the objects "
        "of all of them. While the node runs, the service `~/load_bundle` changes it.",
        when="configure",
    ),
    Parameter(
        "backend",
        "onnxruntime",
        "What runs the networks. auto measures onnxruntime and openvino, where that is installed, "
        "and takes the faster for each network; on cuda it is torch.",
        when="configure",
        choices=("auto", "onnxruntime", "openvino", "torch"),
    ),
    Parameter(
        "device",
        "cpu",
        "Where the networks run; cuda needs the backend torch or auto.",
        when="configure",
        choices=("cpu", "cuda"),
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
        "max_instances",
        1,
        "How many instances of each object are looked for in an image.",
        low=1,
        high=16,
    ),
    Parameter(
        "tracking",
        True,
        "Follow each instance from image to image: the last pose predicts where to look, poses are "
        "filtered, and instances keep their numbers. Off: every image stands alone.",
    ),
    Parameter(
        "locate_period",
        0.5,
        "tracking: time after which the whole image is searched again, for new instances (s). 0: "
        "every image.",
        low=0.0,
        high=3600.0,
    ),
    Parameter(
        "track_timeout",
        0.5,
        "tracking: an instance that was not seen for this long is given up (s).",
        low=0.01,
        high=60.0,
    ),
    Parameter(
        "track_hits",
        2,
        "tracking: an instance is reported once it was seen this many times.",
        low=1,
        high=100,
    ),
    Parameter(
        "track_gate",
        0.999,
        "tracking: a pose that differs from the predicted one by more than this share of all true "
        "poses would is not taken for the same instance.",
        low=0.5,
        high=0.999999,
    ),
    Parameter(
        "track_acceleration",
        1.0,
        "tracking: how much the speed of object and camera against each other may change within a "
        "second, standard deviation (m/s^2). More follows faster and smooths less.",
        low=0.001,
        high=1000.0,
    ),
    Parameter(
        "track_angular_acceleration",
        4.0,
        "tracking: the same of the angular speed (rad/s^2).",
        low=0.001,
        high=10000.0,
    ),
    Parameter(
        "image_transport",
        "raw",
        "raw subscribes to `image`; compressed to `image/compressed` (JPEG or PNG).",
        when="configure",
        choices=("raw", "compressed"),
    ),
    Parameter(
        "image_reliability",
        "best_effort",
        "QoS reliability of the image and camera_info subscriptions. best_effort also receives "
        "from reliable cameras. `qos_overrides` of a topic come before it.",
        when="start",
        choices=RELIABILITY,
    ),
    Parameter(
        "image_queue_depth",
        1,
        "How many images wait while one is processed. With 1 the newest always wins, so poses are "
        "never late; more trades that for dropping fewer frames.",
        when="start",
        low=1,
        high=100,
    ),
    Parameter(
        "camera_info_match",
        "latest",
        "Which camera_info belongs to an image. latest: the one with its stamp if it is there, "
        "else the last one of the same frame and size. exact: only the one with its stamp, waiting "
        "for it until the next image.",
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
    Parameter(
        "tf_instances",
        "auto",
        "TF frames of several instances of an object. auto: `<prefix><object>` for the first, "
        "`<prefix><object>_<n>` for the others. always: `<prefix><object>_<n>` for each.",
        when="configure",
        choices=("auto", "always"),
    ),
    Parameter("publish_tf", True, "Publish the pose of each object on /tf."),
    Parameter(
        "target_frame",
        "",
        "Publish poses in this frame, transformed through tf2 at the time of the image. Empty: in "
        "the camera's frame.",
    ),
    Parameter(
        "target_timeout",
        0.1,
        "target_frame: how long a frame's poses may wait for the transform (s).",
        low=0.0,
        high=10.0,
    ),
    Parameter(
        "publish_detections",
        False,
        "Publish `~/detections` (vision_msgs/Detection3DArray); needs the package vision_msgs.",
        when="configure",
    ),
    Parameter(
        "camera_timeout",
        2.0,
        "When images stay away for this long (s), diagnostics report an error and viewers take the "
        "markers away.",
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
