# SPDX-License-Identifier: Apache-2.0
"""The files that describe the package agree with the code and with each other."""

from __future__ import annotations

import ast
import os
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import fpg_pose_ros

ROOT = Path(fpg_pose_ros.__file__).resolve().parents[1]
LOCKS = ("dev", "ros")

#: Imported where they are found, and not asked of a user.
OPTIONAL_ROS_PACKAGES = {"vision_msgs"}
#: ROS packages whose name in package.xml is not that of the module.
DECLARED_AS = {"tf2_ros": "tf2_ros_py", "ament_index_python": "ament_index_python"}

if not (ROOT / "package.xml").is_file():
    pytest.skip("needs the source tree", allow_module_level=True)


def _declared() -> set[str]:
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    return {element.text or "" for element in package if element.tag.endswith("depend")}


def _imported_modules(path: Path) -> set[str]:
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {name.name.split(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            modules.add(node.module.split(".")[0])
    return modules


def _ros_code() -> list[Path]:
    nodes = sorted((ROOT / "fpg_pose_ros" / "nodes").rglob("*.py"))
    scripts = sorted(path for path in (ROOT / "scripts").iterdir() if path.is_file())
    return [*nodes, *scripts, *sorted((ROOT / "launch").glob("*.py"))]


def _pinned(lock: str) -> dict[str, str]:
    """Map each distribution that a lock file pins to the lines that belong to it."""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    blocks = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    pinned: dict[str, str] = {}
    for block in blocks:
        name = block.split("==")[0]
        pinned[name] = pinned.get(name, "") + block
    return pinned


def test_package_xml_and_the_python_package_have_the_same_version() -> None:
    version = ElementTree.parse(ROOT / "package.xml").getroot().findtext("version")
    assert version == fpg_pose_ros.__version__


def test_every_ros_package_that_the_nodes_import_is_declared() -> None:
    imported = set().union(*(_imported_modules(path) for path in _ros_code()))
    third_party = imported - sys.stdlib_module_names - {"fpg_pose_ros", "offline_search"}
    ros = {
        name
        for name in third_party
        if name.endswith(("_msgs", "_interfaces", "_srvs"))
        or name in {"rclpy", "cv_bridge", "launch", "launch_ros", *DECLARED_AS}
    }
    needed = {DECLARED_AS.get(name, name) for name in ros - OPTIONAL_ROS_PACKAGES}
    assert needed <= _declared()


def test_every_script_can_be_executed() -> None:
    for script in (ROOT / "scripts").iterdir():
        if script.is_file():
            assert os.access(script, os.X_OK), script.name
            assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env python3\n")


def test_no_package_is_named_like_what_rosidl_generates() -> None:
    for name in ("msg", "srv", "action"):
        assert not (ROOT / "fpg_pose_ros" / name).exists()


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_every_requirement_with_hashes(lock: str) -> None:
    pinned = _pinned(lock)
    assert all("==" in block and "--hash=sha256:" in block for block in pinned.values())
    sources = ["runtime", "train", "dev"] if lock == "dev" else [lock]
    for source in sources:
        for line in (ROOT / "requirements" / f"{source}.in").read_text("utf-8").splitlines():
            if line and not line.startswith(("#", "-r")):
                name = re.match(r"[\w.-]+", line).group().lower().replace("_", "-")  # type: ignore[union-attr]
                assert name in pinned, f"{line} of {source}.in: run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index(lock: str) -> None:
    text = (ROOT / "requirements" / f"{lock}.txt").read_text(encoding="utf-8")
    assert not re.search(r"https?://|file://|--(extra-)?index-url|--find-links", text)


def test_the_locks_pin_shared_packages_to_the_same_version() -> None:
    dev, ros = (_pinned(lock) for lock in LOCKS)
    versions = re.compile(r"==([^\s;]+)")
    for name in dev.keys() & ros.keys():
        assert set(versions.findall(ros[name])) <= set(versions.findall(dev[name])), name
