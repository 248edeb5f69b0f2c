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
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, CropBox, transform
from offline_search.data.clutter import random_thing
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer, Renderer
from offline_search.data.scene import Instance, Scene
from offline_search.data.views import (
    canonical_pose,
    random_camera,
    random_direction,
    random_lights,
    random_material,
    random_pose,
)

#: Change when layers of the same seed come to look different: old caches are then left aside.
VERSION: Final = 2
#: The layer's side in sides of the object's box in it.
_AIR: Final = 1.06
_LABELS: Final = 9 + 16 + 6  # K, T_camera_object, A


@dataclass(frozen=True, eq=False)
class Layer:
    """A picture of one thing on nothing.

    Attributes:
        rgba: (R, R, 4) uint8, colours premultiplied by alpha.
        K: (3, 3) intrinsics of the 640x480 image it belongs to.
        T_camera_object: (4, 4) pose of the thing, m.
        A: (2, 3) with layer_px = A @ [image_px, 1].
    """

    rgba: NDArray[np.uint8]
    K: Array
    T_camera_object: Array
    A: Array


def cache_folder() -> Path:
    """Returns where layers are kept: FPG_POSE_CACHE or else ~/.cache/fpg_pose_ros."""
    named = os.environ.get("FPG_POSE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "fpg_pose_ros"


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
        renderer: Renderer | None = None,
    ) -> None:
        """Opens or makes the files; renders nothing yet.

        Args:
            path: folder for caches, or None for `cache_folder()`.
            thing: the object, or None for made-up things (clutter).
            seed: of the layers.
            count: how many layers.
            resolution: side of a layer, px.
            samples: rays along each side of a pixel at edges.
            renderer: Embree's by default.

        Raises:
            DatasetError: a value is out of range, or the folder cannot be written.
        """
        if count < 1 or resolution < 8 or samples < 1:
            raise DatasetError(
                f"layers: count {count} >= 1, resolution {resolution} >= 8 and "
                f"samples {samples} >= 1 are needed"
            )
        self.thing = thing
        self.seed, self.count, self.resolution, self.samples = seed, count, resolution, samples
        self._renderer: Renderer = renderer or EmbreeRenderer()
        described = {
            "version": VERSION,
            "thing": "clutter" if thing is None else f"{thing.model.name}-{thing.digest}",
            "seed": seed,
            "count": count,
            "resolution": resolution,
            "samples": samples,
        }
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = (path or cache_folder()) / "layers" / digest
        self._maps: tuple[NDArray[np.uint8], Array, NDArray[np.uint8]] | None = None
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
            "labels.bin": self.count * _LABELS * 8,
            "ready.bin": self.count,
        }

    def __len__(self) -> int:
        """Returns the number of layers."""
        return self.count

    def __getstate__(self) -> dict[str, object]:
        """Maps are opened anew in every process."""
        return {**self.__dict__, "_maps": None}

    def _open(self) -> tuple[NDArray[np.uint8], Array, NDArray[np.uint8]]:
        if self._maps is None:
            side = self.resolution
            self._maps = (
                np.memmap(
                    self.folder / "rgba.bin", np.uint8, "r+", shape=(self.count, side, side, 4)
                ),
                np.memmap(
                    self.folder / "labels.bin", np.float64, "r+", shape=(self.count, _LABELS)
                ),
                np.memmap(self.folder / "ready.bin", np.uint8, "r+", shape=(self.count,)),
            )
        return self._maps

    def ready(self) -> int:
        """Returns how many layers have been rendered so far."""
        return int(np.count_nonzero(self._open()[2]))

    def __getitem__(self, index: int) -> Layer:
        """Returns layer `index`, rendering it if nobody has yet."""
        if not 0 <= index < self.count:
            raise IndexError(f"layer {index} of {self.count}")
        rgba, labels, ready = self._open()
        if not ready[index]:
            layer = self._render(index)
            rgba[index] = layer.rgba
            labels[index] = np.concatenate(
                [layer.K.ravel(), layer.T_camera_object.ravel(), layer.A.ravel()]
            )
            ready[index] = 1
        row = np.array(labels[index])
        return Layer(
            rgba=np.asarray(rgba[index]),
            K=row[:9].reshape(3, 3),
            T_camera_object=row[9:25].reshape(4, 4),
            A=row[25:].reshape(2, 3),
        )

    def _render(self, index: int) -> Layer:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, 0x1A)))
        if self.thing is None:
            return _paint_clutter(rng, self.resolution, self.samples, self._renderer)
        return paint_object(rng, self.thing, self.resolution, self.samples, self._renderer)


def paint_object(
    rng: np.random.Generator,
    thing: RenderableObject,
    resolution: int,
    samples: int,
    renderer: Renderer,
) -> Layer:
    """Renders an object from a random view in random light."""
    K = random_camera(rng)
    pose = random_pose(rng, thing.views, K, thing.model.diameter)
    pose = canonical_pose(pose, thing.model.symmetries)
    lights, ambient = random_lights(rng)
    scene = Scene(
        instances=(Instance(thing.mesh, pose, random_material(rng)),),
        lights=lights,
        ambient=ambient,
        up=random_direction(rng),
    )
    return _paint(scene, K, pose, thing.hull, resolution, samples, renderer)


def _paint_clutter(
    rng: np.random.Generator, resolution: int, samples: int, renderer: Renderer
) -> Layer:
    """Renders a made-up thing in random light."""
    K = random_camera(rng)
    mesh = random_thing(rng, size=0.25)
    pose = np.eye(4)
    pose[:3, 3] = [rng.uniform(-0.15, 0.15), rng.uniform(-0.1, 0.1), rng.uniform(0.5, 1.2)]
    lights, ambient = random_lights(rng)
    scene = Scene(
        instances=(Instance(mesh, pose, random_material(rng)),),
        lights=lights,
        ambient=ambient,
        up=random_direction(rng),
    )
    return _paint(scene, K, pose, mesh.vertices, resolution, samples, renderer)


def _paint(
    scene: Scene,
    K: Array,
    pose: Array,
    points: Array,
    resolution: int,
    samples: int,
    renderer: Renderer,
) -> Layer:
    """Renders a scene in a window around the points (N, 3) that bound the thing at `pose`."""
    projected = transform(pose, points) @ K.T
    pixels = projected[:, :2] / projected[:, 2:]
    low, high = pixels.min(axis=0), pixels.max(axis=0)
    cx, cy = (low + high) / 2
    A = CropBox(float(cx), float(cy), float((high - low).max()) * _AIR).affine(resolution)
    picture = renderer.render(scene, K, A, (resolution, resolution), samples)
    rgba = np.dstack([picture.rgb, picture.alpha])
    return Layer(rgba, K, pose, A)
