# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from offline_search.data.layers import LayerStore
from offline_search.rendering import render_layers

ROOT = Path(__file__).parents[2]
COUNT = 70


def store(folder: Path) -> LayerStore:
    return LayerStore(folder, None, seed=1, count=COUNT, resolution=16)


def test_all_layers_are_rendered_and_the_same_as_one_by_one(tmp_path: Path) -> None:
    ahead, one_by_one = store(tmp_path / "ahead"), store(tmp_path / "one")
    render_layers([ahead], jobs=2)
    assert ahead.ready() == COUNT
    assert one_by_one.ready() == 0
    for index in (0, 33, COUNT - 1):
        assert np.array_equal(ahead[index].rgba, one_by_one[index].rgba)


def test_what_is_there_is_not_rendered_again(tmp_path: Path) -> None:
    layers = store(tmp_path)
    for index in range(COUNT):
        layers[index]
    began = time.monotonic()
    render_layers([layers], jobs=1)
    assert time.monotonic() - began < 1.0  # no process was started


def test_workers_know_no_torch() -> None:
    code = "import sys, offline_search.rendering; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_an_interrupt_ends_it_with_all_its_processes_and_keeps_what_is_done(
    tmp_path: Path,
) -> None:
    code = (
        "from pathlib import Path\n"
        "from offline_search.data.layers import LayerStore\n"
        "from offline_search.rendering import render_layers\n"
        "if __name__ == '__main__':\n"
        f"    folder = Path({str(tmp_path)!r})\n"
        "    many = LayerStore(folder, None, seed=1, count=20000, resolution=16)\n"
        "    render_layers([many], jobs=2)\n"
    )
    script = tmp_path / "render.py"
    script.write_text(code)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    many = LayerStore(tmp_path, None, seed=1, count=20000, resolution=16)
    deadline = time.monotonic() + 120
    while many.ready() < 40 and time.monotonic() < deadline:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)  # as Ctrl-C does
    assert process.wait(60) != 0
    assert 40 <= many.ready() < 20000
    done = many.ready()
    time.sleep(0.5)
    assert many.ready() == done
