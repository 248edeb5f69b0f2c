# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks share: LM-O's objects and what a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from offline_search.data.bop import BopDataset
from offline_search.data.objects import RenderableObject, load_object

ROOT = Path(__file__).resolve().parents[1]

# The views that occur, from the dataset's own description (dataset_info.md: elevation and distance;
# the objects stand upright), with a margin.
VIEWS = {
    "up": [0, 0, 1],
    "elevation_deg": [-14, 89],
    "roll_deg": [-30, 30],
    "distance_m": [0.34, 1.55],
}

# LM-O's objects and their numbers.
LMO_OBJECTS = {
    "ape": 1,
    "can": 5,
    "cat": 6,
    "driller": 8,
    "duck": 9,
    "eggbox": 10,
    "glue": 11,
    "holepuncher": 12,
}


def lmo_folder() -> Path | None:
    """LM-O's folder below the one that FPG_POSE_DATA names; None where it names none."""
    data = os.environ.get("FPG_POSE_DATA")
    return Path(data) / "lmo" if data else None


def lmo_object(dataset: BopDataset, obj_id: int, name: str, folder: Path) -> RenderableObject:
    """An object of the dataset in the views that occur; its file is made where it lacks."""
    file = folder / f"{name}.yaml"
    if file.exists():
        return load_object(file)
    return dataset.create_object(obj_id, folder, name=name, views=VIEWS)


def machine() -> str:
    """The processor and how many cores this process may use."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        model = lines[0].partition(":")[2].strip() if lines else model
    return f"{model}, {cores} cores"
