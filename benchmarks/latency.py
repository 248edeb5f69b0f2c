#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How well the latency table foretells what whole networks take: ONNX Runtime, one thread.

    python benchmarks/latency.py [--networks N] [--space NAME] [--seed N] [--out FILE]

Networks are drawn at random from a space: their structure, and one to three operators a layer. The
table is measured anew. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime

from benchmarks.common import ROOT, machine
from offline_search.latency import LatencyMeter
from offline_search.latency.validation import Validation, validate
from offline_search.space.architecture import Architecture
from offline_search.space.search_space import Point, SearchSpace, load_space

RESULTS = ROOT / "benchmarks" / "results" / "latency.json"
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


def print_table(meter: LatencyMeter, found: Validation) -> None:
    """Parts, then networks."""
    for name, part in sorted(meter.parts.items()):
        print(f"{name:24} median error {100 * part.error:3.0f} % of {part.graphs} graphs")
    print("  MMACs  predicted ms  measured ms  ratio")
    for row in found.rows:
        print(
            f"{row.macs / 1e6:7.1f}  {row.predicted:12.3f}  {row.measured:11.3f}  {row.ratio:5.2f}"
        )
    print(
        f"rank correlation {found.spearman:.3f} (of MACs: {found.spearman_macs:.3f}), "
        f"median error {100 * found.median_error:.0f} %, median ratio {found.median_ratio:.2f}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table and writes one row of figures."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", type=int, default=20)
    parser.add_argument("--space", default="small")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    space = load_space(options.space)
    rng = np.random.default_rng(options.seed)
    architectures = [random_architecture(space, rng) for _ in range(options.networks)]
    with tempfile.TemporaryDirectory() as folder:
        meter = LatencyMeter(Path(folder))
        start = time.perf_counter()
        meter.prepare(space)
        seconds = time.perf_counter() - start
        found = validate(meter, architectures)
    print_table(meter, found)
    row = {
        "space": space.name,
        "networks": len(found.rows),
        "spearman": round(found.spearman, 4),
        "spearman_macs": round(found.spearman_macs, 4),
        "median_error_percent": round(100 * found.median_error, 1),
        "median_ratio": round(found.median_ratio, 3),
        "table_seconds": round(seconds, 1),
        "runtime": f"onnxruntime {onnxruntime.__version__}, 1 thread",
        "seed": options.seed,
        "machine": machine(),
        "date": date.today().isoformat(),
        "command": shlex.join(["python", "benchmarks/latency.py", *given]),
        "points": [
            {
                "macs": point.macs,
                "predicted_ms": round(point.predicted, 4),
                "measured_ms": round(point.measured, 4),
            }
            for point in found.rows
        ],
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([row], indent=1) + "\n")


if __name__ == "__main__":
    main()
