# SPDX-License-Identifier: Apache-2.0
"""What `--data` may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from fpg_pose_ros.errors import DatasetError
from offline_search.data.open_source import data_folder, pose_source
from offline_search.data.sources import RenderedPoses


def test_without_a_dataset_an_object_is_rendered(cache: Path) -> None:
    source = pose_source(["spot"], None, cache)
    assert isinstance(source, RenderedPoses)
    assert source.model.name == "spot"


def test_a_dataset_is_named_by_its_format_and_folder() -> None:
    assert data_folder("bop:/data/lmo", "bop") == ("bop", Path("/data/lmo"))
    assert data_folder("speed:C:/speed", "bop", "speed") == ("speed", Path("C:/speed"))


@pytest.mark.parametrize("data", ["/data/lmo", "bop:", "coco:/data", ""])
def test_another_form_is_refused_with_the_forms_that_are_known(data: str) -> None:
    with pytest.raises(DatasetError, match=rf"--data {data}: give bop:PATH, .* or speed:PATH"):
        pose_source(["5"], data)


@pytest.mark.parametrize("data", ["bop:", "speed:"])
def test_a_folder_that_is_not_there_is_named(data: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        pose_source(["5"], f"{data}{tmp_path / 'nowhere'}")


def test_one_object_is_needed() -> None:
    for names in ([], ["4", "5"]):
        with pytest.raises(DatasetError, match=f"one object, not for {len(names)}"):
            pose_source(names, "bop:/data/lmo")
