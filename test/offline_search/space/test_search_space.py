# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from offline_search.cli import app
from offline_search.space import Architecture, ArchitectureError, Head, cost
from offline_search.space.search_space import (
    SPACES,
    Point,
    SearchSpace,
    StageSpace,
    load_space,
)

MINI = SearchSpace(
    name="mini",
    input_sizes=(32, 64),
    stems=((4, 4), (8, 4)),
    stages=(StageSpace(2, 2, (8,)), StageSpace(1, 1, (8, 12))),
    operators=("sep_k3", "skip", "ghost_k3"),
    heads=(Head("heatmap", (8,), 1, mask=True), Head("simcc", (), 1)),
)
"""Every gene with a choice but one, and operators that keep the shape amid others."""
NECKED = replace(MINI, name="necked", necks=("none", "spp"))


def document(**changes: Any) -> dict[str, Any]:
    """`tiny` as its file has it, changed."""
    whole: dict[str, Any] = yaml.safe_load((SPACES / "tiny.yaml").read_text())
    return {**whole, **changes}


@st.composite
def any_point(draw: st.DrawFn, space: SearchSpace) -> Point:
    choices = (draw(st.integers(0, len(gene.choices) - 1)) for gene in space.genes)
    masks = (draw(st.integers(1, 2 ** len(slot.candidates) - 1)) for slot in space.slots)
    opened = (
        tuple(name for i, name in enumerate(slot.candidates) if mask >> i & 1)
        for slot, mask in zip(space.slots, masks, strict=True)
    )
    return Point(tuple(choices), tuple(opened))


def test_full_has_at_least_ten_to_the_92_architectures() -> None:
    assert load_space("full").size >= 10**92
    assert load_space("full").log10_size >= 92


@pytest.mark.parametrize(
    "space",
    [load_space("tiny"), load_space("table"), MINI, NECKED],
    ids=lambda space: space.name,
)
def test_the_size_is_the_number_of_different_architectures(space: SearchSpace) -> None:
    digests = [space.architecture(point, 3).digest for point in space.points()]
    assert len(digests) == len(set(digests)) == space.size


def test_the_size_by_hand() -> None:
    # sizes x stems x widths x heads, times non-empty subsets of 2, 3 and 2 candidates
    assert MINI.size == 2 * 2 * (1 * 2) * 2 * (3 * 7 * 3)


def test_what_keeps_the_shape_is_no_candidate_where_it_changes() -> None:
    assert [slot.candidates for slot in MINI.slots] == [
        ("sep_k3", "ghost_k3"),
        ("sep_k3", "skip", "ghost_k3"),
        ("sep_k3", "ghost_k3"),
    ]


@pytest.mark.parametrize("name", ["small", "tiny"])
def test_smaller_spaces_are_parts_of_full(name: str) -> None:
    full, part = load_space("full"), load_space(name)
    assert full.contains(part)
    assert part.contains(part)
    assert not part.contains(full)


def test_a_space_with_anything_more_is_no_part() -> None:
    first, second = MINI.stages
    for more in (
        replace(MINI, input_sizes=(32, 64, 96)),
        replace(MINI, stems=(*MINI.stems, (8, 8))),
        replace(MINI, operators=(*MINI.operators, "conv_k3")),
        replace(MINI, heads=(*MINI.heads, Head("simcc", (8,), 1))),
        replace(MINI, stages=(first, replace(second, widths=(8, 12, 16)))),
        replace(MINI, stages=(first, replace(second, layers=2))),
        replace(MINI, stages=(*MINI.stages, second)),
    ):
        assert not MINI.contains(more)
    assert not MINI.contains(replace(MINI, stages=(first, replace(second, stride=2))))
    # Layers can be left out only where they can be skipped.
    shorter = replace(MINI, stages=(replace(first, layers=1), second))
    assert MINI.contains(shorter)
    never = replace(MINI, operators=("sep_k3", "ghost_k3"))
    assert not never.contains(replace(shorter, operators=never.operators))


def test_a_network_of_tiny_is_one_of_full_whose_last_layers_are_skipped() -> None:
    full, tiny = load_space("full"), load_space("tiny")
    for point in random.Random(0).sample(list(tiny.points()), 20):
        network = tiny.architecture(point, 9)
        stages = tuple(
            replace(ours, layers=ours.layers + (("skip",),) * (theirs.layers - len(ours.layers)))
            for ours, theirs in zip(network.stages, full.stages, strict=True)
        )
        longer = replace(network, stages=stages)
        assert full.architecture(full.point(longer), 9) == longer
        assert cost(longer) == cost(network)


@pytest.mark.parametrize("name", ["full", "small"])
@settings(max_examples=30)
@given(data=st.data())
def test_every_point_is_found_back_from_its_architecture(name: str, data: st.DataObject) -> None:
    space = load_space(name)
    point = data.draw(any_point(space))
    architecture = space.architecture(point, 7)
    assert architecture.head.outputs == 7
    assert space.point(architecture) == point
    assert space.point(Architecture.from_json(architecture.to_json())) == point


def test_a_gene_of_keypoints_is_how_many_of_the_objects_a_network_finds() -> None:
    space = replace(MINI, name="few", keypoints=(4, 6))
    assert space.genes[-1].choices == (4, 6)
    assert space.size == 2 * MINI.size
    for point in random.Random(0).sample(list(space.points()), 20):
        architecture = space.architecture(point, 9)
        assert architecture.head.outputs == space.keypoints[point.choices[-1]]
        assert space.point(architecture) == point
    most = next(point for point in space.points() if point.choices[-1] == 1)
    with pytest.raises(ArchitectureError, match=r"networks of 6 keypoints .* this one has 5"):
        space.architecture(most, 5)
    other = MINI.architecture(next(MINI.points()), 5)
    with pytest.raises(ArchitectureError, match="not of the space few"):
        space.point(other)


