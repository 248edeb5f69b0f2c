# SPDX-License-Identifier: Apache-2.0
"""Make the ROS 2 wheels of a virtual environment usable as an ament prefix.

Run once after installing `requirements/ros.txt`, by the interpreter of that environment. Running it
again changes nothing. The wheels come as their builder left them, which needs three corrections:

* Their exported CMake files name the builder's own Python and NumPy headers; they are pointed to
  this environment's.
* Their vendored shared libraries lie in one folder a wheel; they are linked into `lib`, which then
  is the only folder that has to be on `LD_LIBRARY_PATH`.
* A `.pth` file of theirs executes every Python process of the environment a second time, to set
  `LD_LIBRARY_PATH`. `tools/ros_env.sh` sets it once instead, so the file goes.
"""

from __future__ import annotations

import argparse
import platform
import re
import shutil
import sys
import sysconfig
from pathlib import Path

import numpy as np

BUILDER_PYTHON = re.compile(r"/opt/python/[\w.-]+/include/python3\.\d+t?")
BUILDER_NUMPY = re.compile(
    r"/opt/python/[\w.-]+/lib/python3\.\d+t?/site-packages/numpy/_?core/include"
)


def point_cmake_to_this_environment(share: Path) -> int:
    """Rewrite header folders in the CMake files under `share`; return how many files changed."""
    changed = 0
    for path in share.rglob("*.cmake"):
        text = path.read_text(encoding="utf-8")
        fixed = BUILDER_PYTHON.sub(sysconfig.get_paths()["include"], text)
        fixed = BUILDER_NUMPY.sub(np.get_include(), fixed)
        if fixed != text:
            path.write_text(fixed, encoding="utf-8")
            changed += 1
    return changed


def link_vendored_libraries(site_packages: Path, lib: Path) -> int:
    """Link the libraries in the ROS wheels' own folders into `lib`; return how many were linked."""
    made = 0
    for library in sorted(site_packages.glob("ros_*.libs/*")):
        link = lib / library.name
        if not link.exists():
            link.symlink_to(library)
            made += 1
    return made


def what_is_missing() -> str | None:
    """Say why the wheels cannot serve on this machine and what to do about it, or None."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return "there are wheels for Linux on x86-64 only: install ROS 2 Jazzy and source it"
    if not (3, 10) <= sys.version_info[:2] <= (3, 13):
        return "there are wheels for Python 3.10 to 3.13 only: make PYTHON=python3.12"
    if not Path(sysconfig.get_paths()["include"], "Python.h").is_file():
        return "building messages needs Python's headers: apt install python3-dev"
    if not (shutil.which("c++") and shutil.which("cc")):
        return "building messages needs a C++ compiler: apt install g++"
    return None


def main() -> None:
    """Correct the running interpreter's environment; with --check, say whether it can serve."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="change nothing; fail if it cannot work"
    )
    arguments = parser.parse_args()
    if missing := what_is_missing():
        sys.exit(f"ROS 2 sandbox: {missing}")
    if arguments.check:
        return
    if sys.prefix == sys.base_prefix:
        sys.exit("ROS 2 sandbox: run prepare.py with the python of the virtual environment")
    prefix = Path(sys.prefix)
    site_packages = Path(sysconfig.get_paths()["platlib"])
    patched = point_cmake_to_this_environment(prefix / "share")
    linked = link_vendored_libraries(site_packages, prefix / "lib")
    (site_packages / "ros_wheels_bootstrapper.pth").unlink(missing_ok=True)
    print(f"ROS 2 sandbox: {patched} CMake files corrected, {linked} libraries linked")


if __name__ == "__main__":
    main()
