# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def layer_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of rendered layers, shared by all tests that train."""
    return tmp_path_factory.mktemp("layers")


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory: pytest.TempPathFactory, layer_cache: Path) -> Path:
    """Folder of a whole pipeline run: real, but far too short to learn anything."""
    from offline_search.pipeline import Request, pipeline

    out = tmp_path_factory.mktemp("tiny_run")
    request = Request(
        objects=("spot",),
        images=16,
        locator_images=16,
        architecture="demo",
        layers=8,
        frames=2,
        settings={"batch": 8, "workers": 0, "validation": 4, "validations": 0},
    )
    pipeline(request, out, jobs=2, cache=layer_cache, command="fpg-pose pipeline --tiny")
    return out


@pytest.fixture(scope="session")
def searched_run(tmp_path_factory: pytest.TempPathFactory, layer_cache: Path) -> Path:
    """The same, with a pose network that was searched for."""
    from offline_search.pipeline import Request, pipeline

    out = tmp_path_factory.mktemp("searched_run")
    request = Request(
        objects=("spot",),
        images=16,
        locator_images=16,
        budget_macs=2_900_000,
        space="tiny",
        strategy="random",
        strategy_settings={"trials": 1},
        search_images=16,
        layers=8,
        frames=2,
        settings={"batch": 8, "workers": 0, "validation": 4, "validations": 0, "layer_px": 64},
    )
    pipeline(request, out, jobs=2, cache=layer_cache, command="fpg-pose pipeline --searched")
    return out
