# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest

from offline_search.demo import DemoError, DemoRequest, demo
from offline_search.pipeline import Request
from offline_search.ros_programs import RosMissingError

ROOT = Path(__file__).parents[2]
FIGURES = (
    "frames_published",
    "frames_received",
    "poses",
    "add01",
    "rotation_deg_median",
    "translation_mm_median",
    "latency_ms_p50",
    "latency_ms_p99",
    "macs",
)


@pytest.fixture
def bundle(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy, so that the programs that run with it can be told by its path."""
    return Path(shutil.copytree(tiny_run / "bundle", tmp_path / "bundle"))


def programs_of(folder: Path) -> list[str]:
    """Command lines of the nodes that run with a folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if "scripts/" in line and str(folder) in line:
            found.append(line)
    return found


def test_too_short_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match="seconds"):
        demo(DemoRequest(out=tmp_path, seconds=0.1))


def test_a_bundle_without_the_object_is_refused(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    text = (ROOT / "objects" / "spot.yaml").read_text()
    mesh = ROOT / "objects" / "spot" / "spot_triangulated.obj"
    text = text.replace("name: spot", "name: other").replace(
        "mesh: spot/spot_triangulated.obj", f"mesh: {mesh}"
    )
    other.write_text(text.replace("texture: spot/", f"texture: {mesh.parent}/"))
    with pytest.raises(DemoError, match="does not hold other"):
        demo(DemoRequest(out=tmp_path, bundle=bundle, object=str(other)))


def test_without_ros_the_remedy_is_said(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    with pytest.raises(RosMissingError, match="make demo"):
        demo(DemoRequest(out=tmp_path / "out", bundle=bundle))


def test_a_folder_that_is_no_bag_is_not_deleted(bundle: Path, tmp_path: Path) -> None:
    precious = tmp_path / "out" / "bag" / "thesis.tex"
    precious.parent.mkdir(parents=True)
    precious.write_text("years of work")
    with pytest.raises(DemoError, match="not a bag"):
        demo(DemoRequest(out=tmp_path / "out", bundle=bundle))
    assert precious.exists()


@pytest.mark.ros
def test_a_demonstration_leaves_all_it_promises_and_no_process(
    bundle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "offline_search.cli", "demo", "--bundle", str(bundle)),
            *("--seconds", "2", "--out", str(out)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout.splitlines()[-1])
    assert set(FIGURES) <= set(figures)
    assert figures["frames_published"] == 60
    assert figures["frames_received"] > 0
    assert figures["macs"] > 0
    assert figures == json.loads((out / "figures.json").read_text())
    assert "Spot: " in (out / "report.html").read_text()
    assert len((out / "poses.csv").read_text().splitlines()) > 1
    assert (out / "bag" / "metadata.yaml").is_file()
    assert cv2.imread(str(out / "overlay.png")).shape[1] == 640
    assert cv2.VideoCapture(str(out / "overlay.mp4")).read()[0]
    assert programs_of(tmp_path) == []


@pytest.mark.ros
def test_a_demonstration_goes_on_from_its_training_and_tells_of_the_search(
    searched_run: Path, tmp_path: Path
) -> None:
    shutil.copytree(searched_run, tmp_path / "training")
    held = json.loads((searched_run / "pipeline.json").read_text())
    train = {name: value for name, value in held.items() if name not in ("objects", "seed")}
    assert set(train) < {field.name for field in dataclasses.fields(Request)}
    demo(DemoRequest(out=tmp_path, seconds=1, train=train))
    page = (tmp_path / "report.html").read_text()
    assert "2.9\u00a0MMACs" in page or "2.9 MMACs" in page
    assert "training/search-spot/report.html" in page


@pytest.mark.ros
def test_an_interrupted_demonstration_leaves_no_process(bundle: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "offline_search.cli", "demo", "--bundle", str(bundle)),
            *("--seconds", "60", "--out", str(out)),
        ],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not (out / "logs" / "camera_node.log").exists() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.05)
    assert programs_of(tmp_path)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert programs_of(tmp_path) == []
