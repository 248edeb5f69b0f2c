# SPDX-License-Identifier: Apache-2.0
"""Names of objects as ROS accepts them."""

from __future__ import annotations

import re


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


def tf_frame(prefix: str, object_name: str, instance_id: int = 0) -> str:
    """Returns the TF frame of an object; further instances of it carry their number."""
    number = f"_{instance_id}" if instance_id else ""
    return f"{prefix}{object_name}{number}".replace(" ", "_").lstrip("/")
