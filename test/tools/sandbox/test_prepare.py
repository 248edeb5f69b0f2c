# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import sysconfig
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BUILDER_LINES = """
set(_include "/opt/python/cp311-cp311/include/python3.11")
set(_numpy "/opt/python/cp311-cp311/lib/python3.11/site-packages/numpy/_core/include;/usr/include")
"""


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    path = Path(__file__).resolve().parents[3] / "tools" / "sandbox" / "prepare.py"
    spec = importlib.util.spec_from_file_location("prepare", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_builders_header_folders_become_this_environments(
    prepare: ModuleType, tmp_path: Path
) -> None:
    export = tmp_path / "std_msgs" / "cmake" / "export.cmake"
    export.parent.mkdir(parents=True)
    export.write_text(BUILDER_LINES)
    other = tmp_path / "other.cmake"
    other.write_text("project(other)\n")

    assert prepare.point_cmake_to_this_environment(tmp_path) == 1
    text = export.read_text()
    assert f'"{sysconfig.get_paths()["include"]}"' in text
    assert f'"{np.get_include()};/usr/include"' in text
    assert other.read_text() == "project(other)\n"


def test_preparing_twice_changes_nothing_more(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "export.cmake").write_text(BUILDER_LINES)
    vendored = tmp_path / "ros_rcl.libs" / "libtiny.so"
    vendored.parent.mkdir()
    vendored.write_bytes(b"\x7fELF")
    (tmp_path / "scipy.libs").mkdir()
    (tmp_path / "scipy.libs" / "libother.so").write_bytes(b"\x7fELF")
    lib = tmp_path / "lib"
    lib.mkdir()

    assert prepare.point_cmake_to_this_environment(tmp_path) == 1
    assert prepare.link_vendored_libraries(tmp_path, lib) == 1
    assert prepare.point_cmake_to_this_environment(tmp_path) == 0
    assert prepare.link_vendored_libraries(tmp_path, lib) == 0
    assert [path.name for path in lib.iterdir()] == ["libtiny.so"]
    assert (lib / "libtiny.so").resolve() == vendored.resolve()
