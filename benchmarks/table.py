# SPDX-License-Identifier: Apache-2.0
"""The table: every network of a small space trained alike, and searches made in it for real.

    make bench-table
    python benchmarks/table.py --jobs 2
    fpg-pose bench strategies --table benchmarks/results/table.jsonl.gz --out runs/strategies

Hours. Each training and each search that ends is a line of rows.jsonl in --work; interrupted, the
command goes on where it was. At its end it measures what the networks' parts take on this machine
and writes the table, see offline_search/tabular/table.py.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from benchmarks import table_training as recipe
from benchmarks.common import ROOT, machine
from benchmarks.runs import locked, words
from fpg_pose_ros.errors import FpgPoseError
from offline_search.latency import LatencyMeter
from offline_search.processes import (
    ONE_THREAD,
    die_with_parent,
    environment,
    terminate_as_interrupt,
)
from offline_search.rendering import render_layers
from offline_search.space.architecture import Architecture
from offline_search.space.cost import cost
from offline_search.space.search_space import load_space
from offline_search.strategies.registry import strategies
from offline_search.tabular.replay import REPLAYED
from offline_search.tabular.table import (
    About,
    Network,
    Search,
    Table,
    TableError,
    Training,
    read_table,
    search,
    training,
    write_table,
)
from offline_search.training.loop import TrainingStopped

ROWS_FILE: Final = "rows.jsonl"
TABLE_FILE: Final = ROOT / "benchmarks" / "results" / "table.jsonl.gz"


@dataclass(frozen=True)
class Rows:
    """The lines of finished trainings and searches; all are of one recipe.

    Attributes:
        path: Of the file.
        recipe: See `table_training.recipe_digest`.
    """

    path: Path
    recipe: str

    def read(self) -> tuple[list[Training], list[Search]]:
        """All of them.

        Raises:
            TableError: Some are of another recipe.
        """
        lines = self.path.read_bytes().split(b"\n")[:-1] if self.path.exists() else []
        found = [json.loads(line) for line in lines if line]
        if any(line.pop("recipe") != self.recipe for line in found):
            raise TableError(
                f"{self.path} is of another recipe; delete it, or choose another --work"
            )
        kinds = [(line.pop("kind"), line) for line in found]
        return (
            [training(line) for kind, line in kinds if kind == "training"],
            [search(line) for kind, line in kinds if kind == "search"],
        )

    def add(self, kind: str, entry: Training | Search) -> None:
        """Appends a line, all of it or, where the machine dies, one that is not read."""
        line = json.dumps({"kind": kind, "recipe": self.recipe, **asdict(entry)})
        with self.path.open("r+b" if self.path.exists() else "w+b") as file:
            # What a kill left half-written has no line end.
            whole = self.path.read_bytes().rfind(b"\n") + 1
            file.truncate(whole)
            file.seek(whole)
            file.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


Job = tuple[str, Callable[..., Any], tuple[Any, ...]]
"""What its line is of, and the call that makes it."""


def jobs_left(
    architectures: Sequence[Architecture],
    names: Sequence[str],
    done: tuple[Sequence[Training], Sequence[Search]],
    searches: Path,
) -> list[Job]:
    """Trainings, seed by seed, then searches; what has a line is left out."""
    trained = {(one.network, one.images, one.seed) for one in done[0]}
    searched = {(one.strategy, one.level, one.seed) for one in done[1]}
    candidates = [one for one in architectures if recipe.BUDGET.holds(cost(one).macs)]
    kinds = [
        (architectures, recipe.IMAGES, recipe.SEEDS),
        (candidates, recipe.SHORT_IMAGES, recipe.SHORT_SEEDS),
    ]
    found: list[Job] = [
        ("training", recipe.train_one, (network, images, seed))
        for networks, images, seeds in kinds
        for seed in seeds
        for network in networks
        if (network.digest, images, seed) not in trained
    ]
    found += [
        ("search", recipe.search_one, (name, level, seed, searches / f"{name}-{level:g}-{seed}"))
        for seed in recipe.SEARCH_SEEDS
        for name in names
        for level in recipe.LEVELS
        if (name, level, seed) not in searched
    ]
    return found


def carry_out(left: Sequence[Job], rows: Rows, processes: int) -> int:
    """Runs jobs in processes of their own; this one alone writes lines.

    Returns:
        How many failed; what they said stands above the bar.

    Raises:
        TableError: A process was killed.
    """
    if not left:
        return 0
    failed = 0
    with (
        environment(**ONE_THREAD),
        tqdm(total=len(left), desc="table", unit="run", smoothing=0.05) as bar,
    ):
        pool = ProcessPoolExecutor(
            processes, multiprocessing.get_context("spawn"), initializer=_start_worker
        )
        try:
            under_way: dict[Future[Any], str] = {
                pool.submit(_work, call, arguments): kind for kind, call, arguments in left
            }
            for future in as_completed(under_way):
                try:
                    rows.add(under_way[future], future.result())
                except FpgPoseError as error:
                    failed += 1
                    bar.write(f"a {under_way[future]} failed: {error}", file=sys.stderr)
                bar.update()
        except BrokenProcessPool as error:
            raise TableError(
                "a process was killed: memory may be full. Lines that were written are whole: run "
                "the same command again to go on, with fewer --jobs"
            ) from error
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    return failed


def _start_worker() -> None:
    die_with_parent()
    nowhere = os.open(os.devnull, os.O_WRONLY)  # their bars; errors reach the parent
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())


def _work(call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        return call(*arguments)
    except TrainingStopped:
        os._exit(1)  # the pool hands out one job more than it has processes: it is not to begin


def pack(
    architectures: Sequence[Architecture],
    done: tuple[Sequence[Training], Sequence[Search]],
    path: Path,
) -> Table:
    """Prices the networks, writes the table, and reads it again.

    Raises:
        TableError: The table is not whole.
    """
    space = load_space(recipe.SPACE)
    meter = LatencyMeter()
    meter.prepare(space)
    networks = []
    for architecture in architectures:
        price, point = cost(architecture), space.point(architecture)
        networks.append(
            Network(
                digest=architecture.digest,
                choices=point.choices,
                opened=point.opened,
                macs=price.macs,
                params=price.params,
                latency_ms=round(meter.total(architecture), 4),
            )
        )
    about = About(
        object=recipe.OBJECT,
        outputs=architectures[0].head.outputs,
        space=recipe.SPACE,
        budget_macs=recipe.BUDGET_MACS,
        images=recipe.IMAGES,
        short_images=recipe.SHORT_IMAGES,
        recipe=recipe.recipe_digest(),
        machine=machine(),
        latency_machine=machine(),
    )
    trainings = sorted(done[0], key=lambda one: (one.images, one.seed, one.network))
    searches = sorted(done[1], key=lambda one: (one.strategy, one.level, one.seed))
    write_table(path, Table(about, tuple(networks), tuple(trainings), tuple(searches)))
    return read_table(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    rows = Rows(options.work / ROWS_FILE, recipe.recipe_digest())
    architectures = recipe.architectures()
    try:
        with terminate_as_interrupt(), locked(options.work / "lock", wait=False):
            names = [] if options.no_searches else options.strategies
            left = jobs_left(architectures, names, rows.read(), options.work / "searches")
            render_layers(recipe.layer_stores() if left else [], jobs=options.jobs)
            failed = carry_out(left, rows, options.jobs)
            table = pack(architectures, rows.read(), options.results)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except BlockingIOError:
        print(f"error: another instance is at work in {options.work}", file=sys.stderr)
        return 2
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(
        f"{options.results}: {len(table.networks)} networks, {len(table.trainings)} trainings, "
        f"{len(table.searches)} searches; now run fpg-pose bench strategies"
    )
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    """The options."""
    known = [one.name for one in strategies() if one.name != REPLAYED and one.kind == "layers"]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--jobs", type=int, default=1, help="processes side by side, of one thread each")
    add("--strategies", type=words(known), default=known, help="that search, comma-separated")
    add("--no-searches", action="store_true", help="trainings alone")
    add("--work", type=Path, default=ROOT / "runs" / "table", help="folder of finished rows")
    add("--results", type=Path, default=TABLE_FILE, help="the table")
    return parser


if __name__ == "__main__":
    sys.exit(main())
