# SPDX-License-Identifier: Apache-2.0
"""Fields of a dataset's JSON files, checked: what is wrong is said with its place and a remedy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fpg_pose_ros.errors import DatasetError
from fpg_pose_ros.geometry import Array


def read_json(path: Path, origin: str) -> Any:
    """Read a JSON file; `origin` says in the error of a missing one what it is a part of.

    Raises:
        DatasetError: it is missing or not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DatasetError(f"{path} does not exist; unpack {origin} completely") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read as JSON ({error}); unpack it again") from None


def value(where: Path | str, item: Any, *keys: str | int) -> Any:
    """The value of the first of `keys` that `item` has.

    Raises:
        DatasetError: `item` is no table or has none of them.
    """
    for key in keys:
        if isinstance(item, Mapping) and key in item:
            return item[key]
    names = " or ".join(map(str, keys))
    raise DatasetError(f"{where}: lacks the key {names}; the file is another one or damaged")


def numbers(where: Path | str, item: Any, shape: tuple[int, ...]) -> Array:
    """An array of finite numbers of this shape, in which -1 stands for any size; may come flat.

    Raises:
        DatasetError: it is something else.
    """
    try:
        array = np.asarray(item, dtype=np.float64)
        if array.ndim == 1 and -1 not in shape:
            array = array.reshape(shape)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    fits = array.ndim == len(shape) and all(
        want in (-1, size) for want, size in zip(shape, array.shape, strict=True)
    )
    if not fits or not np.isfinite(array).all():
        raise DatasetError(f"{where}: {str(item)[:60]} is not {shape or 1} finite numbers")
    return array
