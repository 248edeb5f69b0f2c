# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from dataclasses import replace

import pytest

from offline_search.space import Architecture, ArchitectureError, Head, Stage
from offline_search.space.presets import PRESETS, preset


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_json_and_back_is_the_same_architecture(name: str) -> None:
    architecture = preset(name, 9)
    document = json.loads(json.dumps(architecture.to_json()))
    assert Architecture.from_json(document) == architecture
    assert Architecture.from_json(document).digest == architecture.digest


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    architecture = preset("demo", 16)
    document = dict(reversed(list(architecture.to_json().items())))
    assert Architecture.from_json(document).digest == architecture.digest


def test_the_digest_changes_with_every_field() -> None:
    a = preset("demo", 16)
    variants = [
        a,
        replace(a, input_size=(64, 64)),
        replace(a, stem_width=8),
        replace(a, stem_out=8),
        replace(a, turns=4),
        replace(a, stages=a.stages[:-1]),
        replace(a, head=replace(a.head, sic=False)),
        replace(a, head=replace(a.head, outputs=5)),
        replace(a, head=replace(a.head, mask=not a.head.mask)),
        replace(a, head=Head("simcc", (), 16)),
        replace(a, head=Head("simcc", (), 16, bins_per_pixel=3)),
    ]
    assert len({variant.digest for variant in variants}) == len(variants)


def test_the_digest_is_the_same_on_every_machine() -> None:
    stage = Stage(8, 2, (("mb_k3_e3", "sep_k3"),))
    architecture = Architecture((32, 64), 4, 8, (stage,), Head("heatmap", (8,), 3))
    assert architecture.digest == "5ec9bcf4ded59fc3276b82ee2b8518aaa45fe9224c4e9712fa14768b544fc996"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"input_size": [130, 128]}, "input_size"),
        ({"stem_width": 0}, "stem_width"),
        ({"stem_out": 2.5}, "stem_out"),
        ({"stages": [{"width": 8, "stride": 3, "layers": [["sep_k3"]]}]}, "stride"),
        ({"stages": [{"width": 8, "stride": 2, "layers": [[]]}]}, "at least one operator"),
        ({"stages": [{"width": 8, "stride": 2, "layers": []}]}, "at least one layer"),
        ({"stages": [{"width": 8, "stride": 2, "layers": [["sep_k3"] * 2]}]}, "twice"),
        ({"stages": [{"width": 8}]}, "expected form"),
        ({"unknown": 1}, "expected form"),
    ],
)
def test_a_document_that_cannot_be_built_is_refused_naming_the_part(
    change: dict[str, object], named: str
) -> None:
    with pytest.raises(ArchitectureError, match=named):
        Architecture.from_json({**preset("demo", 16).to_json(), **change})


def test_map_sizes_follow_from_strides() -> None:
    assert preset("small", 16).map_size == (32, 32)
    assert preset("small", 16).output_stride == 4
    locator = preset("locator", 2)
    height, width = locator.input_size
    assert locator.output_stride == 8
    assert locator.map_size == (height // 8, width // 8)
    simcc = replace(preset("small", 16), head=Head("simcc", (), 16, bins_per_pixel=3))
    assert simcc.map_size == (384, 384)
    assert simcc.output_stride == pytest.approx(1 / 3)
