# SPDX-License-Identifier: Apache-2.0
"""CameraInfo to cameras, and which CameraInfo belongs to an image."""

# ruff: noqa: E402 - without ROS the file is skipped before it is imported further

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", exc_type=ImportError)
pytestmark = pytest.mark.ros

from sensor_msgs.msg import CameraInfo, RegionOfInterest
from std_msgs.msg import Header

from fpg_pose_ros.errors import CameraError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.nodes.cameras import CameraMatcher, NoCamera, camera_to_info
from fpg_pose_ros.nodes.stamps import stamp_from_ns
from fpg_pose_ros.sources.camera_info import camera_from_info

K = np.array([[600.0, 0.0, 319.5], [0.0, 610.0, 239.5], [0.0, 0.0, 1.0]])
DISTORTIONS = {
    "plumb_bob": [-0.1, 0.02, 0.001, -0.002, 0.003],
    "rational_polynomial": [0.1, -0.02, 0.001, -0.002, 0.003, 0.04, 0.005, 0.006],
    "equidistant": [0.01, -0.02, 0.003, 0.004],
}


def info(stamp_ns: int = 0, frame_id: str = "camera", **fields: object) -> CameraInfo:
    made = camera_to_info(
        Camera(640, 480, K), Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)
    )
    for name, value in fields.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("model", DISTORTIONS)
def test_a_camera_comes_back_from_its_camera_info(model: str) -> None:
    camera = Camera(640, 480, K, np.array(DISTORTIONS[model]), model)
    back = camera_from_info(camera_to_info(camera, Header()))
    assert (back.width, back.height, back.model) == (640, 480, model)
    np.testing.assert_array_equal(back.K, K)
    np.testing.assert_array_equal(back.distortion, camera.distortion)


@pytest.mark.parametrize("model", ["plumb_bob", "rational_polynomial", ""])
@pytest.mark.parametrize("count", [0, 5])
def test_a_lens_without_distortion_is_a_pinhole_whatever_its_model_is_called(
    model: str, count: int
) -> None:
    camera = camera_from_info(info(distortion_model=model, d=[0.0] * count))
    assert camera.model == "pinhole"
    assert not camera.distorts


def test_rectified_images_take_the_projection_matrix_and_no_distortion() -> None:
    projection = [500.0, 0, 300, -50, 0, 500, 200, 0, 0, 0, 1, 0]
    made = info(d=DISTORTIONS["plumb_bob"], p=projection)
    camera = camera_from_info(made, rectified=True)
    np.testing.assert_array_equal(camera.K, [[500, 0, 300], [0, 500, 200], [0, 0, 1]])
    assert not camera.distorts
    assert camera_from_info(made).distorts


@pytest.mark.parametrize(("bin_x", "bin_y"), [(2, 2), (4, 2)])
def test_region_and_binning_keep_what_a_ray_hits(bin_x: int, bin_y: int) -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240)
    whole = camera_from_info(info())
    part = camera_from_info(info(roi=roi, binning_x=bin_x, binning_y=bin_y))
    assert (part.width, part.height) == (320 // bin_x, 240 // bin_y)
    point = np.array([[0.03, -0.05, 0.7]])
    pixel, binned = whole.project(point)[0], part.project(point)[0]
    # Edges of pixels, half a pixel before their centres, are what scales.
    np.testing.assert_allclose(
        (binned + 0.5) * [bin_x, bin_y] - 0.5 + [100, 40], pixel, rtol=0, atol=1e-9
    )


def test_region_and_binning_apply_to_rectified_images_too() -> None:
    roi = RegionOfInterest(x_offset=100, y_offset=40, width=320, height=240)
    projection = [500.0, 0, 300, -50, 0, 500, 200, 0, 0, 0, 1, 0]
    camera = camera_from_info(info(p=projection, roi=roi, binning_x=2, binning_y=2), rectified=True)
    np.testing.assert_allclose(camera.K, [[250, 0, 99.75], [0, 250, 79.75], [0, 0, 1]])
    with pytest.raises(CameraError, match=r"uncalibrated \(p is all zeros\)"):
        camera_from_info(info(p=[0.0] * 12), rectified=True)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"k": [0.0] * 9}, r"uncalibrated \(k is all zeros\)"),
        ({"k": [-1.0, 0, 1, 0, 1, 1, 0, 0, 1]}, "fx is -1.0"),
        ({"k": [float("nan"), 0, 1, 0, 1, 1, 0, 0, 1]}, "fx is nan"),
        ({"width": 0}, "width is 0"),
        ({"d": [0.1] * 5, "distortion_model": "thin_prism"}, "'thin_prism' is not supported"),
        ({"d": [0.1] * 3}, "distortion"),
        ({"d": [0.1] * 1000}, "1000 coefficients"),
        ({"d": [float("nan")] * 5}, "not finite"),
        ({"d": [0.1] * 5, "distortion_model": "equidistant"}, "takes 4"),
        ({"binning_x": 1000}, "width is 0"),
        ({"roi": RegionOfInterest(x_offset=600, width=100, height=10)}, "is not inside 640x480"),
        ({"roi": RegionOfInterest(width=100)}, "is not inside 640x480"),
    ],
)
def test_a_calibration_that_cannot_be_used_is_refused_naming_the_field(
    change: dict, complaint: str
) -> None:
    with pytest.raises(CameraError, match=complaint):
        camera_from_info(info(**change))


