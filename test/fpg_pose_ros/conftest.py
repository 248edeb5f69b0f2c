# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fpg_pose_ros.bundle import Bundle, write_bundle

# For the modules that several tests share.
sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def cube_parts() -> tuple[dict[str, Any], dict[str, bytes]]:
    """Manifest and files of the cube's bundle; copy before changing."""
    import cube_world

    return cube_world.cube_manifest(), cube_world.cube_files()


@pytest.fixture(scope="session")
def cube_bundle(
    cube_parts: tuple[dict[str, Any], dict[str, bytes]], tmp_path_factory: pytest.TempPathFactory
) -> Bundle:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "cube", *cube_parts)


@pytest.fixture(scope="session")
def take_photograph() -> Callable[..., NDArray[np.uint8]]:
    """A function (camera, T_camera_object, ...) -> picture of cubes."""
    import cube_world

    return cube_world.photograph
