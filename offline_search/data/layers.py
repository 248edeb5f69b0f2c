# SPDX-License-Identifier: Apache-2.0
"""Rendered cut-outs on disk: each is rendered once, by whichever process first needs it.

A layer is a picture of one thing on nothing, with the camera and pose it was taken with. Layer i is
a pure function of what is rendered, the seed and i, and lies in slot i of `slots`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from fpg_pose_ros.errors import DatasetError
from offline_search.data.objects import RenderableObject
from offline_search.data.painting import Layer, Painter
from offline_search.data.renderer import EmbreeRenderer, Renderer
from offline_search.data.slots import Slots
from offline_search.data.tables import shadow_side

#: Change when layers of the same seed come to look different: old caches are then left aside.
VERSION: Final = 3
_LABELS: Final = 9 + 16 + 6 + 4  # K, T_camera_object, A, plane


class LayerStore:
    """`count` layers of one kind of thing; see the module's docstring."""

    chunk = 32
    """How many a process renders at a time."""

    def __init__(
        self,
        path: Path | None,
        thing: RenderableObject | None,
        *,
        seed: int,
        count: int,
        resolution: int,
        samples: int = 2,
        others: Sequence[RenderableObject] = (),
        renderer: Renderer | None = None,
    ) -> None:
        """Opens or makes the files; renders nothing yet.

        Args:
            path: folder for caches, or None for `slots.cache_folder()`.
            thing: the object, or None for things that stand around one (clutter).
            seed: of the layers.
            count: how many layers.
            resolution: side of a layer, px.
            samples: rays along each side of a pixel at edges.
            others: objects that clutter is made of, besides made-up things.
            renderer: Embree's by default.

        Raises:
            DatasetError: a value is out of range, or the folder cannot be written.
        """
        if count < 1 or resolution < 8 or samples < 1:
            raise DatasetError(
                f"layers: count {count} >= 1, resolution {resolution} >= 8 and "
                f"samples {samples} >= 1 are needed"
            )
        self.thing, self.others = thing, tuple(others)
        self.seed, self.count, self.resolution, self.samples = seed, count, resolution, samples
        self._tracer = renderer if isinstance(renderer, EmbreeRenderer) else EmbreeRenderer()
        self._renderer: Renderer = renderer or self._tracer
        described = {
            "version": VERSION,
            "thing": "clutter" if thing is None else f"{thing.model.name}-{thing.digest}",
            "seed": seed,
            "count": count,
            "resolution": resolution,
            "samples": samples,
            "others": [f"{other.model.name}-{other.digest}" for other in self.others],
            "renderer": self._renderer.name,
        }
        side, small = resolution, shadow_side(resolution)
        columns = {
            "rgba": (np.uint8, (side, side, 4)),
            "shadow": (np.uint8, (small, small)),
            "labels": (np.float64, (_LABELS,)),
        }
        self._slots = Slots(path, "layers", described, count, columns)
        self.folder = self._slots.folder

    def __len__(self) -> int:
        """Returns the number of layers."""
        return self.count

    def ready(self) -> int:
        """Returns how many layers have been rendered so far."""
        return self._slots.ready()

    def __getitem__(self, index: int) -> Layer:
        """Returns layer `index`, rendering it if nobody has yet."""
        if not 0 <= index < self.count:
            raise IndexError(f"layer {index} of {self.count}")
        if not self._slots.holds(index):
            layer = self._render(index)
            labels = [layer.K.ravel(), layer.T_camera_object.ravel(), layer.A.ravel(), layer.plane]
            values = {"rgba": layer.rgba, "shadow": layer.shadow, "labels": np.concatenate(labels)}
            self._slots.fill(index, values)
        held = self._slots.read(index)
        row = np.array(held["labels"])
        return Layer(
            rgba=held["rgba"],
            K=row[:9].reshape(3, 3),
            T_camera_object=row[9:25].reshape(4, 4),
            A=row[25:31].reshape(2, 3),
            shadow=held["shadow"],
            plane=row[31:],
        )

    def _render(self, index: int) -> Layer:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, 0x1A)))
        painter = Painter(self._renderer, self._tracer, self.resolution, self.samples)
        if self.thing is None:
            return painter.clutter(rng, self.others)
        return painter.object(rng, self.thing)
