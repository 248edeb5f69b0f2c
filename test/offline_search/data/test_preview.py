# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fpg_pose_ros.errors import DatasetError, MeshError
from offline_search.data.preview import contact_sheet, preview


@pytest.mark.parametrize("kind", ["pose", "locator", "live"])
def test_a_sheet_of_labelled_samples_is_written(kind: str, tmp_path: Path, cache: Path) -> None:
    out = tmp_path / "sheets" / "sheet.png"
    assert preview(["spot"], out, kind=kind, count=3, cache=cache) == out  # type: ignore[arg-type]
    image = cv2.imread(str(out))
    heights = {"pose": 130, "locator": 170, "live": 242}
    assert image.shape[0] == heights[kind]
    # the labels are drawn: pixels of the first part's or class's colour
    assert (np.abs(image[..., ::-1].astype(int) - (66, 214, 98)).max(axis=2) < 60).any()


def test_the_same_preview_is_the_same_picture(tmp_path: Path, cache: Path) -> None:
    a = preview(["spot"], tmp_path / "a.png", count=2, cache=cache)
    b = preview(["spot"], tmp_path / "b.png", count=2, cache=cache)
    assert a.read_bytes() == b.read_bytes()


def test_a_sheet_has_rows() -> None:
    tiles = [np.full((10, 18, 3), value, dtype=np.uint8) for value in range(1, 6)]
    sheet = contact_sheet(tiles, width=60)
    assert sheet.shape == (24, 60, 3)
    assert sheet[13, 25, 0] == 5


def test_a_preview_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="at least one"):
        preview(["spot"], tmp_path / "a.png", count=0)
    with pytest.raises(DatasetError, match="needs one object, not 2"):
        preview(["spot", "spot"], tmp_path / "a.png")
    with pytest.raises(MeshError, match="object nix"):
        preview(["nix"], tmp_path / "a.png")


def test_a_file_of_an_unknown_kind_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(DatasetError, match=r"name a \.png or \.jpg file"):
        preview(["spot"], tmp_path / "a.nothing", count=1, cache=cache)
