# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from offline_search.latency import LatencyMeter
from offline_search.space.search_space import SearchSpace, load_space


@pytest.fixture(scope="package")
def space() -> SearchSpace:
    """Of few parts, so that they are measured in seconds."""
    return replace(load_space("tiny"), operators=("sep_k3", "skip"))


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory, space: SearchSpace) -> Path:
    """A cache that holds the space's parts. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("cache")
    LatencyMeter(folder).prepare(space)
    return folder
