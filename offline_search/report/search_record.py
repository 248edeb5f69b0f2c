# SPDX-License-Identifier: Apache-2.0
"""What a search left in its folder, read back for its report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import FpgPoseError
from offline_search.space.architecture import Architecture

Columns = Mapping[str, Sequence[float]]

OUTCOME_FILE: Final = "search.json"
EXAMPLES_FILE: Final = "examples.json"
EXAMPLES_FOLDER: Final = "examples"
_MOST_POINTS: Final = 400
"""Of a curve: more would make the page large and show nothing more."""


class SearchRecordError(FpgPoseError):
    """A folder that holds no finished search, or a damaged one."""


@dataclass(frozen=True, eq=False)
class Example:
    """A picture (H, W, 3) RGB with its heading and caption."""

    image: NDArray[np.uint8]
    heading: str
    caption: str


@dataclass(frozen=True, eq=False)
class SearchRecord:
    """All that a report of a search is made of.

    Attributes:
        outcome: search.json.
        architecture: That was found.
        request: What was asked for; empty if unknown.
        trace: Columns of the search's course; none if it has no such course.
        gates: search/gates.json, if the strategy has gates.
        retraining: retrain/result.json, if the network was retrained.
        course: Columns of the retraining's course by kind of row.
        examples: Pictures of poses.
    """

    outcome: Mapping[str, Any]
    architecture: Architecture
    request: Mapping[str, Any]
    trace: Columns
    gates: Mapping[str, Any] | None
    retraining: Mapping[str, Any] | None
    course: Mapping[str, Columns]
    examples: Sequence[Example]

    @property
    def judged_by(self) -> str:
        """What candidates compare by, and what a search estimates: `loss` or `pose error`."""
        return str(self.outcome.get("judged_by", "loss"))


def read_search(out: Path) -> SearchRecord:
    """Reads the folder of a finished search.

    Raises:
        SearchRecordError: search.json is missing, or a file is damaged.
        ArchitectureError: The architecture in it cannot be built.
    """
    outcome = _json(out / OUTCOME_FILE)
    if outcome is None:
        raise SearchRecordError(
            f"{out} holds no finished search; run `fpg-pose search --out {out}` to its end"
        )
    metrics = out / "retrain" / "metrics.jsonl"
    return SearchRecord(
        outcome=outcome,
        architecture=Architecture.from_json(outcome.get("architecture", {})),
        request=_json(out / "request.json") or {},
        trace=_columns(out / "search" / "metrics.jsonl", "search"),
        gates=_json(out / "search" / "gates.json"),
        retraining=_json(out / "retrain" / "result.json"),
        course={kind: _columns(metrics, kind) for kind in ("train", "validation")},
        examples=_examples(out),
    )


def _json(path: Path) -> Any:
    """The document, or None where there is none."""
    if not path.exists():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SearchRecordError(
            f"{path} cannot be read ({error}); delete it and run the search again"
        ) from error


def _columns(path: Path, kind: str) -> Columns:
    """Rows of one kind as columns, NaN where a row lacks a value; thinned, the last one kept."""
    if not path.exists():
        return {}
    # A kill can leave a last line half-written; it has no line end.
    rows = [json.loads(line) for line in path.read_text("utf-8").split("\n")[:-1]]
    rows = [row for row in rows if row.get("kind") == kind]
    step = max(1, -(-len(rows) // _MOST_POINTS))
    kept = rows[::-step][::-1]
    names = dict.fromkeys(name for row in kept for name in row if name != "kind")
    return {name: [_number(row.get(name)) for row in kept] for name in names}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _examples(out: Path) -> list[Example]:
    found = []
    for row in _json(out / EXAMPLES_FILE) or []:
        image = cv2.imread(str(out / row["file"]))
        if image is not None:
            rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), dtype=np.uint8)
            found.append(Example(rgb, row.get("heading", ""), row["caption"]))
    return found
