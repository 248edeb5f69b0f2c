# SPDX-License-Identifier: Apache-2.0
"""LINEMOD as "Linemod_preprocessed", the folder that DenseFusion and its successors train on.

    PATH/data/01/{rgb/0000.png ..., depth/0000.png ..., mask/0000.png ...,
                  gt.yml, info.yml, train.txt, test.txt}
    PATH/models/{obj_01.ply ..., models_info.yml}

Folder 05 is the video of object 5; its lists name the images to train and to test on. Files are in
millimetres; everything returned here is in metres. What is missing or malformed raises
DatasetError, which names the file, the key and what to do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import yaml

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Symmetries
from offline_search.data.bop import bop_pose, bop_symmetries
from offline_search.data.bop_image import (
    BopImage,
    BopInstance,
    BopModel,
    BopTarget,
    annotated,
)
from offline_search.data.create import create_object
from offline_search.data.fields import numbers, value
from offline_search.data.meshes import read_mesh
from offline_search.data.objects import RenderableObject

#: Where it comes from.
LINEMOD_SITE: Final = "https://github.com/j96w/DenseFusion#datasets (Linemod_preprocessed)"
SPLITS: Final = ("train", "test")
# models_info.yml does not say that eggbox and glue look alike from both sides; BOP's file does.
_SYMMETRIC: Final[Mapping[int, list[list[float]]]] = {
    10: [
        [-0.999964, -0.00333777, -0.0077452, 0.232611],
        [0.00321462, -0.999869, 0.0158593, 0.694388],
        [-0.00779712, 0.0158338, 0.999844, -0.0792063],
        [0.0, 0.0, 0.0, 1.0],
    ],
    11: [
        [-0.999633, 0.026679, 0.00479336, -0.262139],
        [-0.0266744, -0.999644, 0.00100504, -0.197966],
        [0.00481847, 0.000876815, 0.999988, 0.0321652],
        [0.0, 0.0, 0.0, 1.0],
    ],
}


class LinemodScene:
    """The video of one object."""

    def __init__(self, folder: Path, split: str) -> None:
        """Reads nothing yet."""
        if not folder.is_dir():
            raise DatasetError(f"{folder} does not exist; unpack {LINEMOD_SITE} there")
        self.folder, self.split = folder, split
        self.scene_id = int(folder.name)

    @cached_property
    def _truth(self) -> dict[int, Any]:
        return _table(self.folder / "gt.yml")

    @cached_property
    def _cameras(self) -> dict[int, Any]:
        return _table(self.folder / "info.yml")

    @cached_property
    def image_ids(self) -> tuple[int, ...]:
        """Numbers of the images of the split, ascending."""
        path = self.folder / f"{self.split}.txt"
        try:
            return tuple(sorted(int(word) for word in path.read_text(encoding="utf-8").split()))
        except FileNotFoundError:
            raise DatasetError(f"{path} does not exist; unpack {LINEMOD_SITE} again") from None
        except ValueError as error:
            raise DatasetError(f"{path}: not a list of image numbers ({error})") from None

    def of_object(self, obj_id: int) -> Iterator[BopImage]:
        """Yield the images of the split that an object is annotated in, with it alone."""
        return annotated(self.image(image_id, obj_id) for image_id in self.image_ids)

    def image(self, image_id: int, obj_id: int | None = None) -> BopImage:
        """One image with its annotations, or with those of one object."""
        name = f"{image_id:04d}.png"
        path, depth = self.folder / "rgb" / name, self.folder / "depth" / name
        if not path.exists():
            raise DatasetError(f"{path} does not exist; unpack {LINEMOD_SITE} completely")
        where = f"{self.folder / 'info.yml'}: image {image_id}"
        camera = value(self.folder / "info.yml", self._cameras, image_id)
        scale = camera.get("depth_scale", 1.0) if isinstance(camera, Mapping) else 1.0
        return BopImage(
            scene_id=self.scene_id,
            image_id=image_id,
            path=path,
            K=numbers(f"{where}: cam_K", value(where, camera, "cam_K"), (3, 3)),
            instances=self._instances(image_id, obj_id, self.folder / "mask" / name),
            depth_path=depth if depth.exists() else None,
            depth_mm=float(numbers(f"{where}: depth_scale", scale, ())),
        )

    def _instances(self, image_id: int, obj_id: int | None, mask: Path) -> tuple[BopInstance, ...]:
        where = f"{self.folder / 'gt.yml'}: image {image_id}"
        entries = value(self.folder / "gt.yml", self._truth, image_id)
        if not isinstance(entries, list):
            raise DatasetError(f"{where}: not a list of objects; the file is damaged")
        found = [(int(value(where, item, "obj_id")), item) for item in entries]
        return tuple(
            BopInstance(
                obj_id=number,
                T_camera_object=bop_pose(where, item),
                visible_fraction=float("nan"),
                # The masks are of the folder's own object alone.
                mask=mask if number == self.scene_id else None,
            )
            for number, item in found
            if obj_id in (None, number)
        )


class LinemodDataset:
    """The dataset's folder."""

    def __init__(self, root: Path, split: str = "test") -> None:
        """Open the dataset; `split` is train or test."""
        if split not in SPLITS:
            raise DatasetError(f"--split {split}: LINEMOD has the splits {' and '.join(SPLITS)}")
        for folder in (root, root / "data", root / "models"):
            if not folder.is_dir():
                raise DatasetError(f"{folder} does not exist; unpack {LINEMOD_SITE} there")
        self.root, self.split = root, split

    def with_split(self, split: str) -> LinemodDataset:
        """The same dataset's other images."""
        return LinemodDataset(self.root, split)

    def training_splits(self) -> tuple[str, ...]:
        """Names of the splits to train on."""
        return ("train",)

    def scene_ids(self) -> tuple[int, ...]:
        """Numbers of the videos, ascending."""
        folders = (self.root / "data").iterdir()
        return tuple(sorted(int(f.name) for f in folders if f.name.isdigit()))

    def scene(self, scene_id: int) -> LinemodScene:
        """One video."""
        return LinemodScene(self.root / "data" / f"{scene_id:02d}", self.split)

    def object_ids(self) -> tuple[int, ...]:
        """Numbers of the dataset's objects, ascending."""
        return tuple(sorted(_table(self._info_path)))

    def targets(self, file: Path | None = None) -> tuple[BopTarget, ...]:
        """What has to be found: in each image of the split the object whose video it is."""
        if file is not None:
            raise DatasetError(f"--targets {file}: LINEMOD's lists of images are its targets")
        return tuple(
            BopTarget(scene_id, image_id, scene_id, 1)
            for scene_id in self.scene_ids()
            for image_id in self.scene(scene_id).image_ids
        )

    def model(self, obj_id: int) -> BopModel:
        """The evaluation model of an object."""
        where = f"{self._info_path}: object {obj_id}"
        info = value(self._info_path, _table(self._info_path), obj_id)
        diameter = float(numbers(f"{where}: diameter", value(where, info, "diameter"), ())) * 1e-3
        mesh = read_mesh(self._mesh_path(obj_id), units="mm")
        return BopModel(obj_id, mesh, diameter, self._symmetries(obj_id))

    def create_object(
        self,
        obj_id: int,
        out: Path,
        *,
        name: str | None = None,
        views: Mapping[str, Any] | None = None,
    ) -> RenderableObject:
        """Make an object file; see `BopDataset.create_object`."""
        return create_object(
            self._mesh_path(obj_id),
            units="mm",
            name=name or f"obj_{obj_id:06d}",
            out=out,
            symmetries=self._symmetries(obj_id).to_json(),
            views=views,
        )

    def _symmetries(self, obj_id: int) -> Symmetries:
        info = value(self._info_path, _table(self._info_path), obj_id)
        where = f"{self._info_path}: object {obj_id}"
        stated = any(str(key).startswith("symmetries") for key in info)
        if not stated and obj_id in _SYMMETRIC:
            info = {"symmetries_discrete": [_SYMMETRIC[obj_id]]}
        return bop_symmetries(where, info)

    @property
    def _info_path(self) -> Path:
        return self.root / "models" / "models_info.yml"

    def _mesh_path(self, obj_id: int) -> Path:
        path = self.root / "models" / f"obj_{obj_id:02d}.ply"
        if not path.exists():
            raise DatasetError(f"{path} does not exist; unpack {LINEMOD_SITE} completely")
        return path


def _table(path: Path) -> dict[int, Any]:
    """Reads a YAML table by number; the C parser, as folder 02's takes the other one a minute."""
    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; unpack {LINEMOD_SITE} completely") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        what = " ".join(str(error).split())
        raise DatasetError(f"{path}: cannot be read as YAML ({what}); unpack it again") from None
    if not isinstance(data, Mapping) or not all(isinstance(key, int) for key in data):
        raise DatasetError(f"{path}: not a table by number; it is not LINEMOD's {path.name}")
    return dict(data)