def test_the_order_of_a_layers_operators_makes_no_other_point() -> None:
    opened = (("sep_k3", "ghost_k3"), ("skip", "ghost_k3"), ("sep_k3",))
    architecture = MINI.architecture(Point((0,) * 5, opened), 3)
    turned = tuple(
        replace(stage, layers=tuple(layer[::-1] for layer in stage.layers))
        for stage in architecture.stages
    )
    assert MINI.point(replace(architecture, stages=turned)).opened == opened


def test_what_is_not_of_the_space_has_no_point() -> None:
    architecture = MINI.architecture(next(MINI.points()), 3)
    first, second = architecture.stages
    for other in (
        replace(architecture, input_size=(96, 96)),
        replace(architecture, input_size=(32, 64)),
        replace(architecture, turns=4),
        replace(architecture, stem_width=16),
        replace(architecture, head=replace(architecture.head, sic=False)),
        replace(architecture, stages=(first,)),
        replace(architecture, stages=(replace(first, width=16), second)),
        replace(architecture, stages=(first, replace(second, stride=2))),
        replace(architecture, stages=(first, replace(second, layers=(("conv_k3",),)))),
        # As many layers as there are slots, but not as many in each stage.
        replace(
            architecture,
            stages=(replace(first, layers=first.layers[:1]), replace(second, layers=first.layers)),
        ),
    ):
        with pytest.raises(ArchitectureError, match="not of the space mini"):
            MINI.point(other)
    with pytest.raises(ArchitectureError, match="not of the space tiny"):
        load_space("tiny").architecture(MINI.point(architecture), 3)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"input_sizes": []}, "input_size needs different values"),
        ({"stems": []}, "stem needs different values"),
        ({"heads": []}, "head needs different values"),
        ({"input_sizes": [64, 64]}, "input_size needs different values"),
        ({"stages": [{"stride": 2, "layers": 1, "widths": []}]}, "width_0 needs different values"),
        ({"operators": ["sep_k3", "warp"]}, "unknown operator 'warp'"),
        ({"operators": ["sep_k3", "skip", "sep_k3"]}, "operators needs different values"),
        ({"operators": ["skip"]}, "an operator"),
        ({"operators": []}, "an operator"),
        ({"stages": []}, "needs a stage"),
        ({"stages": [{"stride": 2, "layers": 0, "widths": [8]}]}, "at least one layer|a stage"),
        ({"stages": [{"stride": 3, "layers": 1, "widths": [8]}]}, "stride"),
        ({"stages": [{"stride": 2, "layers": 1}]}, "widths"),
        ({"input_sizes": [60]}, "input_size"),
        ({"heads": [{"kind": "crystal", "width": [8]}]}, "crystal"),
        ({"necks": ["giraffe"]}, "unknown neck 'giraffe'"),
        ({"necks": ["spp", "spp"]}, "neck needs different values"),
        (
            {"heads": [{"kind": "heatmap", "width": [8], "neck": "spp"}], "necks": ["none"]},
            "not both",
        ),
        ({"heads": [{"kind": "heatmap"}]}, "width"),
        ({"stems": [8]}, "describes no search space"),
    ],
)
def test_a_space_that_cannot_be_is_refused_naming_the_part(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document(**changes)))
    with pytest.raises(ArchitectureError, match=named):
        load_space(path)


@pytest.mark.parametrize("text", ["input_sizes: [64", "- 1\n- 2", "", "tiny", "stems: []"])
def test_a_file_that_is_no_space_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ArchitectureError, match=r"mine\.yaml: describes no search space"):
        load_space(path)
    with pytest.raises(ArchitectureError, match=r"none\.yaml"):
        load_space(tmp_path / "none.yaml")


def test_an_unknown_name_is_answered_with_those_that_there_are() -> None:
    known = "efficientpose, fabric, fabric_tiny, full, small"
    with pytest.raises(ArchitectureError, match=f"unknown search space huge; there are {known}"):
        load_space("huge")


def test_a_space_of_ones_own_is_loaded_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document(input_sizes=[32, 64])))
    space = load_space(path)
    assert space.name == "mine"
    assert space.size == 2 * load_space("tiny").size
    assert space.largest_input == 64


def test_the_command_describes_a_space() -> None:
    result = CliRunner().invoke(app, ["space", "--json"])
    assert result.exit_code == 0
    described, space = json.loads(result.stdout), load_space("full")
    assert described["name"] == "full"
    assert described["log10_size"] >= 92
    assert int(described["size"]) == space.size
    assert described["layers"] == len(described["slots"]) == len(space.slots)
    assert [gene["name"] for gene in described["genes"]] == [gene.name for gene in space.genes]
    assert [len(gene["choices"]) for gene in described["genes"]] == [
        len(gene.choices) for gene in space.genes
    ]
    text = CliRunner().invoke(app, ["space", "--name", "tiny"]).stdout
    assert "tiny: 10^2.6 architectures" in text
    assert "stage 1, layer 1: any of mb_k3_e3, sep_k3, skip" in text
    refused = CliRunner().invoke(app, ["space", "--name", "huge"])
    assert refused.exit_code == 2
