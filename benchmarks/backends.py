#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How long networks take in each backend and precision, one thread, one image at a time.

    taskset -c 0 python benchmarks/backends.py [--rounds N] [--out FILE]

The networks of models/spot, and a larger one with random weights. All take turns, round by round;
the lower quartile of all runs counts. Times are the processor's: with one thread every backend
computes in the calling one, and what other processes take is left out. The integers' ranges are
those of noise here: times do not depend on them (`fpg-pose quantise` takes renders).
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import shlex
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import safetensors.torch

from benchmarks.common import ROOT, machine
from fpg_pose_ros.backends import Tensor, open_backends
from fpg_pose_ros.backends.stopwatch import milliseconds
from fpg_pose_ros.bundle import WEIGHTS, Bundle, NetworkSpec, read_bundle
from offline_search.int8 import to_int8
from offline_search.latency.graphs import network_graph
from offline_search.space import Architecture, Head, Stage, cost
from offline_search.space.network import build
from offline_search.training.checkpoint import with_prefix

RESULTS = ROOT / "benchmarks" / "results" / "backends.json"
WAYS = (
    ("onnxruntime", "float32"),
    ("onnxruntime", "int8"),
    ("openvino", "float32"),
    ("openvino", "int8"),
    ("torch", "float32"),
)
LARGE = Architecture(
    (128, 128),
    32,
    32,
    (
        Stage(64, 2, (("mb_k3_e3",), ("sep_k3",))),
        Stage(128, 2, (("mb_k5_e3",), ("mb_k3_e3",))),
        Stage(320, 2, (("mb_k5_e3",),) * 4),
    ),
    Head("heatmap", (112, 80), 16, mask=True),
)


def all_networks() -> dict[str, tuple[Bundle, NetworkSpec]]:
    """The networks of the shipped bundle and the larger one, each with a bundle that holds it."""
    spot = read_bundle(ROOT / "models" / "spot")
    item = spot.objects[0]
    # The same random weights as `network_graph` takes.
    network, price = build(LARGE, seed=0), cost(LARGE)
    spec = replace(item.network, macs=price.macs, params=price.params, input_size=LARGE.input_size)
    described = {**spot.manifest["architecture"], "pose": {item.model.name: LARGE.to_json()}}
    weights = safetensors.torch.load(spot.files[WEIGHTS])
    weights = {name: tensor for name, tensor in weights.items() if name.startswith("locator.")}
    weights |= with_prefix(f"pose.{item.model.name}", network.state_dict())
    large = replace(
        spot,
        objects=(replace(item, network=spec),),
        manifest={**spot.manifest, "architecture": described},
        files={
            **spot.files,
            spec.file: network_graph(LARGE),
            WEIGHTS: safetensors.torch.save(weights),
        },
    )
    return {
        "spot, locator": (spot, spot.locator),
        "spot, pose": (spot, item.network),
        "larger, pose": (large, spec),
    }


def noise(spec: NetworkSpec, count: int) -> list[Tensor]:
    """Inputs of a network."""
    rng = np.random.default_rng(0)
    shape = (1, 3, *spec.input_size)
    return [rng.uniform(0, 255, shape).astype(np.float32) for _ in range(count)]


def quantised(bundle: Bundle, spec: NetworkSpec) -> Bundle:
    """The bundle with that network in integers."""
    return replace(
        bundle,
        files={**bundle.files, spec.file: to_int8(bundle.files[spec.file], noise(spec, 1))},
    )


def measure(
    networks: Mapping[str, tuple[Bundle, NetworkSpec]], rounds: int
) -> list[dict[str, Any]]:
    """A row for each network in each backend and precision."""
    rows, ready = [], []
    for name, (bundle, spec) in networks.items():
        bundles = {"float32": bundle, "int8": quantised(bundle, spec)}
        for backend, precision in WAYS:
            opened = open_backends(bundles[precision], backend)[spec.file]
            ready.append((opened, noise(spec, 1)))
            rows.append(
                {
                    "network": name,
                    "macs": spec.macs,
                    "backend": backend,
                    "precision": precision,
                    "version": importlib.metadata.version(backend),
                }
            )
    times = milliseconds(ready, rounds=rounds, clock=time.process_time)
    return [{**row, "ms": round(ms, 4)} for row, ms in zip(rows, times, strict=True)]


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints a table and writes the rows."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args(given)
    before = os.getloadavg()[0]
    rows = measure(all_networks(), options.rounds)
    shared = {
        "threads": 1,
        "rounds": options.rounds,
        "load": f"{before:.1f} to {os.getloadavg()[0]:.1f}",
        "machine": machine(),
        "date": date.today().isoformat(),
        "command": shlex.join(["taskset", "-c", "0", "python", "benchmarks/backends.py", *given]),
    }
    for row in rows:
        print(
            f"{row['network']:16}{row['macs'] / 1e6:8.1f} MMACs  {row['backend']:12}"
            f"{row['precision']:8}{row['ms']:8.3f} ms"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps([{**row, **shared} for row in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
