# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes: the only place of the project that imports rclpy and message types."""
