# SPDX-License-Identifier: Apache-2.0
"""Datasets in the format of BOP, the benchmark for 6D object pose estimation.

    DATASET/models/obj_000001.ply ...   DATASET/models_eval/{obj_000001.ply ..., models_info.json}
    DATASET/test/000002/{scene_camera.json, scene_gt.json, scene_gt_info.json, rgb/000003.png ...,
                         depth/000003.png ...}
    DATASET/test_targets_bop19.json

BOP's files are in millimetres; everything returned here is in metres. A missing or malformed file
raises DatasetError, which names the file, the key and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array, Symmetries, make_transform
from offline_search.data.bop_image import (
    BopImage,
    BopInstance,
    BopModel,
    BopTarget,
    annotated,
)
from offline_search.data.create import create_object
from offline_search.data.fields import numbers, read_json, value
from offline_search.data.meshes import read_mesh
from offline_search.data.objects import RenderableObject

TARGETS_FILE: Final = "test_targets_bop19.json"
#: Where the datasets are.
BOP_SITE: Final = "https://bop.felk.cvut.cz/datasets"
_ORIGIN: Final = f"the dataset ({BOP_SITE})"
_MM = 1e-3
_IMAGE_KINDS = ("png", "jpg", "jpeg", "tif")


def object_name(obj_id: int) -> str:
    """What this project calls an object of a BOP dataset unless told otherwise: its file's name."""
    return f"obj_{obj_id:06d}"


class BopScene:
    """One folder of images."""

    def __init__(self, folder: Path) -> None:
        """Read the annotations of the scene; images are read when asked for."""
        if not folder.is_dir():
            raise DatasetError(f"{folder} does not exist; name a scene folder, as test/000002")
        if not folder.name.isdigit():
            raise DatasetError(f"{folder}: scene folders are named by their number, as 000002")
        self.folder = folder
        self.scene_id = int(folder.name)
        self._cameras = _by_number(folder / "scene_camera.json")
        self._truth = _by_number(folder / "scene_gt.json")
        info = folder / "scene_gt_info.json"
        self._info = _by_number(info) if info.exists() else {}

    @property
    def image_ids(self) -> tuple[int, ...]:
        """Numbers of the annotated images, ascending."""
        return tuple(sorted(self._truth))

    def __iter__(self) -> Iterator[BopImage]:
        """Yield the annotated images in ascending order."""
        return (self.image(image_id) for image_id in self.image_ids)

    def of_object(self, obj_id: int) -> Iterator[BopImage]:
        """Yield the images that an object is annotated in, with its own annotations only."""
        return annotated(self.image(image_id, obj_id) for image_id in self.image_ids)

    def image(self, image_id: int, obj_id: int | None = None) -> BopImage:
        """One image with its annotations, or with those of one object."""
        where = f"{self.folder / 'scene_camera.json'}: image {image_id}"
        K = numbers(where, value(where, _entry(where, self._cameras, image_id), "cam_K"), (3, 3))
        return BopImage(
            scene_id=self.scene_id,
            image_id=image_id,
            path=self._image_path(image_id),
            K=K,
            instances=self._instances(image_id, obj_id),
            depth_path=self._depth_path(image_id),
            depth_mm=self._depth_scale(where, image_id),
        )

    def _instances(self, image_id: int, obj_id: int | None) -> tuple[BopInstance, ...]:
        where = f"{self.folder / 'scene_gt.json'}: image {image_id}"
        entries = _entry(where, self._truth, image_id)
        fractions = [item.get("visib_fract", np.nan) for item in self._info.get(image_id, ())]
        if fractions and len(fractions) != len(entries):
            raise DatasetError(
                f"{self.folder / 'scene_gt_info.json'}: image {image_id} has {len(fractions)} "
                f"entries where scene_gt.json has {len(entries)}; unpack both from one archive"
            )
        return tuple(
            BopInstance(
                obj_id=int(value(where, item, "obj_id")),
                T_camera_object=bop_pose(where, item),
                visible_fraction=float(fractions[index]) if fractions else np.nan,
                mask=self.folder / "mask" / f"{image_id:06d}_{index:06d}.png",
            )
            for index, item in enumerate(entries)
            if obj_id is None or value(where, item, "obj_id") == obj_id
        )

    def _image_path(self, image_id: int) -> Path:
        for kind in ("rgb", "gray"):
            for suffix in _IMAGE_KINDS:
                path = self.folder / kind / f"{image_id:06d}.{suffix}"
                if path.exists():
                    return path
        raise DatasetError(
            f"{self.folder}: no image {image_id:06d} in rgb/ or gray/; unpack the images of this "
            f"split of {BOP_SITE} there"
        )

    def _depth_path(self, image_id: int) -> Path | None:
        for suffix in ("png", "tif"):
            path = self.folder / "depth" / f"{image_id:06d}.{suffix}"
            if path.exists():
                return path
        return None

    def _depth_scale(self, where: str, image_id: int) -> float:
        entry = _entry(where, self._cameras, image_id)
        return float(numbers(f"{where}: depth_scale", entry.get("depth_scale", 1.0), ()))


