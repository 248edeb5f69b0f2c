# SPDX-License-Identifier: Apache-2.0
"""SPEED and SPEED+ of a wedge in place of the spacecraft, rendered small."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from fpg_pose_ros.geometry import Camera, exp_so3, make_transform, quaternion_wxyz
from offline_search.data.meshes import Array, TexturedMesh
from offline_search.data.renderer import EmbreeRenderer
from offline_search.data.scene import Instance, Scene

#: A body with three feelers, so that no two views are alike, m.
KEYPOINTS = np.array(
    [
        *([x, y, 0.3] for x in (-0.4, 0.4) for y in (-0.4, 0.4)),
        *([x, y, 0.0] for x in (-0.4, 0.4) for y in (-0.2, 0.3)),
        *([-0.6, 0.5, 0.2], [0.6, 0.5, 0.2], [0.3, -0.6, 0.2]),
    ]
)
WIDTH, HEIGHT = 320, 200
K = np.array([[500.0, 0, 160], [0, 500, 100], [0, 0, 1]])
#: Stronger than SPEED+'s: it moves the corners of these small images by 10 px.
DISTORTION = np.array([-0.5, 0.2, 0.002, -0.001, 0.0])


def write_speed_dataset(root: Path, images: int, mesh: TexturedMesh) -> Path:
    """Write SPEED: train.json, images/train, and a camera file, as these images are smaller."""
    camera = Camera(WIDTH, HEIGHT, K)
    _write(root, root / "images" / "train", {"train.json": range(images)}, camera, mesh)
    return root


def write_speedplus_dataset(root: Path, train: int, validation: int, mesh: TexturedMesh) -> Path:
    """Write SPEED+, seen through a lens that distorts."""
    camera = Camera(WIDTH, HEIGHT, K, DISTORTION, "plumb_bob")
    labels = {
        "train.json": range(train),
        "validation.json": range(train, train + validation),
    }
    place = root / "synthetic"
    _write(place, place / "images", labels, camera, mesh)
    (place / "camera.json").rename(root / "camera.json")
    (place / "keypoints.json").rename(root / "keypoints.json")
    return root


def _write(
    place: Path, folder: Path, labels: dict[str, range], camera: Camera, mesh: TexturedMesh
) -> None:
    folder.mkdir(parents=True)
    for name, numbers in labels.items():
        entries = []
        for number in numbers:
            rng = np.random.default_rng(number)
            T = make_transform(
                exp_so3(rng.normal(size=3) * 1.2),
                rng.uniform([-0.6, -0.25, 3.0], [0.6, 0.25, 4.5]),
            )
            picture = photograph(camera, T, mesh)
            cv2.imwrite(str(folder / f"img{number:06d}.jpg"), picture)
            entries.append(
                {
                    "filename": f"img{number:06d}.jpg",
                    "q_vbs2tango_true": quaternion_wxyz(T[:3, :3]).tolist(),
                    "r_Vo2To_vbs_true": T[:3, 3].tolist(),
                }
            )
        (place / name).write_text(json.dumps(entries))
    described: dict[str, Any] = {"Nu": WIDTH, "Nv": HEIGHT, "cameraMatrix": K.tolist()}
    if camera.distorts:
        described["distCoeffs"] = camera.distortion.tolist()
    (place / "camera.json").write_text(json.dumps(described))
    (place / "keypoints.json").write_text(json.dumps({"keypoints_m": KEYPOINTS.tolist()}))


def photograph(camera: Camera, T_camera_object: Array, mesh: TexturedMesh) -> np.ndarray:
    """A grey picture (H, W) of the wedge, each pixel where the lens puts it."""
    # Of a larger ideal picture, as a lens that draws in sees beyond the ideal one's edges.
    margin = 60
    A = np.array([[1.0, 0, margin], [0, 1.0, margin]])
    shape = (HEIGHT + 2 * margin, WIDTH + 2 * margin)
    scene = Scene((Instance(mesh, T_camera_object),), ambient=np.array([[0.9] * 3, [0.2] * 3]))
    ideal = EmbreeRenderer().render(scene, camera.K, A, shape).rgb
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    straight = camera.normalise(np.column_stack([xs.ravel(), ys.ravel()]))
    pixels = straight * [K[0, 0], K[1, 1]] + K[:2, 2]
    x, y = (pixels + margin).astype(np.float32).T.reshape(2, HEIGHT, WIDTH)
    bent = cv2.remap(ideal, x, y, cv2.INTER_LINEAR)
    return np.asarray(cv2.cvtColor(bent, cv2.COLOR_RGB2GRAY))