def header(stamp_ns: int, frame_id: str = "camera") -> Header:
    return Header(stamp=stamp_from_ns(stamp_ns), frame_id=frame_id)


def zoomed(stamp_ns: int, focal: float) -> CameraInfo:
    return info(stamp_ns, k=[focal, 0.0, 319.5, 0.0, focal, 239.5, 0.0, 0.0, 1.0])


def test_the_camera_info_with_the_images_stamp_comes_first() -> None:
    matcher = CameraMatcher("latest")
    for stamp in (1, 2, 3):
        matcher.add(zoomed(stamp, 100.0 * stamp))
    assert matcher.camera(header(2), 640, 480).fx == 200.0


def test_else_the_latest_of_the_frame_serves() -> None:
    matcher = CameraMatcher("latest")
    matcher.add(zoomed(1, 100.0))
    matcher.add(zoomed(2, 200.0))
    assert matcher.camera(header(7), 640, 480).fx == 200.0


def test_exact_matching_waits_for_the_images_own() -> None:
    matcher = CameraMatcher("exact")
    with pytest.raises(NoCamera, match="no camera_info has come"):
        matcher.camera(header(2), 640, 480)
    matcher.add(zoomed(1, 100.0))
    with pytest.raises(NoCamera, match="no camera_info with the image's stamp has come"):
        matcher.camera(header(2), 640, 480)
    matcher.add(zoomed(2, 200.0))
    assert matcher.camera(header(2), 640, 480).fx == 200.0


def test_a_camera_info_of_another_frame_is_not_taken() -> None:
    matcher = CameraMatcher("latest")
    matcher.add(info(1, frame_id="left"))
    with pytest.raises(NoCamera, match="of frame 'left', the image of 'right'"):
        matcher.camera(header(1, "right"), 640, 480)


def test_a_camera_info_of_another_size_is_an_error_that_names_both() -> None:
    matcher = CameraMatcher("latest")
    matcher.add(info(1))
    with pytest.raises(CameraError, match="640x480 pixels, the image has 320x240"):
        matcher.camera(header(1), 320, 240)


def test_an_unchanged_calibration_is_converted_once() -> None:
    matcher = CameraMatcher("latest")
    matcher.add(info(1))
    first = matcher.camera(header(1), 640, 480)
    matcher.add(info(2))
    assert matcher.camera(header(2), 640, 480) is first
    matcher.add(zoomed(3, 700.0))
    assert matcher.camera(header(3), 640, 480).fx == 700.0


def test_no_more_than_a_few_camera_infos_are_kept() -> None:
    matcher = CameraMatcher("exact")
    for stamp in range(1000):
        matcher.add(info(stamp))
        matcher.add(info(0))  # keeps coming
    matcher.camera(header(0), 640, 480)
    assert matcher.camera(header(999), 640, 480).fx == 600.0
    with pytest.raises(NoCamera):
        matcher.camera(header(1), 640, 480)