class BopDataset:
    """A dataset folder."""

    def __init__(self, root: Path, split: str = "test") -> None:
        """Open the dataset; `split` is the folder of its scenes."""
        if not root.is_dir():
            raise DatasetError(
                f"{root} does not exist; unpack a dataset of {BOP_SITE} there, or give the folder "
                "that holds it"
            )
        self.root = root
        self.split = split

    def scene_ids(self) -> tuple[int, ...]:
        """Numbers of the split's scenes, ascending."""
        folder = self.root / self.split
        if not folder.is_dir():
            raise DatasetError(
                f"{folder} does not exist; unpack the dataset's {self.split} images of {BOP_SITE} "
                "there"
            )
        return tuple(sorted(int(f.name) for f in folder.iterdir() if f.name.isdigit()))

    def scene(self, scene_id: int) -> BopScene:
        """One scene of the split."""
        return BopScene(self.root / self.split / f"{scene_id:06d}")

    def with_split(self, split: str) -> BopDataset:
        """The same dataset's other images."""
        return BopDataset(self.root, split)

    def training_splits(self) -> tuple[str, ...]:
        """Names of the folders of training images: train, train_pbr, train_real and the like."""
        return tuple(sorted(f.name for f in self.root.glob("train*") if f.is_dir()))

    def object_ids(self) -> tuple[int, ...]:
        """Numbers of the dataset's objects, ascending."""
        path = self._models("models", "models_eval") / "models_info.json"
        return tuple(sorted(_by_number(path, "object")))

    def targets(self, file: Path | None = None) -> tuple[BopTarget, ...]:
        """What has to be found: the entries of a target file, by default the dataset's own."""
        path = file or self.root / TARGETS_FILE
        entries = read_json(path, _ORIGIN)
        if not isinstance(entries, list):
            raise DatasetError(f"{path}: not a list of targets; give the dataset's {TARGETS_FILE}")
        return tuple(
            BopTarget(*(int(value(f"{path}: target {index}", item, key)) for key in keys))
            for keys in [("scene_id", "im_id", "obj_id", "inst_count")]
            for index, item in enumerate(entries)
        )

    def model(self, obj_id: int) -> BopModel:
        """The evaluation model of an object."""
        folder = self._models("models_eval", "models")
        info = self._info(folder, obj_id)
        where = f"{folder / 'models_info.json'}: object {obj_id}"
        diameter = float(numbers(where, value(where, info, "diameter"), ())) * _MM
        mesh = read_mesh(folder / f"{object_name(obj_id)}.ply", units="mm")
        return BopModel(obj_id, mesh, diameter, bop_symmetries(where, info))

    def create_object(
        self,
        obj_id: int,
        out: Path,
        *,
        name: str | None = None,
        views: Mapping[str, Any] | None = None,
    ) -> RenderableObject:
        """Make an object file of a dataset's mesh, with the dataset's symmetries.

        Args:
            obj_id: the object's number.
            out: folder of the new object file.
            name: the object's name; its mesh file's name where not given.
            views: views in which it occurs, in the object file's form; all where not given.

        Returns:
            The object, as read back from its new file.
        """
        folder = self._models("models", "models_eval")
        where = f"{folder / 'models_info.json'}: object {obj_id}"
        return create_object(
            folder / f"{object_name(obj_id)}.ply",
            units="mm",
            name=name or object_name(obj_id),
            out=out,
            symmetries=bop_symmetries(where, self._info(folder, obj_id)).to_json(),
            views=views,
        )

    def _models(self, *names: str) -> Path:
        for name in names:
            if (self.root / name).is_dir():
                return self.root / name
        raise DatasetError(
            f"{self.root}: no folder {' or '.join(names)}; unpack its models of {BOP_SITE}"
        )

    def _info(self, folder: Path, obj_id: int) -> Mapping[str, Any]:
        path = folder / "models_info.json"
        entry = value(path, read_json(path, _ORIGIN), str(obj_id))
        if not isinstance(entry, Mapping):
            raise DatasetError(f"{path}: object {obj_id} is not an object with keys")
        return entry


def bop_pose(where: str, item: Mapping[str, Any]) -> Array:
    """T_camera_object (4, 4), m, of an entry of a table of poses; `where` names it in errors."""
    R = numbers(where, value(where, item, "cam_R_m2c"), (3, 3))
    t = numbers(where, value(where, item, "cam_t_m2c"), (3,))
    if np.abs(R @ R.T - np.eye(3)).max() > 1e-2 or np.linalg.det(R) < 0:
        raise DatasetError(f"{where}: cam_R_m2c is no rotation; the annotation is damaged")
    return make_transform(R, t * _MM)


def bop_symmetries(where: str, info: Mapping[str, Any]) -> Symmetries:
    """The symmetries of an entry of a table of models, m; `where` names it in errors."""
    discrete = []
    for flat in info.get("symmetries_discrete", ()):
        T = numbers(where, flat, (4, 4)).copy()
        T[:3, 3] *= _MM
        discrete.append(T)
    continuous = [
        {
            "axis": numbers(where, value(where, item, "axis"), (3,)),
            "offset": numbers(where, value(where, item, "offset"), (3,)) * _MM,
        }
        for item in info.get("symmetries_continuous", ())
    ]
    try:
        return Symmetries.from_json({"discrete": discrete, "continuous": continuous})
    except ValueError as error:
        raise DatasetError(f"{where}: {error}") from None


def _by_number(path: Path, what: str = "image") -> dict[int, Any]:
    data = read_json(path, _ORIGIN)
    if not isinstance(data, Mapping) or not all(str(key).isdigit() for key in data):
        raise DatasetError(f"{path}: not a table by {what} number; it is not BOP's {path.name}")
    return {int(key): value for key, value in data.items()}


def _entry(where: str, table: Mapping[int, Any], image_id: int) -> Any:
    if image_id not in table:
        raise DatasetError(f"{where} is missing; the scene's files do not belong together")
    return table[image_id]
