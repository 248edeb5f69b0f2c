# SPDX-License-Identifier: Apache-2.0
"""What datasets of photographs with poses hold: images, targets, evaluation models; in metres."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, Camera, Symmetries
from offline_search.data.image_files import read_image
from offline_search.data.meshes import TexturedMesh

_MM = 1e-3


@dataclass(frozen=True, eq=False)
class BopInstance:
    """One annotated object in an image.

    Attributes:
        obj_id: its number in the dataset.
        T_camera_object: (4, 4) its true pose, metres.
        visible_fraction: of its silhouette, 0 to 1; NaN where the dataset does not say.
        mask: file of its whole silhouette, hidden parts included; need not exist.
    """

    obj_id: int
    T_camera_object: Array
    visible_fraction: float
    mask: Path | None


@dataclass(frozen=True, eq=False)
class BopImage:
    """One image and what is annotated in it.

    Attributes:
        scene_id, image_id: its numbers.
        path: of its file.
        K: (3, 3) of the pinhole camera.
        instances: what is annotated.
        depth_path: file of its depth image; None where the dataset has none.
        depth_mm: millimetres for each step of the depth image.
    """

    scene_id: int
    image_id: int
    path: Path
    K: Array
    instances: tuple[BopInstance, ...]
    depth_path: Path | None = None
    depth_mm: float = 1.0

    def most_visible(self, obj_id: int, count: int) -> tuple[BopInstance, ...]:
        """An object's `count` most visible instances, or as many as there are."""
        of_object = [instance for instance in self.instances if instance.obj_id == obj_id]
        of_object.sort(key=lambda instance: -np.nan_to_num(instance.visible_fraction, nan=1.0))
        return tuple(of_object[:count])

    def truth(self, obj_id: int, count: int) -> Array:
        """True poses (G, 4, 4) of an object's `count` most visible instances, G <= count."""
        poses = [instance.T_camera_object for instance in self.most_visible(obj_id, count)]
        return np.array(poses, dtype=np.float64).reshape(-1, 4, 4)

    def read(self) -> NDArray[np.uint8]:
        """The pixels, (H, W, 3) uint8 RGB."""
        return read_image(self.path)

    def read_depth(self) -> Array | None:
        """Depth along z, (H, W), metres, 0 where nothing was measured; None where there is none.

        Raises:
            DatasetError: the file cannot be decoded, or is not of the picture's size.
        """
        if self.depth_path is None:
            return None
        raw = cv2.imread(str(self.depth_path), cv2.IMREAD_UNCHANGED)
        if raw is None or raw.shape != (self.camera.height, self.camera.width):
            raise DatasetError(
                f"{self.depth_path}: is no depth image of {self.camera.width}x{self.camera.height} "
                "pixels of one channel, as its picture's size asks for; unpack the dataset again"
            )
        return np.asarray(raw, dtype=np.float64) * (self.depth_mm * _MM)

    @cached_property
    def camera(self) -> Camera:
        """The pinhole camera; its size is read from the image's header."""
        try:
            with Image.open(self.path) as header:
                width, height = header.size
        except (OSError, UnidentifiedImageError) as error:
            raise DatasetError(f"{self.path}: cannot be read ({error})") from None
        return Camera(width=width, height=height, K=self.K)


@dataclass(frozen=True)
class BopTarget:
    """How many instances of an object have to be found in an image."""

    scene_id: int
    image_id: int
    obj_id: int
    count: int


@dataclass(frozen=True, eq=False)
class BopModel:
    """What evaluation needs of an object.

    Attributes:
        obj_id: its number in the dataset.
        mesh: its evaluation mesh, metres.
        diameter: metres, as the dataset states it.
        symmetries: in metres, as the dataset states them.
    """

    obj_id: int
    mesh: TexturedMesh
    diameter: float
    symmetries: Symmetries

    @property
    def points(self) -> Array:
        """(V, 3) the mesh's vertices."""
        return self.mesh.vertices


def annotated(images: Iterable[BopImage]) -> Iterator[BopImage]:
    """Yield the images that have annotations."""
    return (image for image in images if image.instances)


class PoseScene(Protocol):
    """One folder of images."""

    def image(self, image_id: int, obj_id: int | None = None) -> BopImage:
        """One image with its annotations, or with those of one object."""
        ...


class PoseImages(Protocol):
    """A dataset's images with poses, as evaluation reads them.

    Attributes:
        root: its folder.
        split: which of its images.
    """

    root: Path
    split: str

    def scene(self, scene_id: int) -> PoseScene:
        """One scene of the split."""
        ...

    def targets(self, file: Path | None = None) -> tuple[BopTarget, ...]:
        """What has to be found: the entries of a target file, by default the dataset's own."""
        ...

    def model(self, obj_id: int) -> BopModel:
        """The evaluation model of an object."""
        ...
