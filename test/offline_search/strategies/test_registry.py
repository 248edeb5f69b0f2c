# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from pkgutil import iter_modules

import pytest

from offline_search import strategies as package
from offline_search.search_stages import check
from offline_search.space.meter import MacsMeter
from offline_search.space.search_space import load_space
from offline_search.strategies.problem import Budget, SearchError
from offline_search.strategies.registry import (
    Entry,
    check_space,
    default_strategy,
    make_strategy,
    strategies,
)


@pytest.mark.parametrize("entry", strategies(), ids=lambda entry: entry.name)
def test_every_strategy_has_a_paper_and_a_line_about_itself(entry: Entry) -> None:
    assert "arXiv" in entry.paper
    assert entry.summary
    assert "\n" not in entry.summary
    assert callable(make_strategy(entry.name, {}).search)


def test_the_strategies_are_found_by_their_files() -> None:
    names = [entry.name for entry in strategies()]
    assert names == sorted(names)
    assert {"fpg", "random"} <= set(names)
    # One file a strategy: no two come out of the same.
    files = [entry.make.__module__ for entry in strategies()]
    assert len(set(files)) == len(files)
    held = {module.name for module in iter_modules([str(Path(package.__file__).parent)])}
    assert {file.rpartition(".")[2] for file in files} <= held


def test_an_unknown_strategy_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(SearchError, match=r"unknown strategy 'luck'; there are .*fpg.*random"):
        make_strategy("luck", {})


@pytest.mark.parametrize("entry", strategies(), ids=lambda entry: entry.name)
def test_an_unknown_setting_is_named_with_its_strategy(entry: Entry) -> None:
    with pytest.raises(SearchError, match=rf"strategy {entry.name}: .*'colour'"):
        make_strategy(entry.name, {"colour": "red"})


@pytest.mark.parametrize("entry", strategies(), ids=lambda entry: entry.name)
def test_numbers_of_keypoints_are_compared_by_sm_nas_alone(entry: Entry) -> None:
    space = load_space("structures")
    if entry.name == "sm_nas":
        check_space(entry.name, space)
        return
    with pytest.raises(SearchError, match="sm_nas"):
        check_space(entry.name, space)
    if entry.kind == "layers":
        with pytest.raises(SearchError, match="use --strategy sm_nas, or take `keypoints` out"):
            check_space(entry.name, space)
        check_space(entry.name, replace(space, keypoints=()))


def test_a_space_of_more_keypoints_than_the_object_has_is_refused_at_once() -> None:
    space, budget = load_space("structures"), Budget(30e6, MacsMeter())
    assert default_strategy(space) == "sm_nas"
    check(space, 16, budget, "sm_nas", {}, 0)
    for outputs, few in ((11, "12, 16"), (5, "8, 12, 16")):
        with pytest.raises(SearchError, match=rf"{few} keypoints, and of an object of {outputs} "):
            check(space, outputs, budget, "sm_nas", {}, 0)
