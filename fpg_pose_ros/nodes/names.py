# SPDX-License-Identifier: Apache-2.0
"""Names of objects as ROS accepts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar

from fpg_pose_ros.errors import FpgPoseError

Instances = Literal["auto", "always"]
T = TypeVar("T")


class NameClashError(FpgPoseError):
    """Two things would have the same name; the message says which."""


def topic_token(object_name: str) -> str:
    """Returns an object's name as part of a topic: letters, digits and single underscores.

    A name that begins with a digit gets an o before it, since a topic's part must not. Different
    objects may come to the same token: `unique_tokens` tells them apart.
    """
    token = re.sub(r"_+", "_", re.sub(r"[^A-Za-z0-9_]", "_", object_name)).strip("_") or "object"
    return f"o{token}" if token[0].isdigit() else token


def unique_tokens(object_names: list[str]) -> dict[str, str]:
    """Returns a topic token for each object name; those that would collide are numbered."""
    tokens: dict[str, str] = {}
    for name in object_names:
        token = candidate = topic_token(name)
        count = 1
        while candidate in tokens.values():
            count += 1
            candidate = f"{token}_{count}"
        tokens[name] = candidate
    return tokens


def tf_frame(
    prefix: str, object_name: str, instance_id: int = 0, instances: Instances = "auto"
) -> str:
    """Returns the TF frame of an instance of an object.

    Args:
        prefix: put before the name.
        object_name: whose blanks become underscores.
        instance_id: number of the instance.
        instances: "auto" leaves the number 0 out, `<prefix><object>[_<n>]`; "always" never does.
    """
    number = f"_{instance_id}" if instance_id or instances == "always" else ""
    return f"{prefix}{object_name}{number}".replace(" ", "_").lstrip("/")


def check_tf_frames(object_names: Iterable[str], instances: Instances = "auto") -> None:
    """Checks that no instances of two objects ever share a TF frame.

    Raises:
        NameClashError: they could; the message names the objects.
    """
    taken: dict[str, str] = {}
    for name in object_names:
        frame = tf_frame("", name)
        if frame in taken:
            raise NameClashError(
                f"objects {taken[frame]!r} and {name!r} would share the TF frame {frame}: rename "
                "one of them"
            )
        taken[frame] = name
    for frame, name in taken.items():
        stem, _, number = frame.rpartition("_")
        if instances == "auto" and number.isdigit() and stem in taken:
            raise NameClashError(
                f"an instance of object {taken[stem]!r} could get the TF frame of {name!r}: set "
                "tf_instances to always"
            )


def firsts(items: Iterable[T], instance: Callable[[T], tuple[str, int]]) -> list[T]:
    """Returns of each object the instance with the lowest number.

    A PoseStamped does not say whose it is: the topic of an object tells of this one only.

    Args:
        items: of any objects.
        instance: gives an item's object name and instance number.
    """
    result: dict[str, T] = {}
    for item in items:
        name, number = instance(item)
        if name not in result or number < instance(result[name])[1]:
            result[name] = item
    return list(result.values())
