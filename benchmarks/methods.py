# SPDX-License-Identifier: Apache-2.0
"""Every strategy on one object and budget: equal compute, data, recipe and judgement.

    make bench-methods
    python benchmarks/methods.py --methods parsec,fp_nas --seeds 0

Each method and seed is one run as those of benchmarks/search.py: a network of at most 30 million
MACs is searched, with the compute of 0.9 trainings of such a network, trained from scratch on
renders of Spot, and judged on fresh ones. Interrupted, the command goes on where it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Final

from benchmarks.common import ROOT
from benchmarks.runs import carry_out, numbers, words
from benchmarks.search import IMAGES, KEY, Run
from benchmarks.searched import SEARCHED

OBJECT: Final = "spot"
BUDGET: Final = 30
"""Million MACs."""


class MethodRun(Run):
    """A run of this comparison."""

    program: ClassVar[str] = "benchmarks/methods.py"

    @property
    def place(self) -> tuple[str, ...]:
        """Nothing: the object and the budget are always the same."""
        return ()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    runs = [
        MethodRun(OBJECT, BUDGET, method, seed, options.images)
        for seed in options.seeds
        for method in options.methods
    ]
    return carry_out(runs, options.work, options.results, options.jobs, KEY)


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    methods = list(SEARCHED)
    add("--methods", type=words(methods), default=methods, help=", ".join(methods))
    add("--seeds", type=numbers, default=[0, 1, 2], help="comma-separated")
    add("--images", type=int, default=IMAGES, help="training samples of each network")
    add("--jobs", type=int, default=2, help="runs side by side, of one thread each")
    add("--work", type=Path, default=ROOT / "runs" / "bench-methods", help="folder of all runs")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "methods.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
