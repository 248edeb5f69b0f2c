# SPDX-License-Identifier: Apache-2.0
"""What no honest camera sends is either read or refused in words: a sample of `make trials`."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

import hostile_messages as hostile

from fpg_pose_ros.errors import FpgPoseError
from fpg_pose_ros.sources.camera_info import camera_from_info
from fpg_pose_ros.sources.images import ImageError, image_to_rgb


def test_every_image_is_read_as_it_claims_to_be_or_refused() -> None:
    read = longest = 0
    for number, recipe in enumerate(hostile.draw(hostile.IMAGES, 120)):
        message = hostile.image(recipe, number)
        try:
            rgb = image_to_rgb(message)
        except ImageError as error:
            longest = max(longest, len(str(error)))
            continue
        assert rgb.shape == (message.height, message.width, 3)
        assert rgb.dtype == np.uint8
        read += 1
    assert 10 < read < 100
    assert longest < 1000, "a message must not fill the log"


def test_every_camera_info_is_a_finite_camera_or_refused() -> None:
    read = longest = 0
    for number, recipe in enumerate(hostile.draw(hostile.CAMERA_INFOS, 120)):
        message = hostile.camera_info(recipe, number)
        for rectified in (False, True):
            try:
                camera = camera_from_info(message, rectified=rectified)
            except FpgPoseError as error:
                longest = max(longest, len(str(error)))
                continue
            assert np.isfinite(camera.K).all()
            assert camera.fx > 0
            assert camera.fy > 0
            read += 1
    assert 10 < read < 230
    assert longest < 1000, "a message must not fill the log"
