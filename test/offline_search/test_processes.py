# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from offline_search.processes import ProcessError, ProcessGroup, terminate_as_interrupt

ENV = dict(os.environ)
SLEEP = "import time; print('ready', flush=True); time.sleep(60)"
#: Starts a child of its own, says its number, and ignores SIGINT.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print("child", child.pid, flush=True)
time.sleep(60)
"""


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that has ended but was not waited for yet is still listed.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until_gone(pid: int, seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_a_program_is_ready_when_it_says_so(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start("sleeper", python(SLEEP))
        group.wait_for_line(program, "ready", timeout=20)
        assert program.process.poll() is None
    assert program.process.poll() is not None


def test_a_program_that_fails_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start("failing", python("print('no camera'); raise SystemExit(3)"))
        with pytest.raises(ProcessError, match=r"failing ended with status 3[\s\S]*no camera"):
            group.wait_for_line(program, "ready", timeout=20)


def test_one_that_ends_well_without_being_ready_is_reported_too(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start("quick", python("pass"))
        with pytest.raises(ProcessError, match="quick ended with status 0"):
            group.wait_for_line(program, "ready", timeout=20)


def test_waiting_ends_when_time_is_up(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start("sleeper", python(SLEEP))
        with pytest.raises(ProcessError, match="not within"):
            group.wait_for_line(program, "never", timeout=0.3)


def test_a_missing_program_is_named(tmp_path: Path) -> None:
    with ProcessGroup(tmp_path, ENV) as group, pytest.raises(ProcessError, match="ghost"):
        group.start("ghost", ["/no/such/program"])


def test_all_are_stopped_when_one_step_fails(tmp_path: Path) -> None:
    started = []

    def fail_half_way() -> None:
        with ProcessGroup(tmp_path, ENV) as group:
            started.append(group.start("first", python(SLEEP)))
            started.append(group.start("second", python(SLEEP)))
            group.wait_for_line(started[0], "ready", timeout=20)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_half_way()
    assert all(program.process.poll() is not None for program in started)


def test_what_a_stubborn_program_started_is_stopped_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = ((signal.SIGINT, 0.3), (signal.SIGTERM, 0.3), (signal.SIGKILL, 3.0))
    monkeypatch.setattr("offline_search.processes._STOP_STEPS", steps)
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start("stubborn", python(STUBBORN))
        group.wait_for_line(program, "child", timeout=20)
        child = int(program.log.read_text().split()[1])
        assert alive(child)
    assert wait_until_gone(program.process.pid)
    assert wait_until_gone(child)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux signals orphans")
def test_programs_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        python(
            "import os, sys, time\n"
            "from pathlib import Path\n"
            "from offline_search.processes import ProcessGroup\n"
            f"group = ProcessGroup(Path({str(tmp_path)!r}), dict(os.environ))\n"
            f"program = group.start('sleeper', [sys.executable, '-c', {SLEEP!r}])\n"
            "group.wait_for_line(program, 'ready', timeout=20)\n"
            "print(program.process.pid, flush=True)\n"
            "time.sleep(60)\n"
        ),
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert wait_until_gone(child)


INTERRUPTED_IN_FORK = """
import os, signal, sys
from pathlib import Path
from offline_search.processes import ProcessGroup
# Python drops an exception that is raised in such a callback.
os.register_at_fork(after_in_parent=lambda: signal.raise_signal(signal.SIGINT))
try:
    with ProcessGroup(Path(sys.argv[1]), dict(os.environ)) as group:
        group.start("sleeper", [sys.executable, "-c", sys.argv[2]])
        print("went on")
except KeyboardInterrupt:
    print("interrupted", *[program.process.poll() is None for program in group.programs])
"""


def test_an_interrupt_while_a_program_is_started_stops_it_and_is_not_lost(tmp_path: Path) -> None:
    said = subprocess.run(
        [*python(INTERRUPTED_IN_FORK), str(tmp_path), SLEEP],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert said.stdout.split() == ["interrupted", "False"], said.stderr


def test_termination_unwinds_like_an_interrupt() -> None:
    def be_terminated() -> None:
        with terminate_as_interrupt():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)

    with pytest.raises(KeyboardInterrupt):
        be_terminated()
    assert signal.getsignal(signal.SIGTERM) is not signal.default_int_handler


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_a_program_is_bound_to_the_cores_it_was_given(tmp_path: Path) -> None:
    core = max(os.sched_getaffinity(0))
    with ProcessGroup(tmp_path, ENV) as group:
        program = group.start(
            "bound",
            python("import os, time; print('on', *os.sched_getaffinity(0), flush=True)"),
            cpus={core},
        )
        program.process.wait(20)
    assert program.log.read_text().strip() == f"on {core}"
