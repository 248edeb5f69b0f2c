# SPDX-License-Identifier: Apache-2.0
"""A bag with poses added, read back with rosbags."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rosbags.highlevel import AnyReader
from rosbags.rosbag2 import Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from fpg_pose_ros.bundle import write_bundle
from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.estimates import EstimateResult, PoseEstimate, StageTimes
from fpg_pose_ros.geometry import Camera, exp_so3, make_transform
from fpg_pose_ros.sources import open_source
from offline_search.bag_messages import BagMessages
from offline_search.estimate import estimate
from offline_search.estimate_bag import ARRAY, added_poses, free_name, message_store

sys.path.insert(0, str(Path(__file__).parents[1] / "fpg_pose_ros"))
import cube_world

CAMERA = Camera(640, 480, np.array([[600.0, 0, 320], [0, 600, 240], [0, 0, 1]]))
POSES = [make_transform(exp_so3([0.3, 0.5 * i, -0.2]), [0.02 * i, 0.01, 0.8]) for i in range(2)]
START = 1_700_000_000_000_000_000
STRANGE = "lab_msgs/msg/Strange"
RAW = b"\x00\x01\x00\x00\x07\x00\x00\x00"
STORE = message_store()
MAKE = BagMessages(STORE)


def stamp(index: int) -> int:
    return START + index * 50_000_000


def info(header: Any) -> Any:
    roi = STORE.types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return STORE.types["sensor_msgs/msg/CameraInfo"](
        header,
        CAMERA.height,
        CAMERA.width,
        "plumb_bob",
        np.zeros(5),
        CAMERA.K.ravel(),
        np.eye(3).ravel(),
        np.zeros(12),
        0,
        0,
        roi,
    )


def write_bag(path: Path, storage: StoragePlugin = StoragePlugin.MCAP) -> Path:
    """Two pictures of the cube and one of nothing, and something that no one knows."""
    strange = get_typestore(Stores.EMPTY)
    strange.register(get_types_from_msg("uint32 value\n", STRANGE))
    with Writer(path, version=9, storage_plugin=storage) as writer:
        topics = {
            topic: writer.add_connection(topic, kind, typestore=store)
            for topic, kind, store in [
                ("/image", "sensor_msgs/msg/Image", STORE),
                ("/camera_info", "sensor_msgs/msg/CameraInfo", STORE),
                ("/tf", "tf2_msgs/msg/TFMessage", STORE),
                ("/strange", STRANGE, strange),
            ]
        }

        def put(topic: str, time_ns: int, message: Any) -> None:
            data = message
            if not isinstance(message, bytes):
                data = bytes(STORE.serialize_cdr(message, topics[topic].msgtype))
            writer.write(topics[topic], time_ns, data)

        empty = np.full((CAMERA.height, CAMERA.width, 3), cube_world.BACKGROUND, np.uint8)
        pictures = [*(cube_world.photograph(CAMERA, T) for T in POSES), empty]
        for index, picture in enumerate(pictures):
            header = MAKE.header(stamp(index), "lens")
            put("/camera_info", stamp(index) + 1_000_000, info(header))
            put("/image", stamp(index) + 2_000_000, MAKE.image(header, picture))
            put("/tf", stamp(index) + 3_000_000, MAKE.transforms(header, {"arm": np.eye(4)}))
            put("/strange", stamp(index) + 4_000_000, RAW)
    return path


def messages(bag: Path) -> list[tuple[str, int, bytes]]:
    with Reader(bag) as reader:
        return [(c.topic, time_ns, bytes(data)) for c, time_ns, data in reader.messages()]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "cube.zip"
    write_bundle(path, cube_world.cube_manifest(), cube_world.cube_files())
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_the_copy_holds_everything_and_the_poses(
    bundle: Path, tmp_path: Path, storage: StoragePlugin
) -> None:
    source, out = write_bag(tmp_path / "in", storage), tmp_path / "out"
    assert estimate(bundle, source, output=out).poses == 2
    copy = out / "bag"
    suffix = "mcap" if storage is StoragePlugin.MCAP else "db3"
    assert sorted(path.name for path in copy.iterdir()) == [f"bag.{suffix}", "metadata.yaml"]

    before, after = messages(source), messages(copy)
    added = ("/pose_node/poses", "/pose_node/cube/pose", "/pose_node/overlay")
    kept = [entry for entry in after if entry[0] not in added]
    own_tf = [e for e in kept if e[0] == "/tf" and e not in before]
    assert [entry for entry in kept if entry not in own_tf] == before
    assert [time_ns for _, time_ns, _ in after] == sorted(time_ns for _, time_ns, _ in after)
    assert len(own_tf) == 2

    with AnyReader([copy]) as reader:
        found: dict[str, list[Any]] = {}
        for connection, time_ns, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append(SimpleNamespace(t=time_ns, m=message))
        assert len(reader.topics["/tf"].connections) == 1
    arrays = found["/pose_node/poses"]
    assert [len(entry.m.poses) for entry in arrays] == [1, 1, 0]
    assert [entry.t for entry in arrays] == [stamp(i) + 2_000_000 for i in range(3)]
    for index, entry in enumerate(arrays):
        header = entry.m.header
        assert header.stamp.sec * 10**9 + header.stamp.nanosec == stamp(index)
        assert (header.frame_id, entry.m.frames_received) == ("lens", index + 1)
    for T, array, posed in zip(POSES, arrays, found["/pose_node/cube/pose"], strict=False):
        (item,) = array.m.poses
        assert (item.object_id, item.header.frame_id) == ("cube", "lens")
        assert 0.3 < item.score <= 1
        assert np.linalg.eigvalsh(item.pose.covariance.reshape(6, 6)).min() > 0
        place = [getattr(posed.m.pose.position, axis) for axis in "xyz"]
        np.testing.assert_allclose(place, T[:3, 3], atol=0.01)
        assert item.pose.pose.position == posed.m.pose.position
    transforms = [entry.m.transforms[0] for entry in found["/tf"]]
    assert [t.child_frame_id for t in transforms] == ["arm", "cube", "arm", "cube", "arm"] or [
        t.child_frame_id for t in transforms
    ] == ["cube", "arm", "cube", "arm", "arm"]
    assert {t.header.frame_id for t in transforms} == {"lens"}
    overlays = found["/pose_node/overlay"]
    assert len(overlays) == 3
    drawn = overlays[0].m.data.reshape(480, 640, 3).astype(int)
    assert np.abs(drawn - cube_world.photograph(CAMERA, POSES[0])).max() > 100
    assert found["/strange"][0].m.value == 7


def test_of_several_instances_the_lowest_number_has_the_objects_own_topic(tmp_path: Path) -> None:
    """As of a node: the array and the transforms hold all."""
    source, out = write_bag(tmp_path / "in"), tmp_path / "out"
    frame = next(open_source(source))
    seen = tuple(
        PoseEstimate("cube", number, T, 1e-6 * np.eye(6), 0.9, 1.0, (0.0, 0.0, 9.0, 9.0))
        for number, T in zip((1, 0), POSES, strict=True)
    )
    with added_poses(source, out, ["cube"]) as bag:
        bag.add(frame, EstimateResult(seen, StageTimes(1.0, 1.0, 1.0, 1.0, 4.0), ()))
    with AnyReader([out]) as reader:
        found: dict[str, list[Any]] = {}
        for connection, _, raw in reader.messages():
            if connection.topic.startswith(("/pose_node", "/tf")):
                message = reader.deserialize(raw, connection.msgtype)
                found.setdefault(connection.topic, []).append(message)
    (array,), (single,) = found["/pose_node/poses"], found["/pose_node/cube/pose"]
    assert [pose.instance_id for pose in array.poses] == [1, 0]
    assert single.pose == array.poses[1].pose.pose
    assert ["cube_1", "cube"] in [[t.child_frame_id for t in m.transforms] for m in found["/tf"]]


def test_a_second_pose_node_gets_topics_and_frames_of_its_own(bundle: Path, tmp_path: Path) -> None:
    first = tmp_path / "first"
    estimate(
        bundle, write_bag(tmp_path / "in"), output=tmp_path / "a", overlays="none", bag_out=first
    )
    estimate(bundle, first, topic="/image", output=tmp_path / "b", overlays="none")
    with AnyReader([tmp_path / "b" / "bag"]) as reader:
        topics = set(reader.topics)
        frames = {
            reader.deserialize(data, c.msgtype).transforms[0].child_frame_id  # type: ignore[attr-defined]
            for c, _, data in reader.messages(reader.topics["/tf"].connections)
        }
    assert {"/pose_node/poses", "/pose_node_2/poses", "/pose_node_2/cube/pose"} <= topics
    assert "/pose_node_2/overlay" not in topics
    assert frames == {"arm", "cube", "pose_node_2_cube"}
    assert free_name({"/image", "/pose_node_1/x"}) == "pose_node"


def test_a_bag_of_the_recorder_with_types_it_does_not_define_is_copied(
    bundle: Path, tmp_path: Path
) -> None:
    """Bags of Iron and before define no types; what is no type of ROS stays bytes."""
    import sqlite3

    import yaml

    source = write_bag(tmp_path / "in", StoragePlugin.SQLITE3)
    with sqlite3.connect(source / "in.db3") as database:
        database.execute("DELETE FROM message_definitions")
        database.execute("UPDATE topics SET type_description_hash = ''")
    about = yaml.safe_load((source / "metadata.yaml").read_text())
    for topic in about["rosbag2_bagfile_information"]["topics_with_message_count"]:
        topic["topic_metadata"]["type_description_hash"] = ""
    (source / "metadata.yaml").write_text(yaml.safe_dump(about))
    estimate(bundle, source, output=tmp_path / "out", overlays="none")
    copied = [entry for entry in messages(tmp_path / "out" / "bag") if entry[0] == "/strange"]
    assert [data for _, _, data in copied] == [RAW] * 3
    with AnyReader([tmp_path / "out" / "bag"]) as reader:
        assert reader.topics["/pose_node/poses"].msgtype == ARRAY


def test_nothing_appears_under_the_final_name_before_it_is_whole(
    bundle: Path, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in")
    (file,) = source.glob("*.mcap")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DatasetError):
        estimate(bundle, file, output=tmp_path / "out", overlays="none")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["poses.csv"]
    file.write_bytes(whole)
    estimate(bundle, source, output=tmp_path / "out", overlays="none")
    held = (tmp_path / "out" / "bag" / "bag.mcap").stat().st_mtime_ns
    estimate(bundle, source, output=tmp_path / "out", overlays="none", limit=1)
    assert (tmp_path / "out" / "bag" / "bag.mcap").stat().st_mtime_ns > held
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["bag", "poses.csv"]
    assert len([e for e in messages(tmp_path / "out" / "bag") if e[0] == "/image"]) == 3


def test_a_bag_that_is_there_is_kept_and_no_other_source_makes_one(
    bundle: Path, tmp_path: Path
) -> None:
    source = write_bag(tmp_path / "in")
    with pytest.raises(DatasetError, match="is the source itself"):
        estimate(bundle, source, output=tmp_path / "out", bag_out=source)
    recorded = write_bag(tmp_path / "recordings" / "bag")
    with pytest.raises(DatasetError, match="is the source itself"):
        estimate(bundle, recorded, output=tmp_path / "recordings", overlays="none")
    with pytest.raises(DatasetError, match="exists already"):  # another's recording
        estimate(bundle, source, output=tmp_path / "recordings", overlays="none")
    estimate(bundle, source, output=tmp_path / "plain", overlays="none", bag=False)
    assert [path.name for path in (tmp_path / "plain").iterdir()] == ["poses.csv"]
    with pytest.raises(DatasetError, match="no ROS 2 bag"):
        estimate(bundle, tmp_path, output=tmp_path / "out", bag_out=tmp_path / "bag")
