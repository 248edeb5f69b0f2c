# SPDX-License-Identifier: Apache-2.0
"""What the spatial information correction of a heatmap head is worth: a network with and without.

    make bench-ablation
    python benchmarks/ablation.py --networks efficientpose_a@128 --images 16000

The head's depthwise 3x3 and ReLU in front of the last layer (EfficientPose, arXiv 2012.07086) are
kept or left out; all else, the number of steps too, is the same. Each network, variant and seed is
one run as those of benchmarks/search.py: trained from scratch by its recipe, judged on its fresh
renders, one row of --results.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks.common import ROOT
from benchmarks.runs import carry_out, numbers, words
from benchmarks.search import OBJECTS, load_thing, recipe, render, trained
from offline_search.retrain import load_architecture
from offline_search.space.architecture import Architecture

VARIANTS: Final = {"sic": True, "no_sic": False}
KEY: Final = ("object", "network", "variant", "seed", "images_seen")
"""Of a row: two rows that agree in it are of one run."""
IMAGES: Final = 4000


@dataclass(frozen=True)
class Run:
    """One training and its judgement.

    Attributes:
        thing: the object's name.
        network: preset or JSON file of the architecture with the correction.
        variant: see `VARIANTS`.
        seed: of weights and data.
        images: samples the network is trained on.
    """

    thing: str
    network: str
    variant: str
    seed: int
    images: int

    @property
    def name(self) -> str:
        """Of its folder."""
        network = Path(self.network).name.replace("@", "_")
        return f"{self.thing}-{network}-{self.variant}-{self.seed}-{self.images}"

    @property
    def command(self) -> str:
        """What makes this row alone."""
        asked = ["--objects", self.thing, "--networks", self.network, "--variants", self.variant]
        asked += ["--seeds", self.seed]
        asked += [] if self.images == IMAGES else ["--images", self.images]
        return shlex.join(["python", "benchmarks/ablation.py", *map(str, asked)])

    def architecture(self, outputs: int) -> Architecture:
        """What is trained, for an object of that many keypoints."""
        whole = load_architecture(self.network, outputs)
        return replace(whole, head=replace(whole.head, sic=VARIANTS[self.variant]))

    def row(self, work: Path, jobs: int) -> dict[str, Any]:
        """Trains and judges, or goes on, in `work`; `jobs` processes render."""
        thing, config = load_thing(self.thing, work), recipe(self.images, self.seed)
        network = self.architecture(len(thing.model.keypoints))
        render(thing, config, work, jobs)
        return {
            "object": self.thing,
            "network": self.network,
            "variant": self.variant,
            "seed": self.seed,
            **trained(thing, network, config, work / self.name),
            "command": self.command,
        }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    options = _parser().parse_args(arguments)
    runs = [
        Run(thing, network, variant, seed, options.images)
        for thing in options.objects
        for network in options.networks
        for seed in options.seeds
        for variant in options.variants
    ]
    return carry_out(runs, options.work, options.results, options.jobs, KEY)


def _parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    variants = list(VARIANTS)
    add = parser.add_argument
    add("--objects", type=words(OBJECTS), default=["spot"], help="comma-separated")
    add("--networks", type=lambda text: text.split(","), default=["small"], help="comma-separated")
    add("--variants", type=words(variants), default=variants, help=", ".join(variants))
    add("--seeds", type=numbers, default=[0, 1, 2], help="comma-separated")
    add("--images", type=int, default=IMAGES, help="training samples of each network")
    add("--jobs", type=int, default=2, help="trainings side by side, of one thread each")
    add("--work", type=Path, default=ROOT / "runs" / "bench-ablation", help="folder of all runs")
    add("--results", type=Path, default=ROOT / "benchmarks" / "results" / "ablation.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())
