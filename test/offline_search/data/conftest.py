# SPDX-License-Identifier: Apache-2.0
"""What the tests of data share: Spot, and a place for layers that all of them may use."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import pytest

from offline_search.data.objects import RenderableObject, Views, load_object


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    cv2.setNumThreads(0)


@pytest.fixture(scope="session")
def spot() -> RenderableObject:
    """Spot, seen from anywhere, whatever views its file is limited to."""
    return dataclasses.replace(load_object("spot"), views=Views(distance_m=(0.45, 1.2)))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("layers")
