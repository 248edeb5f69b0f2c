# SPDX-License-Identifier: Apache-2.0
"""Start programs together, wait until they say they are ready, and leave none behind.

Each program gets a session of its own (so its children are signalled with it), a
log file, and on Linux the kernel's promise to be interrupted when this process
dies, however it dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

from fpg_pose_ros.errors import FpgPoseError
from offline_search.interrupt import signals_held

_PR_SET_PDEATHSIG = 1
#: How long a program may take to end after each signal, gentlest first.
_STOP_STEPS = ((signal.SIGINT, 10.0), (signal.SIGTERM, 3.0), (signal.SIGKILL, 3.0))


#: For processes that fill the cores by their number: more threads would get in each other's way.
ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


class ProcessError(FpgPoseError):
    """A program did not start, did not become ready, or ended on its own."""


@dataclass(frozen=True)
class Program:
    """A started program and where its output goes."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self, lines: int = 12) -> str:
        """The last lines the program wrote."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


class ProcessGroup:
    """Programs that live and die together. Use as a context manager: leaving it stops them all."""

    def __init__(self, log_folder: Path, env: Mapping[str, str]) -> None:
        """Starts nothing yet; logs go to `log_folder`, and `env` is the programs' environment."""
        self.log_folder = log_folder
        self.env = dict(env)
        self.programs: list[Program] = []
        log_folder.mkdir(parents=True, exist_ok=True)

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        cpus: Set[int] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Program:
        """Start ``command``, on the given CPU cores only when ``cpus`` is set."""
        log = self.log_folder / f"{name}.log"
        with log.open("wb") as out, signals_held():
            try:
                process = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env={**self.env, **(env or {})},
                    start_new_session=True,
                    preexec_fn=_child_setup(cpus),
                )
            except OSError as error:
                raise ProcessError(f"cannot start {name} ({command[0]}): {error}") from error
            program = Program(name, process, log)
            self.programs.append(program)
        return program

    def check(self) -> None:
        """Raise ProcessError, with its last words, if a program has ended with an error."""
        for program in self.programs:
            if program.process.poll() not in (None, 0):
                raise ProcessError(_last_words(program))

    def wait_for(
        self,
        what: str,
        ready: Callable[[], bool],
        *,
        timeout: float,
        tick: Callable[[], None] = lambda: None,
    ) -> None:
        """Poll ``ready`` until it holds; fail when time is up or a program ends with an error."""
        deadline = time.monotonic() + timeout
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                logs = "\n".join(f"--- {p.name}\n{p.tail()}" for p in self.programs)
                raise ProcessError(f"{what}: not within {timeout:.0f} s\n{logs}")
            tick()
            time.sleep(0.1)

    def wait_for_line(self, program: Program, text: str, *, timeout: float) -> None:
        """Wait until ``program`` has written ``text``."""

        def ready() -> bool:
            if text in program.log.read_text(errors="replace"):
                return True
            if program.process.poll() is not None:
                raise ProcessError(_last_words(program))
            return False

        self.wait_for(f"{program.name} did not report {text!r}", ready, timeout=timeout)

    def stop(self, name: str | None = None) -> None:
        """Stop one program, or all of them, last started first. Safe to call again."""
        for program in reversed(self.programs):
            if name is None or program.name == name:
                _stop(program)

    def __enter__(self) -> ProcessGroup:
        """Returns the group."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops everything, whatever happened."""
        self.stop()


@contextlib.contextmanager
def environment(**values: str) -> Iterator[None]:
    """Sets environment variables for processes started meanwhile."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def terminate_as_interrupt() -> Iterator[None]:
    """Let SIGTERM unwind the stack as Ctrl-C does, so that clean-up code runs."""
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def die_with_parent(number: signal.Signals = signal.SIGTERM) -> None:
    """Asks the kernel to send this process a signal when its parent dies. Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def _child_setup(cpus: Set[int] | None) -> Callable[[], None]:
    def setup() -> None:
        die_with_parent(signal.SIGINT)
        if cpus and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, cpus)

    return setup


def _stop(program: Program) -> None:
    for step, seconds in _STOP_STEPS:
        if not _alive(program):
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.process.pid, step)
        deadline = time.monotonic() + seconds
        while _alive(program) and time.monotonic() < deadline:
            time.sleep(0.02)


def _alive(program: Program) -> bool:
    """Whether the program, or anything it started, still runs."""
    if program.process.poll() is None:
        return True
    try:
        os.killpg(program.process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _last_words(program: Program) -> str:
    code = program.process.poll()
    return f"{program.name} ended with status {code}; its log {program.log} ends:\n{program.tail()}"
