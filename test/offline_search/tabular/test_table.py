# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from made_table import SHORT_IMAGES, by_size, made_search, made_table

from offline_search.space.search_space import load_space
from offline_search.tabular.table import Table, TableError, read_table, write_table


def test_the_space_holds_what_can_be_spelt_by_hand() -> None:
    layer = [("mb_k5_e3",), ("conv_k3",), ("mb_k5_e3", "conv_k3")]
    by_hand = set(product((24, 40), (48, 80), layer, layer, layer, layer))
    space = load_space("table")
    listed = [space.architecture(point, 16) for point in space.points()]
    spelt = {(one.stages[1].width, one.stages[2].width, *one.layers) for one in listed}
    assert len(by_hand) == len(listed) == space.size == 324
    assert spelt == by_hand


def test_a_table_is_read_as_it_was_written_and_written_alike(tmp_path: Path) -> None:
    best, *others = by_size()
    table = made_table(made_search("fpg", 20, 1.0, best, others[:3]), noise=0.01)
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    write_table(first, table)
    write_table(second, read_table(first))
    assert read_table(first) == table
    assert first.read_bytes() == second.read_bytes()


def _without_a_network(table: Table) -> Table:
    return replace(table, networks=table.networks[1:])


def _without_a_training(table: Table) -> Table:
    return replace(table, trainings=table.trainings[1:])


def _without_a_short_training(table: Table) -> Table:
    first = next(one for one in table.trainings if one.images == SHORT_IMAGES)
    kept = [
        one for one in table.trainings if (one.network, one.images) != (first.network, SHORT_IMAGES)
    ]
    return replace(table, trainings=tuple(kept))


def _with_an_unknown_network(table: Table) -> Table:
    unknown = replace(by_size()[0], digest="f" * 64)
    return replace(table, searches=(made_search("fpg", 20, 1.0, unknown),))


def _of_another_keypoint_count(table: Table) -> Table:
    return replace(table, about=replace(table.about, outputs=6))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_without_a_network, "323 networks"),
        (_without_a_training, "1 of 324 networks lack trainings of 800 images"),
        (_without_a_short_training, "1 of 27 networks lack trainings of 200 images"),
        (_with_an_unknown_network, "ffffffffffff"),
        (_of_another_keypoint_count, "not all 324"),
    ],
)
def test_a_table_with_something_missing_is_refused(
    tmp_path: Path, spoil: Callable[[Table], Table], words: str
) -> None:
    write_table(tmp_path / "table.gz", spoil(made_table()))
    with pytest.raises(TableError, match=words):
        read_table(tmp_path / "table.gz")


@pytest.mark.parametrize(
    "content",
    # Named, for what gzip writes holds the time, and processes that share the tests compare names.
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"no gzip", id="no gzip"),
        pytest.param(gzip.compress(b"[]\n"), id="list"),
        pytest.param(gzip.compress(b"{}\n"), id="no kind"),
        pytest.param(
            gzip.compress(json.dumps({"kind": "table", "version": 1, "object": 3}).encode()),
            id="fields of another type",
        ),
    ],
)
def test_a_file_that_is_no_table_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "table.gz").write_bytes(content)
    with pytest.raises(TableError, match="is no table"):
        read_table(tmp_path / "table.gz")


def test_a_cut_off_table_and_a_missing_one_are_refused(tmp_path: Path) -> None:
    write_table(tmp_path / "table.gz", made_table())
    (tmp_path / "cut.gz").write_bytes((tmp_path / "table.gz").read_bytes()[:-200])
    for name in ("cut.gz", "missing.gz"):
        with pytest.raises(TableError, match="is no table"):
            read_table(tmp_path / name)


def test_a_table_of_a_later_version_is_refused(tmp_path: Path) -> None:
    line = json.dumps({"kind": "table", "version": 2}).encode()
    (tmp_path / "table.gz").write_bytes(gzip.compress(line))
    with pytest.raises(TableError, match="version 2, this program reads 1"):
        read_table(tmp_path / "table.gz")
