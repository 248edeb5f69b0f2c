# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np
import pytest
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from fpg_pose_ros.errors import CameraError, DatasetError
from fpg_pose_ros.geometry import Camera
from fpg_pose_ros.sources import open_source
from fpg_pose_ros.sources.images import image_to_rgb

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
IMAGE = np.random.default_rng(0).integers(0, 255, (6, 8, 3), dtype=np.uint8)
K = np.array([60.0, 0, 4, 0, 60, 3, 0, 0, 1])


def header(index: int, frame_id: str = "camera"):
    stamp = TYPES["builtin_interfaces/msg/Time"](sec=1_700_000_000, nanosec=index * 50_000_000)
    return TYPES["std_msgs/msg/Header"](stamp=stamp, frame_id=frame_id)


def image(index: int, encoding: str = "rgb8", pad: int = 0):
    pixels = {
        "rgb8": IMAGE,
        "bgr8": IMAGE[..., ::-1],
        "bgra8": np.dstack([IMAGE[..., ::-1], np.full((6, 8), 255, np.uint8)]),
        "mono8": IMAGE[..., :1],
        "yuv9": IMAGE,
        "yuv422_yuy2": IMAGE[..., :2],
        "mono16": IMAGE[..., :2],
        "bayer_grbg8": IMAGE[..., :1],
        "nv12": IMAGE[..., :1],
    }[encoding]
    rows = pixels.reshape(6, -1)
    rows = np.pad(rows, ((0, 3 if encoding == "nv12" else 0), (0, pad)))
    return TYPES["sensor_msgs/msg/Image"](
        header=header(index),
        height=6,
        width=8,
        encoding=encoding,
        is_bigendian=0,
        step=rows.shape[1],
        data=rows.ravel().copy(),
    )


def compressed(index: int, data: np.ndarray | None = None):
    if data is None:
        data = cv2.imencode(".png", IMAGE[..., ::-1])[1].ravel()
    return TYPES["sensor_msgs/msg/CompressedImage"](header(index), "rgb8; png compressed", data)


def info(index: int, fx: float = 60.0, model: str = "plumb_bob", d=(0.0,) * 5):
    roi = TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    matrix = K.copy()
    matrix[0] = fx
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header(index), 6, 8, model, np.array(d), matrix, np.eye(3).ravel(), np.zeros(12), 0, 0, roi
    )


def write(path, messages, storage=StoragePlugin.MCAP):
    """Writes (topic, message) in this order."""
    with Writer2(path, version=9, storage_plugin=storage) as writer:
        connections = {}
        for number, (topic, message) in enumerate(messages):
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            data = STORE.serialize_cdr(message, kind)
            writer.write(connections[topic], 1_700_000_000_000_000_000 + number, data)
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_images_come_with_the_camera_before_them_and_their_own_stamps(tmp_path, storage):
    bag = write(
        tmp_path / "bag",
        [
            ("/front/image", image(0)),  # its camera comes after it
            ("/front/camera_info", info(0, fx=60)),
            ("/front/image", image(1)),
            ("/front/camera_info", info(2, fx=70)),
            ("/front/image", image(2)),
        ],
        storage,
    )
    frames = list(open_source(bag))
    assert [frame.camera.fx for frame in frames] == [60, 60, 70]
    assert [frame.stamp_ns % 10**9 for frame in frames] == [0, 50_000_000, 100_000_000]
    for frame in frames:
        np.testing.assert_array_equal(frame.image, IMAGE)
        assert frame.camera.model == "pinhole"
    # The storage file alone will do, too.
    (file,) = [path for path in bag.iterdir() if path.suffix in (".mcap", ".db3")]
    assert len(list(open_source(file))) == 3


@pytest.mark.parametrize(
    ("encoding", "pad"), [("bgr8", 0), ("rgb8", 5), ("bgra8", 3), ("mono8", 1)]
)
def test_encodings_and_row_padding_are_understood(tmp_path, encoding, pad):
    bag = write(tmp_path / "bag", [("/image", image(0, encoding, pad)), ("/camera_info", info(0))])
    (frame,) = open_source(bag)
    expected = np.repeat(IMAGE[..., :1], 3, axis=2) if encoding == "mono8" else IMAGE
    np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("encoding", ["yuv422_yuy2", "mono16", "bayer_grbg8", "nv12"])
def test_what_a_node_reads_is_read_from_a_bag_as_well(tmp_path, encoding):
    message = image(0, encoding, pad=3)
    (frame,) = open_source(write(tmp_path / "bag", [("/image", message)]))
    np.testing.assert_array_equal(frame.image, image_to_rgb(message))
    assert frame.image.flags.writeable
    assert frame.image.flags.c_contiguous


