#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How well the latency table foretells what whole networks take: ONNX Runtime, one thread.

    python benchmarks/latency.py [--networks N] [--space NAME] [--seed N] [--out FILE]

Networks are drawn at random from a space: structure, and one to three operators a layer. Measure on
an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime

from benchmarks.common import machine
from offline_search.latency import LatencyMeter
from offline_search.latency.validation import validate
from offline_search.space.architecture import Architecture
from offline_search.space.search_space import Point, SearchSpace, load_space

ROOT = Path(__file__).resolve().parents[1]
KEYPOINTS = 16
OPEN = (1, 2, 3)
OPEN_PROBABILITIES = (0.6, 0.25, 0.15)


def random_architecture(space: SearchSpace, rng: np.random.Generator) -> Architecture:
    """One of the space's."""
    choices = tuple(int(rng.integers(len(gene.choices))) for gene in space.genes)
    opened = []
    for slot in space.slots:
        count = min(int(rng.choice(OPEN, p=OPEN_PROBABILITIES)), len(slot.candidates))
        kept = sorted(rng.choice(len(slot.candidates), count, replace=False))
        opened.append(tuple(slot.candidates[index] for index in kept))
    return space.architecture(Point(choices, tuple(opened)), KEYPOINTS)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--space", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--out", type=Path, default=ROOT / "benchmarks" / "results" / "latency.json"
    )
    options = parser.parse_args(arguments)
    space = load_space(options.space)
    rng = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as folder:  # measured anew, to say what that takes
        meter = LatencyMeter(Path(folder))
        start = time.perf_counter()
        meter.prepare(space)
        seconds = time.perf_counter() - start
        found = validate(meter, [random_architecture(space, rng) for _ in range(options.networks)])
    print(f"{len(meter.parts)} parts measured in {seconds:.0f} s")
    for name, part in sorted(meter.parts.items()):
        print(f"  {name:24} median error {100 * part.error:3.0f} % of {part.graphs} graphs")
    print(found.table())
    rows = [
        {
            "space": space.name,
            "macs": row.macs,
            "predicted_ms": round(row.predicted, 4),
            "measured_ms": round(row.measured, 4),
            "layers_with_several": sum(
                len(names) > 1 for stage in row.architecture.stages for names in stage.layers
            ),
            "architecture": row.architecture.digest,
        }
        for row in found.rows
    ]
    document = {
        "spearman": round(found.spearman, 4),
        "spearman_macs": round(found.spearman_macs, 4),
        "median_error": round(found.median_error, 4),
        "median_ratio": round(found.median_ratio, 4),
        "table_seconds": round(seconds, 1),
        "runtime": f"onnxruntime {onnxruntime.__version__}, 1 thread",
        "machine": machine(),
        "date": date.today().isoformat(),
        "seed": options.seed,
        "command": "python benchmarks/latency.py " + " ".join(arguments or sys.argv[1:]),
        "networks": rows,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
