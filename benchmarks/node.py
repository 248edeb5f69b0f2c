#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the pose node costs beyond its network, how late its poses are, and whether frames are lost.

    python benchmarks/node.py [--only cost loss four start] [--minutes 10]

The node has one core to itself; camera, listener and everything else have the others. A rendered
film of Spot in VGA is shown at 30 Hz. Figures are kept in benchmarks/results/node.json, section by
section: what is there is not measured again unless --only names it.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import onnxruntime

from benchmarks.common import ROOT, machine
from benchmarks.node_bundles import film, pictures, with_ballast
from benchmarks.node_run import RATE, Bench, Run
from fpg_pose_ros.bundle import Bundle, read_bundle
from offline_search.training.checkpoint import write_json

SHIPPED: Final = ROOT / "models" / "spot"
LARGE_MACS: Final = 300_000_000
_SCENE_FRAMES: Final = 300
_BARE_RUNS: Final = 300
_LONG_QUEUE: Final = 100
_DIGITS: Final = 3

Figures = dict[str, Any]


def bare_ms(bundle: Bundle, bench: Bench) -> Figures:
    """Medians (ms) of the pose network alone in ONNX Runtime, one thread, on the node's core.

    Once without a pause, and once at the camera's rate, as the node runs it: caches and clocks are
    not the same then.
    """
    network = bundle.objects[0].network
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        bundle.files[network.file], options, providers=["CPUExecutionProvider"]
    )
    x = np.random.default_rng(0).uniform(0, 255, (1, 3, *network.input_size)).astype(np.float32)
    feed = {session.get_inputs()[0].name: x}

    def times(count: int, pause: float) -> Any:
        spent = []
        for _ in range(count):
            time.sleep(pause)
            began = time.perf_counter()
            session.run(None, feed)
            spent.append(1e3 * (time.perf_counter() - began))
        return np.array(spent)

    with bench.on_the_nodes_core():
        times(20, 0.0)
        without = times(_BARE_RUNS, 0.0)
        paced = times(_BARE_RUNS // 3, 1.0 / RATE)
    return {"bare_ms_p50": float(np.median(without)), "bare_paced_ms_p50": float(np.median(paced))}


def cost_figures(bench: Bench, options: argparse.Namespace) -> Figures:
    """Overhead, latency, processor time and memory, with the shipped network and a large one."""
    large = options.work / "large"
    with_ballast(SHIPPED, large, LARGE_MACS)
    found: Figures = {}
    for name, place, parameters in (
        ("", SHIPPED, {}),
        ("_300", large, {}),
        ("_every_frame_located", SHIPPED, {"tracking": False}),
    ):
        print(f"{name.strip('_') or 'shipped'}: {options.seconds:g} s ...", file=sys.stderr)
        bundle = read_bundle(place)
        before = bare_ms(bundle, bench)
        run = bench.run(place, _film(options, round(options.seconds * RATE)), **parameters)
        after = bare_ms(bundle, bench)
        bare = {key: (before[key] + after[key]) / 2 for key in before}
        figures = {
            **_of_run(run),
            **bare,
            "overhead_ratio": run.stages["total"][0] / bare["bare_ms_p50"],
            "overhead_ratio_paced": run.stages["total"][0] / bare["bare_paced_ms_p50"],
            "pose_macs": bundle.objects[0].network.macs,
            "locator_macs": bundle.locator.macs,
        }
        found |= {f"{key}{name}": value for key, value in figures.items()}
    return found


def loss_figures(bench: Bench, options: argparse.Namespace) -> Figures:
    """Frames that did not reach the node. Its queue is long: only transport can lose any."""
    found: Figures = {}
    for reliability in ("best_effort", "reliable"):
        show = _film(options, round(60 * options.minutes * RATE))
        run = bench.run(SHIPPED, show, reliability, image_queue_depth=_LONG_QUEUE)
        found[f"sent_{reliability}"] = run.sent
        found[f"camera_hz_{reliability}"] = run.sent_hz
        found[f"lost_{reliability}"] = run.sent - run.received
        found[f"answered_{reliability}"] = run.answers
    return found


def four_figures(bench: Bench, options: argparse.Namespace) -> Figures:
    """Four of the object in each image."""
    scene = pictures(options.work / "four", 120, four=True)
    show = film(options.work / f"four-{options.seconds:g}", scene, round(options.seconds * RATE))
    run = bench.run(SHIPPED, show, max_instances=4)
    total = run.stages["total"]
    return {
        "four_objects_camera_hz": run.sent_hz,
        "four_objects_hz": run.hz,
        "four_objects_found_mean": float(run.poses.mean()),
        "four_objects_ms_p50": total[0],
        "four_objects_ms_p99": total[1],
        "four_objects_lost": run.sent - run.received,
        "four_objects_cpu_percent": run.cpu_percent,
    }


def start_figures(bench: Bench, options: argparse.Namespace) -> Figures:
    """From the node's start to its first pose in another process."""
    seconds = bench.seconds_to_first_pose(SHIPPED, _scene(options), options.repeats)
    return {"start_seconds": float(np.median(seconds)), "start_seconds_worst": max(seconds)}


SECTIONS: Final[Mapping[str, Callable[[Bench, argparse.Namespace], Figures]]] = {
    "cost": cost_figures,
    "loss": loss_figures,
    "four": four_figures,
    "start": start_figures,
}


def _of_run(run: Run) -> Figures:
    latency = run.latency_ms[len(run.latency_ms) // 10 :]  # the first ones are of discovery
    return {
        "camera_hz": run.sent_hz,
        "node_ms_p50": run.stages["total"][0],
        "node_ms_p99": run.stages["total"][1],
        "latency_ms_p50": float(np.percentile(latency, 50)),
        "latency_ms_p99": float(np.percentile(latency, 99)),
        "cpu_percent": run.cpu_percent,
        "rss_mb": run.rss_mb,
        "answered_share": run.answers / run.sent,
        "with_pose_share": float((run.poses > 0).mean()),
        "stages": {name: {"p50": p50, "p99": p99} for name, (p50, p99) in run.stages.items()},
    }


def _scene(options: argparse.Namespace) -> Path:
    return pictures(options.work / "scene", _SCENE_FRAMES)


def _film(options: argparse.Namespace, count: int) -> Path:
    return film(options.work / f"film-{count}", _scene(options), count)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return round(value, _DIGITS) if isinstance(value, float) else value


def measure(options: argparse.Namespace) -> Figures:
    """Measures the sections that are asked for and keeps them, each as soon as it is done."""
    document: Figures = {"measured": {}}
    if options.results.exists():
        document = json.loads(options.results.read_text())
    missing = [name for name in SECTIONS if name not in document["measured"]]
    facts = {"machine": machine(), "command": shlex.join(["python", *_arguments(options)])}
    bench = Bench(options.work / "logs")
    for name in options.only or missing:
        load = os.getloadavg()[0]
        figures = _rounded(SECTIONS[name](bench, options))
        document |= figures
        document["measured"][name] = {
            **facts,
            "date": datetime.date.today().isoformat(),
            "node": bench.cores.describe(),
            # Of the last minute before: what else the machine did.
            "load_before": round(load, 2),
        }
        options.results.parent.mkdir(parents=True, exist_ok=True)
        write_json(options.results, document)
        print(json.dumps({name: figures}), flush=True)
    return document


def _arguments(options: argparse.Namespace) -> list[str]:
    given = ["benchmarks/node.py", "--minutes", f"{options.minutes:g}"]
    return [*given, "--seconds", f"{options.seconds:g}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--only", nargs="+", choices=SECTIONS, help="measure these, whether or not they are there")
    add("--minutes", type=float, default=10.0, help="of each count of lost frames")
    add("--seconds", type=float, default=40.0, help="of each other run")
    add("--repeats", type=int, default=5, help="starts of the node")
    add("--work", type=Path, default=ROOT / "runs" / "bench-node", help="folder for what is made")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "node.json")
    measure(parser.parse_args(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