def test_the_camera_is_that_of_the_delivered_part_of_the_sensor(tmp_path):
    part = info(0)
    part.width, part.height, part.binning_x, part.binning_y = 20, 14, 2, 2
    part.roi = TYPES["sensor_msgs/msg/RegionOfInterest"](4, 2, 12, 16, False)
    bag = write(tmp_path / "bag", [("/image", image(0)), ("/camera_info", part)])
    camera = next(open_source(bag)).camera
    assert (camera.width, camera.height, camera.fx) == (8, 6, 30)
    assert camera.K[0, 2] == (4 - 4 + 0.5) / 2 - 0.5


def test_compressed_images_are_decoded(tmp_path):
    bag = write(
        tmp_path / "bag",
        [("/a/image/compressed", compressed(0)), ("/a/image/camera_info", info(0))],
    )
    (frame,) = open_source(bag)
    np.testing.assert_array_equal(frame.image, IMAGE)
    assert frame.camera is not None


def test_a_given_camera_goes_before_the_bags(tmp_path):
    bag = write(tmp_path / "bag", [("/image", image(0)), ("/camera_info", info(0, model="odd"))])
    camera = Camera(8, 6, K.reshape(3, 3))
    assert next(open_source(bag, camera)).camera is camera


def test_of_several_cameras_one_must_be_named(tmp_path):
    bag = write(
        tmp_path / "bag",
        [
            ("/left/camera_info", info(0, fx=61)),
            ("/right/camera_info", info(0, fx=62)),
            ("/left/image", image(0)),
            ("/right/image", image(1)),
        ],
    )
    with pytest.raises(DatasetError, match="/left/image, /right/image"):
        list(open_source(bag))
    (frame,) = open_source(bag, topic="/right/image")
    assert frame.camera.fx == 62


def test_without_camera_info_the_camera_is_not_known(tmp_path):
    bag = write(tmp_path / "bag", [("/image", image(0))])
    assert next(open_source(bag)).camera is None


def test_ros_1_bags_are_read_as_well(tmp_path):
    store = get_typestore(Stores.ROS1_NOETIC)
    types = store.types
    stamp = types["builtin_interfaces/msg/Time"](sec=1_600_000_000, nanosec=7)
    head = types["std_msgs/msg/Header"](seq=0, stamp=stamp, frame_id="camera")
    roi = types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    messages = {
        "/camera_info": types["sensor_msgs/msg/CameraInfo"](
            head, 6, 8, "plumb_bob", np.zeros(5), K, np.eye(3).ravel(), np.zeros(12), 0, 0, roi
        ),
        "/image": types["sensor_msgs/msg/Image"](head, 6, 8, "rgb8", 0, 24, IMAGE.ravel()),
    }
    with Writer1(tmp_path / "old.bag") as writer:
        for topic, message in messages.items():
            kind = message.__msgtype__
            connection = writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, 1, store.serialize_ros1(message, kind))
    (frame,) = open_source(tmp_path / "old.bag")
    np.testing.assert_array_equal(frame.image, IMAGE)
    assert frame.stamp_ns == 1_600_000_000_000_000_007
    assert frame.camera.fx == 60


@pytest.mark.parametrize(
    ("messages", "error", "text"),
    [
        ([("/camera_info", info(0))], DatasetError, "no topic of type"),
        ([("/image", image(0, "yuv9"))], DatasetError, "encoding 'yuv9'"),
        ([("/image", compressed(0, np.zeros(9, np.uint8)))], DatasetError, "neither JPEG nor PNG"),
        ([("/image", image(0)), ("/camera_info", info(0, fx=0.0))], CameraError, "fx"),
        (
            [("/image", image(0)), ("/camera_info", info(0, model="fov", d=(0.9,)))],
            CameraError,
            "'fov'",
        ),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, messages, error, text):
    bag = write(tmp_path / "bag", messages)
    with pytest.raises(error, match=text):
        list(open_source(bag))


def test_an_image_that_contradicts_itself_is_refused(tmp_path):
    message = image(0)
    message.height = 60
    with pytest.raises(DatasetError, match=r"none of its 1 images .* image data holds"):
        list(open_source(write(tmp_path / "bag", [("/image", message)])))


def test_images_that_cannot_be_read_are_left_out_and_told_of(tmp_path, caplog):
    torn = [compressed(i, np.arange(9, dtype=np.uint8)) for i in (1, 2)]
    whole = [compressed(i) for i in (0, 3)]
    sent = [whole[0], *torn, whole[1]]
    bag = write(tmp_path / "bag", [("/image/compressed", message) for message in sent])
    frames = list(open_source(bag))
    assert [frame.stamp_ns % 10**9 for frame in frames] == [0, 150_000_000]
    first, last = caplog.messages
    assert "1700000000050000000 ns is left out" in first
    assert "2 images were left out" in last


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_damaged_bag_is_named(tmp_path, storage):
    bag = write(tmp_path / "bag", [("/image", image(i)) for i in range(20)], storage)
    (file,) = [path for path in bag.iterdir() if path.suffix in (".mcap", ".db3")]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(DatasetError, match="bag"):
        list(open_source(bag))
