# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of many trainings: each is a run in a process and folder of its own, and makes a row.

Interrupted, a benchmark goes on where it was; runs that are finished, or that another instance of
it is at, are skipped.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import multiprocessing
import multiprocessing.connection
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from fpg_pose_ros.errors import FpgPoseError
from offline_search.processes import (
    ONE_THREAD,
    die_with_parent,
    environment,
    terminate_as_interrupt,
)
from offline_search.training.checkpoint import write_atomic

_TAKEN: Final = 3
"""Exit status of a run that another instance of the command is at."""


class Run(Protocol):
    """One training and its judgement."""

    @property
    def name(self) -> str:
        """Of its folder."""
        ...

    def row(self, work: Path, jobs: int) -> dict[str, Any]:
        """Does it in the folder `name` of `work`, or goes on; `jobs` processes may render."""
        ...


R = TypeVar("R", bound=Run)


def carry_out(runs: Sequence[Run], work: Path, results: Path, jobs: int, key: Sequence[str]) -> int:
    """A command's `run_all`; returns its exit status."""
    try:
        with terminate_as_interrupt():
            failed = run_all(runs, work, results, jobs, key)
    except KeyboardInterrupt:
        print("stopped; run the same command again to go on", file=sys.stderr)
        return 130
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"rows are in {results}; now run python benchmarks/report.py")
    return 1 if failed else 0


def run_all(runs: Sequence[R], work: Path, results: Path, jobs: int, key: Sequence[str]) -> list[R]:
    """Runs, up to `jobs` at a time, what has no row yet; rows are collected as they come.

    Args:
        runs: All of them.
        work: Folder of their folders.
        results: File of the rows.
        jobs: Most processes at a time.
        key: Names of what tells rows apart.

    Returns:
        The runs that failed; what they wrote is in the log of their folder.
    """
    context = multiprocessing.get_context("spawn")
    waiting = [run for run in runs if not _row_file(work, run).exists()]
    print(f"{len(runs) - len(waiting)} of {len(runs)} runs are finished", flush=True)
    running: dict[SpawnProcess, R] = {}
    failed: list[R] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.pop(0)
                process = context.Process(target=_process, args=(run, work, jobs))
                with environment(**ONE_THREAD):
                    process.start()
                running[process] = run
                _say(f"{run.name}: started")
            process = _first_ended(running)
            run = running.pop(process)
            if process.exitcode == 0:
                collect(work, results, key)
                row = json.loads(_row_file(work, run).read_text())
                _say(f"{run.name}: add_auc {row['add_auc']}, {row['train_minutes']} min")
            elif process.exitcode == _TAKEN:
                _say(f"{run.name}: another instance is at it")
            else:
                failed.append(run)
                _say(f"{run.name}: failed, see {work / run.name / 'log'}")
    finally:
        for process in running:
            process.terminate()  # a training finishes its step, saves and ends
        for process in running:
            process.join()
    return failed


def collect(work: Path, results: Path, key: Sequence[str]) -> None:
    """Writes all rows in `work` to the results, in the place of those of the same runs."""
    with locked(work / "results.lock"):
        held = json.loads(results.read_text(encoding="utf-8")) if results.exists() else []
        made = [json.loads(file.read_text()) for file in sorted(work.glob("*/row.json"))]
        rows = {tuple(row[name] for name in key): row for row in [*held, *made]}
        results.parent.mkdir(parents=True, exist_ok=True)
        ordered = [rows[values] for values in sorted(rows)]
        write_atomic(results, (json.dumps(ordered, indent=1) + "\n").encode())


def _process(run: Run, work: Path, jobs: int) -> None:
    """One run in a process of its own; its words go to its folder's log."""
    die_with_parent()
    folder = work / run.name
    folder.mkdir(parents=True, exist_ok=True)
    log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    try:
        with locked(folder / "lock", wait=False):
            place = _row_file(work, run)
            if not place.exists():
                row = run.row(work, jobs)
                write_atomic(place, (json.dumps(row, indent=1) + "\n").encode())
    except BlockingIOError:
        raise SystemExit(_TAKEN) from None
    except FpgPoseError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from None


def _first_ended(running: dict[SpawnProcess, R]) -> SpawnProcess:
    sentinels = {process.sentinel: process for process in running}
    ended = sentinels[multiprocessing.connection.wait(list(sentinels))[0]]
    ended.join()
    return ended


@contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Keeps other processes out; without `wait`, BlockingIOError where one is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def _row_file(work: Path, run: Run) -> Path:
    return work / run.name / "row.json"


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def words(known: Sequence[str]) -> Any:
    """An option's type: words between commas, all of them known."""

    def read(text: str) -> list[str]:
        given = text.split(",")
        if unknown := [word for word in given if word not in known]:
            raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(known)}")
        return given

    return read


def numbers(text: str) -> list[int]:
    """An option's type: whole numbers between commas."""
    return [int(word) for word in text.split(",")]
