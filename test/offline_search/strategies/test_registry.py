# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from pkgutil import iter_modules

import pytest

from offline_search import strategies as package
from offline_search.strategies.problem import SearchError
from offline_search.strategies.registry import Entry, make_strategy, strategies


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
