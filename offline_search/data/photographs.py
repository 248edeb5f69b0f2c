# SPDX-License-Identifier: Apache-2.0
"""Crops for the pose network from photographs with known poses, one affine map each.

They are cut as crops from renders are, but never turned: what turning brings in from beyond the
picture's edge would be black.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, Camera, apply_affine, invert_affine, transform
from fpg_pose_ros.preprocess import resample
from offline_search.data.compose import CropConfig, PoseSample, jittered_box
from offline_search.data.image_files import read_image
from offline_search.data.objects import RenderableObject
from offline_search.data.renderer import Renderer
from offline_search.data.scene import Instance, Scene
from offline_search.data.stacking import Image
from offline_search.data.views import canonical_pose


@dataclass(frozen=True, eq=False)
class Photograph:
    """An object in a photograph.

    Attributes:
        path: of the picture.
        K: (3, 3) intrinsics of the whole picture.
        T_camera_object: (4, 4), m.
        visible_fraction: of its silhouette, 0 to 1.
        mask: file of its whole silhouette, hidden parts included; need not exist.
        camera: the picture's size and lens, where the dataset states them; its K is `K`.
    """

    path: Path
    K: Array
    T_camera_object: Array
    visible_fraction: float = 1.0
    mask: Path | None = None
    camera: Camera | None = None

    def read(self) -> Image:
        """The pixels, (H, W, 3) RGB.

        Raises:
            DatasetError: They cannot be read, or are not of the camera's size.
        """
        image = read_image(self.path)
        height, width = image.shape[:2]
        if self.camera is not None and (width, height) != (self.camera.width, self.camera.height):
            raise DatasetError(
                f"{self.path} is {width}x{height}; its camera's images are "
                f"{self.camera.width}x{self.camera.height}: unpack the dataset as it is published"
            )
        return image


def crop_photograph(
    rng: np.random.Generator,
    thing: RenderableObject,
    photograph: Photograph,
    config: CropConfig,
    renderer: Renderer,
) -> PoseSample:
    """Cuts a crop around an object, as a locator would, free of the lens's distortion.

    Args:
        rng: Of the crop's place and size.
        thing: The object.
        photograph: Of it.
        config: How crops are cut.
        renderer: For silhouettes that the dataset does not come with.

    Raises:
        DatasetError: The picture or its mask cannot be read.
    """
    size = config.resolution
    image = photograph.read()
    # What a network is taught of the poses that look alike; the silhouette is that of all of them.
    pose = canonical_pose(photograph.T_camera_object, thing.model.symmetries)
    outline = _project(photograph.K, pose, thing.hull)
    A = jittered_box(rng, outline, config).affine(size)
    cut = _cutter(photograph.camera, A, size)
    mask = photograph.mask
    inside = (outline >= 0).all() and (outline < image.shape[1::-1]).all()
    # Beyond the picture's edge no file says what the object covers.
    if inside and mask is not None and mask.is_file():
        cover = cut(read_image(mask, grey=True))
    else:
        scene = Scene((Instance(thing.mesh, pose),))
        cover = renderer.render(scene, photograph.K, A, (size, size)).alpha
    return PoseSample(
        image=cut(image),
        keypoints=apply_affine(A, _project(photograph.K, pose, thing.model.keypoints)),
        T_camera_object=pose,
        K=photograph.K,
        A=A,
        visible_fraction=photograph.visible_fraction,
        mask=cover,
    )


def _project(K: Array, T_camera_object: Array, points: Array) -> Array:
    """Returns where a camera without distortion sees object points (N, 3), (N, 2) px."""
    projected = transform(T_camera_object, points) @ K.T
    return np.asarray(projected[:, :2] / projected[:, 2:], dtype=np.float64)


def _cutter(camera: Camera | None, A: Array, size: int) -> Callable[[Image], Image]:
    """Returns what cuts the window A (2, 3) of the ideal camera out of pictures."""
    if camera is None or not camera.distorts:
        return lambda image: resample(image, A, (size, size))
    ys, xs = np.mgrid[:size, :size]
    ideal = apply_affine(invert_affine(A), np.column_stack([xs.ravel(), ys.ravel()]))
    rays = np.column_stack([ideal, np.ones(len(ideal))]) @ np.linalg.inv(camera.K).T
    # Black lies beyond the edges, however far.
    edge = [camera.width + 1, camera.height + 1]
    seen = np.clip(camera.project_normalised(rays[:, :2]), -2, edge)
    # Twice as fine as the crop: bilinear interpolation then sees every pixel of it.
    low = seen.min(axis=0)
    scale = 2 * A[0, 0]
    fine = np.column_stack([np.diag([scale, scale]), -scale * low])
    width, height = np.ceil(scale * (seen.max(axis=0) - low)).astype(int) + 2
    x, y = apply_affine(fine, seen).astype(np.float32).T.reshape(2, size, size)

    def cut(image: Image) -> Image:
        window = resample(image, fine, (int(height), int(width)))
        return np.asarray(cv2.remap(window, x, y, cv2.INTER_LINEAR), dtype=np.uint8)

    return cut
