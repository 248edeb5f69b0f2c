# SPDX-License-Identifier: Apache-2.0
"""Rendered cut-outs on disk: each is rendered once, by whichever process first needs it.

A layer is a picture of one thing on nothing, with the camera and pose it was taken with.
Slot i is a pure function of what is rendered, the seed and i; so it does not matter who
renders it, nor whether two do. A slot counts as done only after all of it is written: a
killed process leaves no half a layer behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array
from offline_search.data.objects import RenderableObject
from offline_search.data.painting import Layer, Painter
from offline_search.data.renderer import EmbreeRenderer, Renderer
from offline_search.data.tables import shadow_side

#: Change when layers of the same seed come to look different: old caches are then left aside.
VERSION: Final = 3
_LABELS: Final = 9 + 16 + 6 + 4  # K, T_camera_object, A, plane


def cache_folder() -> Path:
    """Returns where layers are kept: FPG_POSE_CACHE or else ~/.cache/fpg_pose_ros."""
    named = os.environ.get("FPG_POSE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "fpg_pose_ros"


class _Maps(NamedTuple):
    """The files of a store, one row a layer."""

    rgba: NDArray[np.uint8]
    shadow: NDArray[np.uint8]
    labels: Array
    ready: NDArray[np.uint8]


class LayerStore:
    """`count` layers of one kind of thing in memory-mapped files; see the module's docstring."""

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
            path: folder for caches, or None for `cache_folder()`.
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
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = (path or cache_folder()) / "layers" / digest
        self._maps: _Maps | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "layers.json").write_text(json.dumps(described, indent=1) + "\n")
            for name, size in self._sizes().items():
                with open(self.folder / name, "ab") as file:
                    file.truncate(size)  # sparse: takes room only as layers are rendered
        except OSError as error:
            raise DatasetError(
                f"layer cache {self.folder} cannot be written ({error.strerror}); "
                "set FPG_POSE_CACHE to a folder with room"
            ) from None

    def _sizes(self) -> dict[str, int]:
        return {
            "rgba.bin": self.count * self.resolution * self.resolution * 4,
            "shadow.bin": self.count * shadow_side(self.resolution) ** 2,
            "labels.bin": self.count * _LABELS * 8,
            "ready.bin": self.count,
        }

    def __len__(self) -> int:
        """Returns the number of layers."""
        return self.count

    def __getstate__(self) -> dict[str, object]:
        """Maps are opened anew in every process."""
        return {**self.__dict__, "_maps": None}

    def _open(self) -> _Maps:
        if self._maps is None:
            side, small = self.resolution, shadow_side(self.resolution)

            def mapped(name: str, kind: type, *shape: int) -> NDArray[Any]:
                return np.memmap(self.folder / name, kind, "r+", shape=(self.count, *shape))

            self._maps = _Maps(
                rgba=mapped("rgba.bin", np.uint8, side, side, 4),
                shadow=mapped("shadow.bin", np.uint8, small, small),
                labels=mapped("labels.bin", np.float64, _LABELS),
                ready=mapped("ready.bin", np.uint8),
            )
        return self._maps

    def ready(self) -> int:
        """Returns how many layers have been rendered so far."""
        return int(np.count_nonzero(self._open().ready))

    def __getitem__(self, index: int) -> Layer:
        """Returns layer `index`, rendering it if nobody has yet."""
        if not 0 <= index < self.count:
            raise IndexError(f"layer {index} of {self.count}")
        maps = self._open()
        if not maps.ready[index]:
            layer = self._render(index)
            maps.rgba[index], maps.shadow[index] = layer.rgba, layer.shadow
            maps.labels[index] = np.concatenate(
                [layer.K.ravel(), layer.T_camera_object.ravel(), layer.A.ravel(), layer.plane]
            )
            maps.ready[index] = 1
        row = np.array(maps.labels[index])
        return Layer(
            rgba=np.asarray(maps.rgba[index]),
            K=row[:9].reshape(3, 3),
            T_camera_object=row[9:25].reshape(4, 4),
            A=row[25:31].reshape(2, 3),
            shadow=np.asarray(maps.shadow[index]),
            plane=row[31:],
        )

    def _render(self, index: int) -> Layer:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, 0x1A)))
        painter = Painter(self._renderer, self._tracer, self.resolution, self.samples)
        if self.thing is None:
            return painter.clutter(rng, self.others)
        return painter.object(rng, self.thing)
