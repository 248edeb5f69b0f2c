# SPDX-License-Identifier: Apache-2.0
"""Starts the pose node, and if wanted a demonstration camera and rviz.

ros2 launch fpg_pose_ros pose.launch.py image:=/camera/image_raw camera_info:=/camera/camera_info
"""

from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.conditions import IfCondition, UnlessCondition
from launch.substitutions import (
    AndSubstitution,
    EnvironmentVariable,
    EqualsSubstitution,
    LaunchConfiguration,
    NotSubstitution,
    PathJoinSubstitution,
)
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackageShare

from launch import Condition, LaunchDescription

SHARE = FindPackageShare("fpg_pose_ros")
FASTDDS_PROFILE = PathJoinSubstitution([SHARE, "config", "fastdds.xml"])

ARGUMENTS = [
    DeclareLaunchArgument(
        "image",
        default_value="camera/image_raw",
        description="Topic of the camera's images; image_transport: compressed adds /compressed.",
    ),
    DeclareLaunchArgument(
        "camera_info",
        default_value="camera/camera_info",
        description="Topic of the camera's calibration (sensor_msgs/CameraInfo).",
    ),
    DeclareLaunchArgument(
        "bundle",
        default_value="",
        description="Model bundle: a path, or an installed one's name. Empty: as params_file says.",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([SHARE, "config", "pose.yaml"]),
        description="YAML file with the parameters of the nodes.",
    ),
    DeclareLaunchArgument(
        "namespace",
        default_value="",
        description="Namespace of the nodes; relative topics, also the camera's, are inside it.",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="false",
        choices=["true", "false"],
        description="Take the time from /clock, as a simulation or a played bag gives it.",
    ),
    DeclareLaunchArgument(
        "rviz",
        default_value="false",
        choices=["true", "false"],
        description="Show camera, overlay, TF, markers and pose in rviz.",
    ),
    DeclareLaunchArgument(
        "demo_camera",
        default_value="false",
        choices=["true", "false"],
        description="Publish rendered images of a moving object on the camera's topics.",
    ),
    DeclareLaunchArgument(
        "demo_object",
        default_value="",
        description="What demo_camera shows: an object file, or a built-in object's name. "
        "Empty: as params_file says.",
    ),
]

NAMESPACE = LaunchConfiguration("namespace")
BUNDLE = LaunchConfiguration("bundle")
DEMO_CAMERA = LaunchConfiguration("demo_camera")
DEMO_OBJECT = LaunchConfiguration("demo_object")
PARAMETERS = [
    LaunchConfiguration("params_file"),
    {"use_sim_time": LaunchConfiguration("use_sim_time")},
]
CAMERA_TOPICS = [
    ("image", LaunchConfiguration("image")),
    ("camera_info", LaunchConfiguration("camera_info")),
]
# The names in the rviz configuration are absolute; each becomes one inside the namespace.
RVIZ_TOPICS = [
    ("/camera/image_raw", LaunchConfiguration("image")),
    ("/camera/camera_info", LaunchConfiguration("camera_info")),
    ("/pose_node/overlay", "pose_node/overlay"),
    ("/pose_node/markers", "pose_node/markers"),
    ("/pose_node/spot/pose", "pose_node/spot/pose"),
]


def pose_node(extra_parameters: list[dict[str, LaunchConfiguration]], condition: Condition) -> Node:
    """Returns the pose node, if the condition holds."""
    return Node(
        package="fpg_pose_ros",
        executable="pose_node",
        name="pose_node",
        namespace=NAMESPACE,
        ros_arguments=["--enclave", "/fpg_pose_ros/pose_node"],
        parameters=[*PARAMETERS, *extra_parameters],
        remappings=CAMERA_TOPICS,
        output="screen",
        condition=condition,
    )


def camera_node(
    extra_parameters: list[dict[str, LaunchConfiguration]], condition: Condition
) -> Node:
    """Returns the demonstration camera, if the condition holds."""
    return Node(
        package="fpg_pose_ros",
        executable="camera_node",
        name="camera_node",
        namespace=NAMESPACE,
        ros_arguments=["--enclave", "/fpg_pose_ros/camera_node"],
        parameters=[*PARAMETERS, {"source": "render", "loop": True}, *extra_parameters],
        remappings=CAMERA_TOPICS,
        output="screen",
        condition=condition,
    )


def generate_launch_description() -> LaunchDescription:
    """Describes what runs."""
    as_configured = EqualsSubstitution(BUNDLE, "")
    usual_object = EqualsSubstitution(DEMO_OBJECT, "")
    return LaunchDescription(
        [
            *ARGUMENTS,
            # Without it Fast DDS loses camera images; a profile of the user's own stays in force.
            *(
                SetEnvironmentVariable(
                    variable, EnvironmentVariable(variable, default_value=FASTDDS_PROFILE)
                )
                for variable in ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
            ),
            # First, so that a missing rviz is found before anything runs.
            Node(
                package="rviz2",
                executable="rviz2",
                name="rviz",
                namespace=NAMESPACE,
                arguments=["-d", PathJoinSubstitution([SHARE, "rviz", "pose.rviz"])],
                parameters=[{"use_sim_time": LaunchConfiguration("use_sim_time")}],
                remappings=RVIZ_TOPICS,
                condition=IfCondition(LaunchConfiguration("rviz")),
            ),
            pose_node([], IfCondition(as_configured)),
            pose_node([{"bundle": BUNDLE}], UnlessCondition(as_configured)),
            camera_node([], IfCondition(AndSubstitution(DEMO_CAMERA, usual_object))),
            camera_node(
                [{"object": DEMO_OBJECT}],
                IfCondition(AndSubstitution(DEMO_CAMERA, NotSubstitution(usual_object))),
            ),
        ]
    )
