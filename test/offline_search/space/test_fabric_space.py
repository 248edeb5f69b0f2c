# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from offline_search.space import ArchitectureError
from offline_search.space.fabric_space import FabricSpace
from offline_search.space.presets import preset
from offline_search.space.search_space import Point, SearchSpace, load_space

ENTRY = {"backbone": "small", "input_size": 64, "depth": 5, "cut": 3, "widths": [4, 8]}


def written(folder: Path, **changes: object) -> SearchSpace:
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"fabric": {**ENTRY, **changes}}))
    return load_space(path)


@pytest.mark.parametrize("name", ["fabric", "fabric_tiny"])
def test_every_point_is_an_architecture_and_back(name: str) -> None:
    space = load_space(name)
    assert isinstance(space, FabricSpace)
    space = replace(space, parts=(("a", (0, 1)), ("b", (1, 2))))
    opened = tuple(slot.candidates[-1:] for slot in space.slots)
    architecture = space.architecture(Point((1,), opened), 3)
    assert space.point(architecture) == Point((1,), opened)
    assert architecture.fabric.width == space.widths[1]
    for other in (replace(space, parts=()), load_space("tiny"), replace(space, vector=2)):
        with pytest.raises(ArchitectureError, match="not of the space"):
            other.point(architecture)
    with pytest.raises(ArchitectureError, match="not of the space"):
        space.architecture(Point((0,), opened[1:]), 3)
    with pytest.raises(ArchitectureError, match="not of the space"):
        space.point(preset("small", 3))


def test_a_spaces_size_counts_what_may_be_kept_of_each_cell(tmp_path: Path) -> None:
    space = written(tmp_path)
    # Three cells of two, three and two connections, three operations each, two widths.
    assert space.size == 2 * (3 * 7) * (7 * 7) * (3 * 7)
    assert replace(space, parts=(("a", (0,)), ("b", (0,)))).size == space.size**2 // 2


def test_the_backbone_is_a_preset_or_what_a_search_left(tmp_path: Path) -> None:
    small = replace(preset("small", 4), input_size=(64, 64))
    document = {"architecture": small.to_json(), "macs": 1}
    (tmp_path / "architecture.json").write_text(json.dumps(document))
    spaces = (written(tmp_path), written(tmp_path, backbone="architecture.json"))
    networks = [space.architecture(Point((0,), everything(space)), 4) for space in spaces]
    assert networks[0] == networks[1]
    assert networks[0].stages == small.stages
    assert networks[0].input_size == (64, 64)


def everything(space: SearchSpace) -> tuple[tuple[str, ...], ...]:
    return tuple(slot.candidates for slot in space.slots)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"backbone": "castle"}, "castle"),
        ({"backbone": "none.json"}, "describes no search space"),
        ({"widths": []}, "widths"),
        ({"widths": [8, 4]}, "widths"),
        ({"cut": 5}, "cut < depth"),
        ({"input_size": 40}, "multiples"),
        ({"colour": "red"}, "describes no search space"),
        ({"vector": -1}, "vector"),
    ],
)
def test_what_is_no_space_of_fabrics_is_refused(
    tmp_path: Path, changes: dict[str, object], named: str
) -> None:
    with pytest.raises(ArchitectureError, match=named):
        written(tmp_path, **changes)
