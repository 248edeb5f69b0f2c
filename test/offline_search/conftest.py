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
