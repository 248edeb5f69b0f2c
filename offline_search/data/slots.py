# SPDX-License-Identifier: Apache-2.0
"""Numbered values on disk, each made once by whichever process first needs it.

What is in slot i must be a pure function of what the slots are described by, and of i; so it does
not matter who makes it, nor whether two do. A slot counts as done only after all of it is written:
a killed process leaves no half a value behind.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from fpg_pose_ros.errors import DatasetError

Columns = Mapping[str, tuple[type, tuple[int, ...]]]
"""Name, type and shape of each array of a slot."""
_READY: Final = "ready"


def cache_folder() -> Path:
    """Returns where renders are kept: FPG_POSE_CACHE or else ~/.cache/fpg_pose_ros."""
    named = os.environ.get("FPG_POSE_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(named) if named else Path(base) / "fpg_pose_ros"


class Slots:
    """`count` slots in memory-mapped files, one a column; see the module's docstring."""

    def __init__(
        self,
        path: Path | None,
        kind: str,
        described: Mapping[str, Any],
        count: int,
        columns: Columns,
    ) -> None:
        """Opens or makes the files; nothing is in them yet.

        Args:
            path: folder for caches, or None for `cache_folder()`.
            kind: of the values; its folder, and with `.json` the file that describes them.
            described: all that the values depend on.
            count: how many slots.
            columns: of each slot.

        Raises:
            DatasetError: the folder cannot be written.
        """
        self.count = count
        self._columns = {**columns, _READY: (np.uint8, ())}
        digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = (path or cache_folder()) / kind / digest
        self._maps: dict[str, NDArray[Any]] | None = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / f"{kind}.json").write_text(json.dumps(described, indent=1) + "\n")
            for name, (dtype, shape) in self._columns.items():
                with open(self.folder / f"{name}.bin", "ab") as file:
                    # sparse: takes room only as slots are filled
                    file.truncate(count * int(np.prod(shape)) * np.dtype(dtype).itemsize)
        except OSError as error:
            raise DatasetError(
                f"cache {self.folder} cannot be written ({error.strerror}); "
                "set FPG_POSE_CACHE to a folder with room"
            ) from None

    def __getstate__(self) -> dict[str, object]:
        """Maps are opened anew in every process."""
        return {**self.__dict__, "_maps": None}

    def _open(self) -> dict[str, NDArray[Any]]:
        if self._maps is None:
            self._maps = {
                name: np.memmap(
                    self.folder / f"{name}.bin", dtype, "r+", shape=(self.count, *shape)
                )
                for name, (dtype, shape) in self._columns.items()
            }
        return self._maps

    def ready(self) -> int:
        """Returns how many slots have been filled so far."""
        return int(np.count_nonzero(self._open()[_READY]))

    def holds(self, index: int) -> bool:
        """Returns whether slot `index` has been filled."""
        return bool(self._open()[_READY][index])

    def fill(self, index: int, values: Mapping[str, Any]) -> None:
        """Writes all columns of slot `index`."""
        maps = self._open()
        for name, value in values.items():
            maps[name][index] = value
        maps[_READY][index] = 1

    def read(self, index: int) -> dict[str, NDArray[Any]]:
        """Returns the columns of slot `index`, as views of the files."""
        if not 0 <= index < self.count:
            raise IndexError(f"slot {index} of {self.count}")
        maps = self._open()
        return {name: np.asarray(maps[name][index]) for name in maps if name != _READY}
