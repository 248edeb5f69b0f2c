# SPDX-License-Identifier: Apache-2.0
"""A rosbag as it was, with poses added as a pose node would have published them; needs no ROS."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import yaml
from numpy.typing import NDArray
from rosbags.highlevel import AnyReader
from rosbags.interfaces import Connection, MessageDefinitionFormat
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.estimator import EstimateResult
from fpg_pose_ros.nodes.names import firsts, tf_frame, unique_tokens
from fpg_pose_ros.sources import Frame
from offline_search.bag_messages import BagMessages
from offline_search.installed import share_folders

ARRAY: Final = "fpg_pose_ros/msg/ObjectPoseArray"
_DEFINED: Final = ("ObjectPose", "ObjectPoseArray")
_POSE: Final = "geometry_msgs/msg/PoseStamped"
_TF: Final = "tf2_msgs/msg/TFMessage"
_IMAGE: Final = "sensor_msgs/msg/Image"
_NODE: Final = "pose_node"
_MADE_BY, _US = "made_by", "fpg-pose estimate"  # in the copy's metadata
_UNKNOWN: Final = "# The bag that this was copied from holds no definition of this type.\n"


def is_ros2_bag(path: Path) -> bool:
    """Whether a source is a bag that poses can be added to."""
    return path.suffix in (".mcap", ".db3") or (path / "metadata.yaml").is_file()


@contextmanager
def added_poses(
    source: Path, out: Path, object_names: Sequence[str], *, replace: bool = False
) -> Iterator[PosedBag]:
    """Opens a copy of a bag, to which the results of its frames are added in order.

    What the source holds is copied as bytes, whatever it is. The copy appears under its name when
    it is complete, and not at all when the block is left by an exception.

    Args:
        source: a ROS 2 bag: a folder, or an .mcap or .db3 file.
        out: folder of the copy, which is of the same kind.
        object_names: all that may be found.
        replace: whether an earlier copy that is there may go.

    Raises:
        DatasetError: the source cannot be read or is `out`, or `out` cannot be written or is there
            already.
    """
    if source.resolve().is_relative_to(out.resolve()):
        raise DatasetError(f"{out} is the source itself: give another --output, or --bag-out")
    if out.exists() and not (replace and _is_ours(out)):
        raise DatasetError(f"{out} exists already: remove it or give another --bag-out")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        # Under its final name, which its files bear too.
        part = Path(folder) / out.name
        bag = PosedBag(source, part, object_names)
        try:
            yield bag
            bag.finish()
        finally:
            bag.close()
        if out.exists():
            shutil.move(out, Path(folder) / "before")
        os.replace(part, out)


def _is_ours(bag: Path) -> bool:
    """Whether a folder is a copy that was made here, and may be made anew."""
    try:
        document = yaml.safe_load((bag / "metadata.yaml").read_text(encoding="utf-8"))
        made_by = document["rosbag2_bagfile_information"]["custom_data"][_MADE_BY]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return False
    return bool(made_by == _US)


class PosedBag:
    """A bag in the making; see `added_poses`."""

    def __init__(self, source: Path, out: Path, object_names: Sequence[str]) -> None:
        """Opens both bags and makes the topics of the copy."""
        self._source = source
        self._store = message_store()
        self._messages = BagMessages(self._store)
        try:
            self._reader = AnyReader([source], default_typestore=self._store)
            self._reader.open()
        except Exception as error:  # each storage format has errors of its own
            raise DatasetError(
                f"{source} cannot be read as a rosbag ({error}); is it whole?"
            ) from None
        self._writer = Writer(out, version=9, storage_plugin=_storage(source))
        self._writer.set_custom_data(_MADE_BY, _US)
        self._writer.open()
        self._copies = {id_of(c): self._copy_topic(c) for c in self._reader.connections}
        self._rest = self._originals()
        self._next = next(self._rest, None)
        topics = {connection.topic for connection in self._reader.connections}
        node = free_name(topics)
        self._prefix = "" if node == _NODE else f"{node}_"
        self._poses = self._topic(f"/{node}/poses", ARRAY)
        tokens = unique_tokens(list(object_names))
        self._pose_of = {n: self._topic(f"/{node}/{t}/pose", _POSE) for n, t in tokens.items()}
        self._tf = self._topic("/tf", _TF)
        self._frames = 0
        self._overlay: Connection | None = None
        self._overlay_topic = f"/{node}/overlay"

    def add(
        self, frame: Frame, result: EstimateResult, overlay: NDArray[np.uint8] | None = None
    ) -> None:
        """Adds what came of an image, just behind it; frames come in the order of the bag."""
        self._copy_until(frame.received_ns)
        make, time_ns = self._messages, frame.received_ns
        header = make.header(frame.stamp_ns, frame.frame_id)
        self._frames += 1
        self._write(self._poses, time_ns, make.pose_array(header, result, self._frames))
        for one in firsts(result.estimates, lambda one: (one.object_name, one.instance_id)):
            pose = make.pose_stamped(header, one.T_camera_object)
            self._write(self._pose_of[one.object_name], time_ns, pose)
        if result.estimates:
            children = {
                tf_frame(self._prefix, one.object_name, one.instance_id): one.T_camera_object
                for one in result.estimates
            }
            self._write(self._tf, time_ns, make.transforms(header, children))
        if overlay is not None:
            self._overlay = self._overlay or self._topic(self._overlay_topic, _IMAGE)
            self._write(self._overlay, time_ns, make.image(header, overlay))

    def finish(self) -> None:
        """Copies what comes after the last frame, and completes the bag."""
        self._copy_until(None)
        self._writer.close()

    def close(self) -> None:
        """Gives the files back; a bag that is not finished stays incomplete."""
        self._rest.close()
        self._reader.close()
        self._writer.abort()

    def _originals(self) -> Any:
        try:
            yield from self._reader.messages()
        except Exception as error:  # each storage format has errors of its own
            raise DatasetError(f"{self._source} is damaged ({error}); record it again") from None

    def _copy_until(self, time_ns: int | None) -> None:
        while self._next is not None and (time_ns is None or self._next[1] <= time_ns):
            connection, received_ns, data = self._next
            self._writer.write(self._copies[id_of(connection)], received_ns, data)
            self._next = next(self._rest, None)

    def _copy_topic(self, original: Connection) -> Connection:
        definition, digest = original.msgdef.data, original.digest
        if original.msgdef.format == MessageDefinitionFormat.NONE or not digest:
            definition, digest = self._definition(original.msgtype)
        elif original.msgtype == ARRAY and digest != self._store.hash_rihs01(ARRAY):
            raise DatasetError(
                f"{self._source} holds {ARRAY} of another version: give a bag without poses"
            )
        return self._writer.add_connection(
            original.topic,
            original.msgtype,
            msgdef=definition,
            rihs01=digest,
            serialization_format=original.ext.serialization_format,  # type: ignore[union-attr]
            offered_qos_profiles=original.ext.offered_qos_profiles,  # type: ignore[union-attr]
        )

    def _definition(self, kind: str) -> tuple[str, str]:
        """Definition and hash of a type that the bag does not define."""
        store = self._reader.typestore if kind in self._reader.typestore.fielddefs else self._store
        if kind not in store.fielddefs:
            store = get_typestore(Stores.EMPTY)
            store.register(get_types_from_msg(_UNKNOWN, kind))
        return store.generate_msgdef(kind, ros_version=2)[0], store.hash_rihs01(kind)

    def _topic(self, topic: str, kind: str) -> Connection:
        for connection in self._writer.connections:
            if (connection.topic, connection.msgtype) == (topic, kind):
                return connection
        return self._writer.add_connection(topic, kind, typestore=self._store)

    def _write(self, connection: Connection, time_ns: int, message: Any) -> None:
        data = self._store.serialize_cdr(message, connection.msgtype)
        self._writer.write(connection, time_ns, bytes(data))


def id_of(connection: Connection) -> tuple[int, int]:
    """What tells connections of a reader apart."""
    return connection.id, id(connection.owner)


def free_name(topics: set[str]) -> str:
    """The pose node's name; with a number where the bag holds a pose node's topics already."""
    name, number = _NODE, 1
    while any(topic.startswith(f"/{name}/") for topic in topics):
        number += 1
        name = f"{_NODE}_{number}"
    return name


def message_store() -> Typestore:
    """ROS's own message types and this package's.

    Raises:
        DatasetError: this package's definitions are not installed.
    """
    store = get_typestore(Stores.ROS2_JAZZY)
    for name in _DEFINED:
        kind = f"fpg_pose_ros/msg/{name}"
        store.register(get_types_from_msg(_definition_file(name).read_text("utf-8"), kind))
    return store


def _definition_file(name: str) -> Path:
    for folder in share_folders("msg"):
        if (folder / f"{name}.msg").is_file():
            return folder / f"{name}.msg"
    raise DatasetError(f"{name}.msg is not installed; install fpg_pose_ros again")


def _storage(source: Path) -> StoragePlugin:
    files = source.iterdir() if source.is_dir() else [source]
    sqlite = any(".db3" in file.suffixes for file in files)
    return StoragePlugin.SQLITE3 if sqlite else StoragePlugin.MCAP
