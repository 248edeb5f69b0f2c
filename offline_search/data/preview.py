# SPDX-License-Identifier: Apache-2.0
"""Contact sheets of training data with the labels drawn in: look before you train."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import cv2
import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, transform
from offline_search.data.compose import PoseSample
from offline_search.data.datasets import LocatorDataset, PoseDataset, Ramp, as_ramp
from offline_search.data.frames import LocatorSample
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject, load_object
from offline_search.data.renderers import RendererName, make_renderer
from offline_search.data.stacking import Image

Kind = Literal["pose", "locator", "live"]

_WIDTH: Final = 1536  # of a sheet, px
_LIVE_SCALE: Final = 0.5
#: Colours of parts and classes, one after the other.
_COLORS: Final = ((66, 214, 98), (255, 99, 71), (80, 160, 255), (255, 205, 60), (220, 110, 255))


def preview(
    objects: Sequence[str | Path],
    out: Path,
    *,
    kind: Kind = "pose",
    count: int = 48,
    seed: int = 0,
    difficulty: str | float = "rising",
    renderer: RendererName = "embree",
    cache: Path | None = None,
) -> Path:
    """Writes a contact sheet of samples with their labels.

    Args:
        objects: names or files of objects; one for pose and live.
        out: picture file to write, PNG or JPEG.
        kind: pose = crops with keypoints, locator = frames with boxes, live = a rendered scene.
        count: how many samples.
        seed: of the samples.
        difficulty: "clean", "cluttered", 0 to 1, or "rising" from the first sample to the last, as
            training's does.
        renderer: of the objects' layers.
        cache: folder of the layer caches.

    Returns:
        `out`.

    Raises:
        DatasetError: an argument cannot be used, the renderer is not installed, or the file cannot
            be written.
    """
    if count < 1:
        raise DatasetError(f"a preview of {count} samples: ask for at least one")
    things = [load_object(item) for item in objects]
    if not things or (kind != "locator" and len(things) != 1):
        raise DatasetError(f"a preview of kind {kind} needs one object, not {len(things)}")
    asked = Ramp(0.0, 1.0, count - 1) if difficulty == "rising" else as_ramp(difficulty)
    tiles = _tiles(kind, things, count, seed, asked, renderer, cache)
    out.parent.mkdir(parents=True, exist_ok=True)
    sheet = cv2.cvtColor(contact_sheet(tiles), cv2.COLOR_RGB2BGR)
    try:
        written = cv2.imwrite(str(out), sheet)
    except cv2.error:
        written = False
    if not written:
        raise DatasetError(f"picture {out} cannot be written; name a .png or .jpg file")
    return out


def _tiles(
    kind: Kind,
    things: Sequence[RenderableObject],
    count: int,
    seed: int,
    difficulty: Ramp,
    renderer: RendererName,
    cache: Path | None,
) -> list[Image]:
    thing = things[0]
    painter = make_renderer(renderer)
    if kind == "pose":
        crops = PoseDataset(
            thing, seed=seed, layers=count, difficulty=difficulty, renderer=painter, cache=cache
        )
        return [draw_pose_sample(crops[i], thing) for i in range(count)]
    if kind == "locator":
        frames = LocatorDataset(
            things, seed=seed, layers=count, difficulty=difficulty, renderer=painter, cache=cache
        )
        return [draw_locator_sample(frames[i]) for i in range(count)]
    scene = LiveScene(thing, seed=seed, fps=1.0, duration=float(count))
    return [_draw_live(scene, i) for i in range(count)]


def draw_pose_sample(sample: PoseSample, thing: RenderableObject) -> Image:
    """Returns the crop with its keypoints, coloured by part, and the visible share if not all."""
    image = sample.image.copy()
    colors = {
        index: _COLORS[number % len(_COLORS)]
        for number, indices in enumerate(thing.model.parts.values())
        for index in indices
    }
    _dots(
        image, sample.keypoints, [colors.get(i, _COLORS[0]) for i in range(len(sample.keypoints))]
    )
    if sample.visible_fraction < 1.0:
        label = f"{100 * sample.visible_fraction:.0f}%"
        _write(image, label, (3, image.shape[0] - 4))
    return image


def draw_locator_sample(sample: LocatorSample) -> Image:
    """Returns the frame with its boxes, coloured by class."""
    image = sample.image.copy()
    for box, number in zip(sample.boxes, sample.classes.tolist(), strict=True):
        x0, y0, x1, y1 = np.round(box).astype(int).tolist()
        cv2.rectangle(image, (x0, y0), (x1, y1), _COLORS[number % len(_COLORS)], 1)
    return image


def _draw_live(scene: LiveScene, number: int) -> Image:
    frame = scene.frame(number)
    model = scene.thing.model
    pixels = scene.camera.project(transform(frame.ground_truth[model.name], model.keypoints))
    image = cv2.resize(
        frame.image, None, fx=_LIVE_SCALE, fy=_LIVE_SCALE, interpolation=cv2.INTER_AREA
    )
    tile = np.asarray(image, dtype=np.uint8)
    _dots(tile, (pixels + 0.5) * _LIVE_SCALE - 0.5, [_COLORS[0]] * len(pixels))
    return tile


def _dots(image: Image, pixels: Array, colors: Sequence[tuple[int, int, int]]) -> None:
    """Draws points (n, 2) at an eighth of a pixel's accuracy, in place."""
    for pixel, color in zip(pixels, colors, strict=True):
        x, y = np.round(pixel * 8).astype(int).tolist()
        cv2.circle(image, (x, y), 16, (0, 0, 0), -1, cv2.LINE_AA, shift=3)
        cv2.circle(image, (x, y), 10, color, -1, cv2.LINE_AA, shift=3)


def _write(image: Image, text: str, at: tuple[int, int]) -> None:
    for color, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):
        cv2.putText(image, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.35, color, thickness, cv2.LINE_AA)


def contact_sheet(tiles: Sequence[Image], width: int = _WIDTH) -> Image:
    """Returns pictures of one size side by side, as many in a row as `width` px hold."""
    height, tile_width = tiles[0].shape[:2]
    columns = min(max(1, width // (tile_width + 2)), len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.zeros((rows * (height + 2), columns * (tile_width + 2), 3), dtype=np.uint8)
    for index, tile in enumerate(tiles):
        y, x = (index // columns) * (height + 2), (index % columns) * (tile_width + 2)
        sheet[y : y + height, x : x + tile_width] = tile
    return sheet
