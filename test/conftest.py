# SPDX-License-Identifier: Apache-2.0
"""What every test shares: the place of external data, the ROS and slow markers, repeatability."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# Several threads help on an idle machine and hurt several-fold on a busy one.
# Set before numpy and torch are imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.load_profile("repeatable")

#: Set where skipping a test that needs ROS would hide that nothing was tested.
REQUIRE_ROS = os.environ.get("FPG_POSE_REQUIRE_ROS") == "1"


def _why_no_ros() -> str | None:
    """Say what of a ROS 2 environment is missing, or None."""
    for module in ("rclpy", "fpg_pose_ros.msg", "tf2_msgs.msg"):
        try:
            importlib.import_module(module)
        except ImportError as error:
            why = str(error).splitlines()[0]
            return f"no ROS 2 environment ({why}): run `make build`, then `. tools/ros_env.sh`"
    return None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests marked slow too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--slow"):
        skip_slow = pytest.mark.skip(reason="slow: runs with --slow")
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(skip_slow)
    if any(item.get_closest_marker("ros") for item in items) and (reason := _why_no_ros()):
        if REQUIRE_ROS:
            raise pytest.UsageError(f"FPG_POSE_REQUIRE_ROS is set, but there is {reason}")
        skip_ros = pytest.mark.skip(reason=reason)
        for item in items:
            if item.get_closest_marker("ros"):
                item.add_marker(skip_ros)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Turn the skip of a ROS test into a failure where such tests are required."""
    report = yield
    if REQUIRE_ROS and report.skipped and _must_run(item):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, while FPG_POSE_REQUIRE_ROS is set"
    return report


def _must_run(item: pytest.Item) -> bool:
    slow = item.get_closest_marker("slow") and not item.config.getoption("--slow")
    return item.get_closest_marker("ros") is not None and not slow


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that has collected no ROS test at all where such tests are required."""
    if REQUIRE_ROS and not any(_must_run(item) for item in session.items):
        print("\nFPG_POSE_REQUIRE_ROS is set, but no test that needs ROS was found")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(scope="session", autouse=True)
def own_ros_domain() -> Iterator[None]:
    """Keep the tests' topics apart from those of other processes on this machine and network."""
    with contextlib.ExitStack() as stack:
        if "ROS_DOMAIN_ID" not in os.environ:
            with contextlib.suppress(ImportError):
                import domain_coordinator

                domain = stack.enter_context(domain_coordinator.domain_id())
                os.environ["ROS_DOMAIN_ID"] = str(domain)
                stack.callback(os.environ.pop, "ROS_DOMAIN_ID", None)
        yield


@pytest.fixture(scope="session")
def pose_data() -> Path:
    """Folder with the external data: `lmo/`, `speed/` and `meshes/`."""
    folder = os.environ.get("FPG_POSE_DATA")
    if not folder:
        pytest.skip("FPG_POSE_DATA is not set: it names the folder with LM-O, SPEED and meshes")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"FPG_POSE_DATA names {folder}, which is no folder")
    return path
