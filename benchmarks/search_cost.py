# SPDX-License-Identifier: Apache-2.0
"""What a weight step of the search costs, against the sampled network alone and a full mixture.

    python benchmarks/search_cost.py

Four ways to take a training step (forward, backward, AdamW; batch of 8, one thread) are timed in
turn on the same random networks of space `small` at 30 million MACs:

    alone     the network by itself, as it is retrained
    gated     the search's step: the same network with slices of the shared weights
    mixture   every candidate of every layer, weighted by a softmax, as in differentiable search
              that mixes all operators
    children  a step of PARSEC and FP-NAS: that many children of one operator a layer as there are
              networks, one after another, their gradients added under importance weights; it is
              timed by the child

Each runs in a process of its own, so that its peak memory is its own. Ratios are of the same round.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.common import ROOT, machine
from offline_search.data.objects import load_object
from offline_search.data.sources import RenderedPoses
from offline_search.search_stages import make_problem
from offline_search.space.architecture import Architecture
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.importance import importance_gradient
from offline_search.strategies.problem import Budget, Problem
from offline_search.strategies.repair import random_preference, repair
from offline_search.strategies.shared_weights import SharedWeights
from offline_search.training.checkpoint import write_atomic
from offline_search.training.config import TrainConfig
from offline_search.training.distributed import ALONE
from offline_search.training.feed import batches
from offline_search.training.state import TrainState, adamw

WAYS = ("alone", "gated", "mixture", "children")
_BUDGET = 30e6


def main() -> int:
    """The command."""
    options = _parser().parse_args()
    if options.way:
        print(json.dumps(measure(options.way, options.networks)))
        return 0
    rounds = [
        {way: _in_process(way, options.networks) for way in WAYS} for _ in range(options.rounds)
    ]
    rows = [_row(way, rounds) for way in WAYS]
    for row in rows:
        time_, peak = f"x{row['time_ratio']:.2f}", f"x{row['peak_ratio']:.2f}"
        print(f"{row['way']:8} {row['step_ms']:7.1f} ms {time_}, {row['peak_mb']:.0f} MB {peak}")
    for row in rows:
        row.update(rounds=options.rounds, networks=options.networks, machine=machine())
        command = f"--rounds {options.rounds} --networks {options.networks}"
        row.update(command=f"python benchmarks/search_cost.py {command}")
    write_atomic(options.results, (json.dumps(rows, indent=1) + "\n").encode())
    return 0


def measure(way: str, networks: int) -> dict[str, float]:
    """Median seconds of a step, and what the process's memory grew by at most, MB."""
    torch.set_num_threads(1)
    problem = _problem()
    dataset = problem.task.training()
    batch = next(iter(batches(dataset, start=0, stop=1, batch=problem.config.batch, workers=0)))
    before = _peak_mb()
    if way == "children":
        return _children(problem, networks, batch, before)
    seconds = []
    shared = SharedWeights(problem, ALONE) if way != "alone" else None
    for number in range(networks):
        step = _step(way, problem, shared, _network(problem, number), batch)
        step()  # the first one allocates
        began = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - began)
    return {"step_s": statistics.median(seconds), "peak_mb": _peak_mb() - before}


def _children(
    problem: Problem, count: int, batch: dict[str, torch.Tensor], before: float
) -> dict[str, float]:
    """See `measure`, of one step of so many children."""
    shared = SharedWeights(problem, ALONE)
    children = [_network(problem, number, most_open=1) for number in range(count)]
    seconds = []
    for _ in range(2):  # the first one allocates
        began = time.perf_counter()
        shared.forget_gradients()
        _, mean = importance_gradient(shared, children, batch, temperature=0.1)
        shared.apply_gradients(torch.tensor(mean), 0.5)
        seconds.append((time.perf_counter() - began) / count)
    return {"step_s": seconds[-1], "peak_mb": _peak_mb() - before}


def _step(
    way: str,
    problem: Problem,
    shared: SharedWeights | None,
    network: Architecture,
    batch: dict[str, torch.Tensor],
) -> Callable[[], object]:
    if shared is None:
        state = TrainState(network, problem.config, torch.device("cpu"))
        optimizer = adamw(state.network, problem.config)

        def alone() -> None:
            outputs = state.network(problem.task.inputs(batch, network, torch.device("cpu")))
            optimizer.zero_grad(set_to_none=True)
            problem.task.loss(network, outputs, batch)[0].backward()
            optimizer.step()

        return alone
    if way == "gated":
        return lambda: shared.step(network, batch, 0.5)
    point = problem.space.point(network)
    opened = tuple(slot.candidates for slot in problem.space.slots)
    everything = problem.space.architecture(type(point)(point.choices, opened), 16)
    logits = [torch.zeros(len(names), requires_grad=True) for names in opened]

    def mixture() -> None:
        shared.optimizer.zero_grad(set_to_none=True)
        # `gated_mean` divides by the sum of gates, which is one here.
        gates = [torch.softmax(values, 0) for values in logits]
        shared.loss(everything, batch, gates)[0].backward()
        shared.optimizer.step()

    return mixture


def _network(problem: Problem, number: int, most_open: int | None = None) -> Architecture:
    drawn = replace(random_preference(problem.space, number, 1.5), most_open=most_open)
    point = repair(problem.space, drawn, problem.budget, problem.task.outputs).point
    return problem.space.architecture(point, problem.task.outputs)


def _problem() -> Problem:
    source = RenderedPoses(load_object(ROOT / "objects" / "spot.yaml"))
    config = TrainConfig(batch=8, layers=64, layer_px=144, workers=0)
    return make_problem(source, load_space("small"), Budget(_BUDGET, MacsMeter()), config)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _in_process(way: str, networks: int) -> dict[str, float]:
    words = [sys.executable, __file__, "--way", way, "--networks", str(networks)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _row(way: str, rounds: list[dict[str, dict[str, float]]]) -> dict[str, Any]:
    times = [one[way]["step_s"] / one["alone"]["step_s"] for one in rounds]
    peaks = [one[way]["peak_mb"] / one["alone"]["peak_mb"] for one in rounds]
    return {
        "way": way,
        "step_ms": round(1e3 * statistics.median(one[way]["step_s"] for one in rounds), 1),
        "time_ratio": round(statistics.median(times), 3),
        "time_ratio_sd": round(statistics.stdev(times), 3) if len(times) > 1 else 0.0,
        "peak_mb": round(statistics.median(one[way]["peak_mb"] for one in rounds), 1),
        "peak_ratio": round(statistics.median(peaks), 3),
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="processes of each way")
    parser.add_argument("--networks", type=int, default=8, help="random networks in each")
    results = ROOT / "benchmarks" / "results" / "search_cost.json"
    parser.add_argument("--results", type=Path, default=results)
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    sys.exit(main())
