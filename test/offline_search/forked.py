# SPDX-License-Identifier: Apache-2.0
"""Processes that tests kill, forked from one that has imported what takes seconds to import."""

from __future__ import annotations

import gc
import multiprocessing
import os
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from fpg_pose_ros.errors import FpgPoseError

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(
    [
        "offline_search.search",
        "offline_search.strategies.fpg",
        "offline_search.strategies.random_search",
        # An optimiser imports it when it is made.
        "torch._dynamo",
    ]
)


def start(function: Callable[..., Any], *arguments: Any, log: Path) -> BaseProcess:
    """Calls a function of an importable module; what it prints and raises goes to `log`."""
    process = _CONTEXT.Process(target=_run, args=(function, arguments, log))
    process.start()
    return process


def _run(function: Callable[..., Any], arguments: tuple[Any, ...], log: Path) -> None:
    # A collection would walk, and so copy, all that was imported before the fork: half a second.
    gc.freeze()
    place = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(place, number)
    try:
        function(*arguments)
    except FpgPoseError as error:
        print(error, file=sys.stderr)
        sys.exit(2)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def command(*arguments: str) -> None:
    """The command line `fpg-pose ARGUMENTS`."""
    from offline_search.cli import app

    app([*arguments])
