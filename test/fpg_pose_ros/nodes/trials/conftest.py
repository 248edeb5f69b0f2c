# SPDX-License-Identifier: Apache-2.0
"""Trials: minutes of hardship for the real nodes. `make trials` runs them, the test suite does not.

Each one hands in what it counted; the counts are printed at the end, as a table and as one line of
JSON, whether or not the trial was passed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# For the modules beside this file.
sys.path.insert(0, str(Path(__file__).parent))

Count = Callable[..., None]

_COUNTS = pytest.StashKey[dict[str, dict[str, float]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("trials")
    group.addoption("--soak-minutes", type=float, default=10.0, help="length of the soak")
    group.addoption("--share", type=float, default=1.0, help="of messages and bundles; quick tries")
    group.addoption("--trial-seed", type=int, default=0, help="of everything drawn by chance")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_COUNTS] = {}


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Gives the soak the time that it was asked to take."""
    for item in items:
        if item.name == "test_soak":
            seconds = 60 * config.getoption("--soak-minutes") + 180
            item.add_marker(pytest.mark.timeout(seconds))


@pytest.fixture
def share(request: pytest.FixtureRequest) -> float:
    """Of the messages and bundles of a whole trial, those that this run is to take."""
    return request.config.getoption("--share")


@pytest.fixture
def trial_seed(request: pytest.FixtureRequest) -> int:
    """Seed of everything a trial draws by chance."""
    return request.config.getoption("--trial-seed")


@pytest.fixture
def count(request: pytest.FixtureRequest) -> Iterator[Count]:
    """A function that takes what a trial counted, by name; later values replace earlier ones."""
    name = request.node.name.removeprefix("test_")
    counts = request.config.stash[_COUNTS].setdefault(name, {})
    began = time.monotonic()
    yield lambda **numbers: counts.update(numbers)
    counts["seconds"] = round(time.monotonic() - began, 1)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed:
        _failed.add(report.nodeid.split("::")[-1].removeprefix("test_"))


_failed: set[str] = set()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints the counts."""
    all_counts = terminalreporter.config.stash[_COUNTS]
    if not all_counts:
        return
    terminalreporter.section("trials")
    for name, counts in all_counts.items():
        terminalreporter.line(f"{'FAILED' if name in _failed else 'passed'}  {name}")
        for what, number in counts.items():
            terminalreporter.line(f"    {what.replace('_', ' '):<48} {number:>12}")
    results = {
        name: {"passed": name not in _failed, **counts} for name, counts in all_counts.items()
    }
    terminalreporter.line(json.dumps(results))


@pytest.fixture(scope="session")
def long_film(marks_folder: Path) -> Callable[[Path, int], Path]:
    """A function (folder, count) that makes a folder of that many pictures of the marks in motion.

    A source that ends by itself is the only one whose frames can be counted exactly.
    """

    def make(folder: Path, count: int) -> Path:
        folder.mkdir()
        (folder / "camera.json").symlink_to(marks_folder / "camera.json")
        pictures = sorted(marks_folder.glob("*.png"))
        for number in range(count):
            (folder / f"{number:06d}.png").symlink_to(pictures[number % len(pictures)])
        return folder

    return make
