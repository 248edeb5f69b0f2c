# SPDX-License-Identifier: Apache-2.0
"""Message definitions of the types on this machine, for writing bags that explain themselves."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from fpg_pose_ros.errors import FpgPoseError


class TypeNotFound(FpgPoseError):
    """A message type that is not installed on this machine."""


def message_class(type_name: str) -> Any:
    """Returns the class of a message type such as "std_msgs/msg/Header".

    Raises:
        TypeNotFound: its package is not installed.
    """
    package, _, name = type_name.split("/")
    try:
        return getattr(import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError):
        raise TypeNotFound(f"message type {type_name} is not installed") from None


class Definitions:
    """Definitions of message types, read from the installed packages as they are asked for."""

    def __init__(self) -> None:
        """Begins with none."""
        self.typestore: Typestore = get_typestore(Stores.EMPTY)

    def add(self, type_name: str) -> None:
        """Makes a type and all that it is made of known to `typestore`.

        Raises:
            TypeNotFound: the definition of one of them is not installed.
        """
        wanted = [type_name]
        found: dict[str, Any] = {}
        while wanted:
            name = wanted.pop()
            if name in found or name in self.typestore.fielddefs:
                continue
            fields = get_types_from_msg(_definition(name), name)
            found |= fields
            wanted += _used_types(fields[name])
        self.typestore.register(found)


def _definition(type_name: str) -> str:
    package, _, name = type_name.split("/")
    try:
        path = Path(get_package_share_directory(package)) / "msg" / f"{name}.msg"
        return path.read_text(encoding="utf-8")
    except (PackageNotFoundError, OSError):
        raise TypeNotFound(f"the definition of message type {type_name} is not installed") from None


def _used_types(fields: Any) -> Iterator[str]:
    """Yields the message types among one's fields, given as rosbags' (constants, descriptions)."""
    _constants, descriptions = fields
    for _name, (node, content) in descriptions:
        kind, detail = (
            content[0] if node in (Nodetype.ARRAY, Nodetype.SEQUENCE) else (node, content)
        )
        if kind == Nodetype.NAME:
            yield detail
