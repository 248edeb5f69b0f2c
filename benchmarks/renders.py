# SPDX-License-Identifier: Apache-2.0
"""Pictures a second: renders of one object by each renderer, and samples composed of them.

    nice taskset -c 0 python benchmarks/renders.py [--renderer moderngl] [--object spot]

CPU seconds of this process count, so other work on the machine matters little. What a GPU takes
does not show in them: of layers there are also the figures by the clock on the wall, once with the
shadow on the ground, which Embree traces whatever renders, and once of the picture alone. `driver`
says what drew: llvmpipe is a CPU.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import cv2
import numpy as np

from fpg_pose_ros.geometry import Array
from offline_search.data.datasets import LocatorDataset, PoseDataset, as_ramp
from offline_search.data.layers import LayerStore
from offline_search.data.moderngl_renderer import ModernglRenderer
from offline_search.data.objects import load_object
from offline_search.data.renderer import Renderer
from offline_search.data.renderers import RendererName, make_renderer
from offline_search.data.scene import Render, Scene

_LAYER_PX = 144
_ROUNDS = 3


class Timed:
    """A renderer with a stopwatch: seconds on the wall, all its pictures together."""

    def __init__(self, renderer: Renderer) -> None:
        """Starts at nought."""
        self.renderer, self.name, self.seconds = renderer, renderer.name, 0.0

    def render(
        self, scene: Scene, K: Array, A: Array, shape: tuple[int, int], samples: int = 2
    ) -> Render:
        """See `Renderer.render`."""
        start = time.perf_counter()
        picture = self.renderer.render(scene, K, A, shape, samples)
        self.seconds += time.perf_counter() - start
        return picture


def seconds(make: Callable[[int], object], count: int) -> float:
    """Returns the CPU seconds that one of `count` calls takes, after one to warm up."""
    make(0)
    start = time.process_time()
    for index in range(count):
        make(index)
    return (time.process_time() - start) / count


def layer_rates(store: LayerStore, timed: Timed, layers: int) -> dict[str, float]:
    """Returns layers a second of CPU, and layers and pictures a second on the wall."""
    store[layers]  # warms up
    timed.seconds, wall, cpu = 0.0, time.perf_counter(), time.process_time()
    for index in range(layers):
        store[index]
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "layers_per_s": layers / cpu,
        "layers_per_s_wall": layers / wall,
        "pictures_per_s_wall": layers / timed.seconds,
    }


def measured(name: str, renderer: str, layers: int, samples: int) -> dict[str, float]:
    """Returns layers a second and milliseconds a sample."""
    timed = Timed(make_renderer(renderer))  # type: ignore[arg-type]
    thing = load_object(name)
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        # a new slot each time: what is on disk is not rendered again
        store = LayerStore(
            cache,
            thing,
            seed=1,
            count=layers + 1,
            resolution=_LAYER_PX,
            renderer=timed,
        )
        figures = layer_rates(store, timed, layers)
        if renderer != "embree":
            return figures
        crops = PoseDataset(thing, seed=1, layers=64, length=10_000, cache=cache)
        frames = LocatorDataset([thing], seed=1, layers=64, length=10_000, cache=cache)
        for index in range(64):
            crops[index], frames[index]
        for index in range(len(crops.clutter)):
            crops.clutter[index]
        for difficulty in (0.0, 0.25, 1.0):
            crops.difficulty = frames.difficulty = as_ramp(difficulty)
            for kind, data in (("crop", crops), ("frame", frames)):
                rounds = [seconds(data.__getitem__, samples) for _ in range(_ROUNDS)]
                figures[f"{kind}_{difficulty:g}_ms"] = 1e3 * float(np.min(rounds))
    return figures


def main() -> None:
    """Prints one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--object", default="spot")
    parser.add_argument("--renderer", default="embree", choices=get_args(RendererName))
    parser.add_argument("--layers", type=int, default=120)
    parser.add_argument("--samples", type=int, default=200)
    asked = parser.parse_args()
    figures = measured(asked.object, asked.renderer, asked.layers, asked.samples)
    described = {"renderer": asked.renderer}
    if asked.renderer == ModernglRenderer.name:
        described["driver"] = ModernglRenderer().driver
    print(json.dumps({**described, **{k: round(v, 2) for k, v in figures.items()}}))


if __name__ == "__main__":
    main()
