# SPDX-License-Identifier: Apache-2.0
"""A folder is for one request: what was asked for is noted in it, and another is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fpg_pose_ros.errors import FpgPoseError
from offline_search.training.checkpoint import write_json


def claim(
    place: Path,
    wanted: Mapping[str, Any],
    what: str,
    error: type[FpgPoseError],
    defaults: Mapping[str, Any] | None = None,
) -> None:
    """Notes in the file `place` what its folder is for, or checks that it is for the same.

    Args:
        place: The note; its folder is made where there is none.
        wanted: What is asked for, as plain values.
        what: The word for it: a run, a search.
        error: What is raised.
        defaults: Of what a note may not know yet; what it does not know had their effect.

    Raises:
        FpgPoseError: Of the kind `error`: the folder holds another request, or the note is damaged.
    """
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        write_json(place, wanted)
        return
    try:
        held = {**(defaults or {}), **json.loads(place.read_text())}
    except ValueError as damage:
        raise error(f"{place} is damaged ({damage}); delete the folder") from None
    different = [name for name in wanted if held.get(name) != wanted[name]]
    if different:
        raise error(
            f"{place.parent} belongs to a {what} with another {', '.join(different)}; choose "
            "another --out, or delete the folder to start again"
        )
