# SPDX-License-Identifier: Apache-2.0
"""Short films of one object, cut as a robot that tracks it would cut them, on disk.

Film i is some frames of a `LiveScene` in a row: the object wanders and turns, the camera sways,
things pass before it. Of each frame only the crop is rendered and kept. Where the crop lies is told
by the pose in the frame before, as on the robot by the pose that a track expects, and is off by a
little; now and then by as much as a locator's. A film is a pure function of the object, the seed
and i, and lies in slot i of `slots`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, apply_affine, invert_affine, transform
from fpg_pose_ros.preprocess import resample
from offline_search.data.compose import CropConfig, PoseSample, jittered_box
from offline_search.data.live import LiveScene
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.slots import Slots

#: Change when films of the same seed come to look different: old caches are then left aside.
VERSION: Final = 2
FPS: Final = 30.0
FRAMES: Final = 32
_SIDE_JITTER: Final = 0.03
_SHIFT_JITTER: Final = 0.02
_LOCATED: Final = 0.05  # share of frames whose crop is off as a locator's
_EDGE_PX: Final = 8  # rendered around a crop, for its resampling and the lens's blur


@dataclass(frozen=True, eq=False)
class Film:
    """Crops of F frames in a row.

    Attributes:
        images: (F, R, R, 3) uint8 RGB.
        masks: (F, R, R) uint8, how much of each pixel the object covers, hidden parts too; 0..255.
        K: (3, 3) intrinsics of the whole frames.
        T_camera_object: (F, 4, 4) poses, m.
        A: (F, 2, 3) with crop_px = A @ [frame_px, 1].
        visible: (F,) how much of the object nothing stands before, 0 to 1.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    K: Array
    T_camera_object: Array
    A: Array
    visible: Array


class FilmStore:
    """`count` films; see the module's docstring."""

    chunk = 1
    """How many a process renders at a time."""

    def __init__(
        self,
        path: Path | None,
        thing: RenderableObject,
        *,
        seed: int,
        count: int,
        resolution: int,
        margin: float,
        frames: int = FRAMES,
    ) -> None:
        """Opens or makes the files; renders nothing yet.

        Args:
            path: folder for caches, or None for `slots.cache_folder()`.
            thing: the object.
            seed: of the films.
            count: how many.
            resolution: side of the crops, px.
            margin: side of a crop in sides of the object's box.
            frames: of each film.

        Raises:
            DatasetError: a value is out of range, or the folder cannot be written.
        """
        if min(count, frames) < 1 or resolution < 8:
            raise DatasetError(
                f"films: count {count} >= 1, frames {frames} >= 1 and resolution {resolution} >= 8 "
                "are needed"
            )
        self.thing, self.seed, self.count, self.frames = thing, seed, count, frames
        self.resolution = resolution
        self._tight = CropConfig(resolution, margin, _SIDE_JITTER, _SHIFT_JITTER)
        self._loose = CropConfig(resolution, margin)
        self._tracer = EmbreeRenderer()
        described = {
            "version": VERSION,
            "thing": f"{thing.model.name}-{thing.digest}",
            "seed": seed,
            "count": count,
            "resolution": resolution,
            "margin": margin,
            "frames": frames,
            "fps": FPS,
        }
        columns = {
            "images": (np.uint8, (frames, resolution, resolution, 3)),
            "masks": (np.uint8, (frames, resolution, resolution)),
            "K": (np.float64, (3, 3)),
            "T_camera_object": (np.float64, (frames, 4, 4)),
            "A": (np.float64, (frames, 2, 3)),
            "visible": (np.float64, (frames,)),
        }
        self._slots = Slots(path, "films", described, count, columns)
        self.folder = self._slots.folder

    def __len__(self) -> int:
        """Returns the number of films."""
        return self.count

    def ready(self) -> int:
        """Returns how many films have been rendered so far."""
        return self._slots.ready()

    def __getitem__(self, index: int) -> Film:
        """Returns film `index`, rendering it if nobody has yet."""
        if not 0 <= index < self.count:
            raise IndexError(f"film {index} of {self.count}")
        if not self._slots.holds(index):
            self._slots.fill(index, vars(self._render(index)))
        return Film(**self._slots.read(index))

    def sample(self, index: int, frame: int) -> PoseSample:
        """Returns one frame of a film by itself."""
        film = self[index]
        T, A = film.T_camera_object[frame], film.A[frame]
        return PoseSample(
            image=film.images[frame],
            keypoints=apply_affine(A, _project(film.K, T, self.thing.model.keypoints)),
            T_camera_object=T,
            K=film.K,
            A=A,
            visible_fraction=float(film.visible[frame]),
            mask=film.masks[frame],
        )

    def scene_seed(self, index: int) -> int:
        """Returns the seed of a film's scene: no other film's, and no scene's that is judged on.

        Scenes that bundles are calibrated, judged and shown on have seeds below 2^32, see
        `calibrate`, `evaluate` and `demo`.
        """
        return ((self.seed + 1) << 32) + index

    def _render(self, index: int) -> Film:
        seed = self.scene_seed(index)
        live = LiveScene(self.thing, seed=seed, fps=FPS, duration=self.frames / FPS)
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index, 0xF11)))
        K = live.camera.K
        poses = [
            live.scene(number / FPS)[0].instances[0].T_camera_mesh
            for number in range(-1, self.frames)
        ]
        taken = [self._crop(live, rng, number, before) for number, before in enumerate(poses[:-1])]
        images, masks, affines, visible = zip(*taken, strict=True)
        return Film(
            np.stack(images),
            np.stack(masks),
            K,
            np.stack(poses[1:]),
            np.stack(affines),
            np.array(visible),
        )

    def _crop(
        self, live: LiveScene, rng: np.random.Generator, number: int, T_before: Array
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8], Array, float]:
        """Returns picture, mask, affine and visible share of one frame's crop."""
        camera, side = live.camera, self.resolution
        config = self._loose if rng.random() < _LOCATED else self._tight
        A = jittered_box(rng, _project(camera.K, T_before, self.thing.hull), config).affine(side)
        corners = apply_affine(invert_affine(A), [[0.0, 0.0], [side - 1.0, side - 1.0]])
        limit = (camera.width, camera.height)
        low = np.clip(np.floor(corners[0]) - _EDGE_PX, 0, limit).astype(int)
        high = np.clip(np.ceil(corners[1]) + _EDGE_PX, low + 1, limit).astype(int)
        x, y = low.tolist()
        width, height = (high - low).tolist()
        image, seen, scene = live.window(number, (x, y), (width, height))
        inside = A.copy()
        inside[:, 2] += A[:, :2] @ low
        alone = replace(scene, instances=scene.instances[:1])
        mask = self._tracer.render(alone, camera.K, A, (side, side)).alpha
        whole = float(mask.sum()) / 255.0 / float(np.linalg.det(A[:, :2]))
        visible = min(1.0, float((seen == 1).sum()) / max(whole, 1.0))
        return resample(image, inside, (side, side)), mask, A, visible


def _project(K: Array, T_camera_object: Array, points: Array) -> Array:
    """Returns where object points (N, 3) are in a frame, (N, 2) px."""
    projected = transform(T_camera_object, points) @ K.T
    return np.asarray(projected[:, :2] / projected[:, 2:], dtype=np.float64)
